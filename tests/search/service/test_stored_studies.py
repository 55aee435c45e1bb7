"""Studies in PostgreSQL, which other hosts run, as a service shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from starlette.testclient import TestClient

from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore, driving, remove
from archfront.search.records.stored_studies import stored_now
from archfront.search.service import read_studies, stored_look
from archfront.search.service.state import Service
from tests.support import recorded_store, recorded_study
from tests.support.services import client_of
from tests.support.waiting import eventually

OBJECTIVES = list(recorded_study.OBJECTIVES)
STUDY = "/api/v1/studies/flowers"

pytestmark = pytest.mark.slow


@pytest.fixture
def elsewhere(tmp_path: Path) -> StudyPaths:
    """Return the paths of a study on another host, of which this one has no file."""
    return StudyPaths(tmp_path / "elsewhere", "flowers")


@pytest.fixture
def client(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(stored_look, "FRESH_S", 0.0)
    with client_of(tmp_path / "here", storage_url=database) as client:
        yield client


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def record(store: StudyStore, n_trials: int) -> None:
    for evaluation in recorded_study.study()[:n_trials]:
        trial = store.ask(optuna.samplers.RandomSampler(seed=0))
        store.record(trial, evaluation)
        store.tell(trial, [evaluation], OBJECTIVES)


@contextmanager
def driven(paths: StudyPaths, database: str, n_trials: int) -> Iterator[StudyStore]:
    """Yield the store of a study with so many trials, while its driver runs."""
    with driving(paths, database, OBJECTIVES) as store:
        store.write_header(recorded_store.header(paths.root, "flowers"))
        record(store, n_trials)
        yield store


def test_of_a_journal_that_grows_the_growth_is_read(
    client: TestClient, database: str, elsewhere: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records of every study were read anew every two seconds."""
    service = service_of(client)
    with driven(elsewhere, database, 2) as store:
        first = service.read("flowers")
        assert service.read("flowers") is first
        monkeypatch.setattr(read_studies, "reading", None)
        record(store, 1)
        second = service.read("flowers")
        assert len(second.results.evaluations) == 3
        pairs = zip(first.results.evaluations, second.results.evaluations, strict=False)
        assert all(one is same for one, same in pairs)
        assert second.results.is_driven
    eventually(lambda: not service.read("flowers").results.is_driven)  # the server lets go of it
    assert service.read("flowers").results.evaluations == second.results.evaluations


def test_another_study_of_a_name_is_read_anew(
    client: TestClient, database: str, elsewhere: StudyPaths
) -> None:
    for n_trials in (2, 3):
        with driven(elsewhere, database, n_trials):
            pass
        assert len(service_of(client).results("flowers").evaluations) == n_trials
        remove(elsewhere, database)


def test_a_study_that_another_host_runs_runs(
    client: TestClient, database: str, elsewhere: StudyPaths
) -> None:
    """Its page said that it had stopped, since the lock was looked for on this host alone."""
    with driven(elsewhere, database, 2) as store:
        assert client.get(f"{STUDY}/running").json()["state"] == "running"
        assert [row["state"] for row in client.get("/api/v1/overview").json()] == ["running"]
        assert [one["state"] for one in client.get("/api/v1/studies").json()] == ["running"]
        store.write_state("finished", "2 trials")
    assert client.get(f"{STUDY}/running").json()["state"] == "finished"
    assert [one["state"] for one in client.get("/api/v1/studies").json()] == ["finished"]


def test_a_list_reads_nothing_that_has_not_changed(
    client: TestClient, database: str, elsewhere: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with driven(elsewhere, database, 2) as store:
        store.write_state("finished", "2 trials")
    best = [one["best"] for one in client.get("/api/v1/studies").json()]
    monkeypatch.setattr(read_studies, "reading", None)
    again = Service(service_of(client).settings)  # as after another start
    assert [one.best for one in again.views.listed()] == best
    again.close()


def test_one_without_files_here_is_deleted_and_its_name_is_taken(
    client: TestClient, database: str, elsewhere: StudyPaths
) -> None:
    """A request to delete it answered that it was gone, and it stayed."""
    with driven(elsewhere, database, 2):
        pass
    assert list(stored_now(database)) == ["flowers"]
    asked = {"name": "flowers", "choices": {"experiment": "digits"}}
    answer = client.post("/api/v1/studies", json=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "study_exists")
    answer = client.delete(STUDY)
    assert answer.status_code == 204, answer.text
    assert stored_now(database) == {}
    assert client.get("/api/v1/studies").json() == []
