"""What the service keeps of the records of studies, and what reading them takes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from archfront.search.records.evaluation import Evaluation
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving, reading
from archfront.search.results.results import Results
from archfront.search.service import read_studies
from archfront.search.service.read_studies import ReadStudies
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from tests.support import recorded_store, recorded_study
from tests.support.services import client_of


def test_records_are_read_without_copies_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every record Optuna went over all trials twice and copied all of the header."""
    paths = recorded_store.write(tmp_path)
    store = reading(paths, None)

    def copied(*_: Any, **__: Any) -> None:
        pytest.fail("copied")

    monkeypatch.setattr(optuna.Study, "_get_trials", copied)
    monkeypatch.setattr(optuna.Study, "user_attrs", property(copied))
    results = Results.read(store, paths)
    assert (len(results.evaluations), results.waiting) == (24, frozenset())


def test_ties_are_known_to_the_next_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start tested all pairs of each front again, which took seconds."""
    paths = recorded_store.write(tmp_path)
    with client_of(tmp_path) as client:
        assert client.get("/api/v1/studies").status_code == 200
        first = client.get("/api/v1/studies/flowers/front").json()
    assert any(member["ties"] for member in first["members"])
    tested: list[frozenset[int]] = []

    def test_of(*_: Any, **__: Any) -> Callable[[Evaluation, Evaluation], bool]:
        def is_tie(one: Evaluation, other: Evaluation) -> bool:
            tested.append(frozenset({one.trial, other.trial}))
            return False

        return is_tie

    monkeypatch.setattr("archfront.search.results.results.tie_test", test_of)
    with client_of(tmp_path) as client:
        assert client.get("/api/v1/studies/flowers/front").json() == first
        assert tested == []
    # Another journal says nothing of this one's.
    os.rename(shutil.copy(paths.journal, tmp_path / "copy"), paths.journal)
    with client_of(tmp_path) as client:
        found = client.get("/api/v1/studies/flowers/front").json()
        assert tested
        assert not any(member["ties"] for member in found["members"])


def test_studies_that_run_do_not_push_each_other_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more of them than were kept, each list read them all anew."""
    monkeypatch.setattr(read_studies, "N_KEPT", 1)
    monkeypatch.setattr(read_studies, "N_RUNNING", 3)
    goals = list(recorded_study.OBJECTIVES)
    for name in ("a", "b", "c", "ended", "over"):
        with driving(StudyPaths(tmp_path, name), None, goals) as store:
            store.write_header(recorded_store.header(tmp_path, name))
            store.write_state("running" if len(name) == 1 else "finished", "")
    settings = ServiceSettings(root=tmp_path)
    database = ServiceDatabase(settings.database)
    records = ReadStudies(settings, database)
    first = {name: records.read(name) for name in ("a", "ended", "b", "over", "c")}
    again = {name: records.read(name) for name in ("a", "b", "c", "over", "ended")}
    assert {name for name in first if again[name] is first[name]} == {"a", "b", "c", "over"}
    monkeypatch.setattr(read_studies, "N_RUNNING", 2)
    assert records.read("c") is first["c"]
    assert records.read("a") is not first["a"]
    database.close()
