"""What the pages draw: columns, the list of studies and the trials in flight."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from archfront.search.records.driver_lock import driver_lock
from archfront.search.records.events import EpochFinished, EventLog, TrialMeasured, TrialProposed
from archfront.search.records.paths import StudyPaths
from archfront.search.records.seconds import active_seconds
from archfront.search.records.store import driving
from archfront.search.service.pages import overview
from archfront.search.service.pages.overview import _left
from archfront.search.service.pages.study_columns import study_columns
from archfront.search.service.state import ReadStudy, Service
from archfront.search.service.study_rows import StudyRows
from tests.support import recorded_store, recorded_study
from tests.support.services import client_of
from tests.support.waiting import eventually


class TestColumns:
    def test_hold_every_evaluation_and_the_front(self, service_client: TestClient) -> None:
        found = service_client.get("/api/v1/studies/flowers/columns").json()
        columns = found["columns"]
        assert {len(column) for column in columns.values()} == {found["n"]} == {24}
        study = {e.trial: e for e in recorded_study.study()}
        for trial, kind, latency in zip(
            columns["trial"], columns["kind"], columns["latency_ms"], strict=True
        ):
            assert kind == study[trial].kind
            measured = study[trial].measurement
            assert latency == (
                None if measured is None else pytest.approx(measured.latency.p50_ms)
            )
        assert columns["at"] == sorted(columns["at"])
        front = service_client.app.state.service.read("flowers").front  # type: ignore[attr-defined]
        assert [row["trial"] for row in found["front"]] == [member.trial for member in front]
        assert {n for row in found["front"] for n in row["names"]} == {"fastest", "knee", "best"}
        assert found["study"]["objectives"][1]["name"] == "latency_ms"
        assert found["study"]["limits"] == {"latency_ms": 4.0}

    def test_of_what_ended_later_are_the_rest(self, service_client: TestClient) -> None:
        address = "/api/v1/studies/flowers/columns"
        every = service_client.get(address).json()["columns"]
        middle = every["at"][11]
        later = service_client.get(address, params={"after": middle}).json()["columns"]
        assert later["trial"] == [
            t for t, at in zip(every["trial"], every["at"], strict=True) if at > middle
        ]
        assert 0 < len(later["trial"]) < 24
        for wrong in ("inf", "1e999", "nan", "-1"):
            answer = service_client.get(address, params={"after": wrong})
            assert answer.status_code == 422, wrong

    def test_leave_out_the_hours_between_two_runs(self, service_client: TestClient) -> None:
        results = service_client.app.state.service.results("flowers")  # type: ignore[attr-defined]
        active = active_seconds(results.evaluations)
        *before, last = sorted(results.evaluations, key=lambda e: e.started)
        last = replace(last, started=last.started + 36000)
        columns = study_columns(ReadStudy(replace(results, evaluations=(*before, last))))[
            "columns"
        ]
        assert columns["at"][-1] == pytest.approx(active_seconds(before) + last.seconds, abs=0.1)
        assert columns["at"][-1] < active + last.seconds + 1

    def test_of_no_study_are_refused(self, service_client: TestClient) -> None:
        for what in ("columns", "running"):
            answer = service_client.get(f"/api/v1/studies/roses/{what}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_such_study")


def test_the_list_has_what_each_study_found(tmp_path: Path) -> None:
    recorded_store.write(tmp_path)
    recorded_store.write(tmp_path, "broken").journal.write_text("{}\n")
    with client_of(tmp_path) as client:
        rows = {row["name"]: row for row in client.get("/api/v1/overview").json()}
        front = client.app.state.service.read("flowers").front  # type: ignore[attr-defined]
    assert rows["broken"]["state"] == "unreadable"
    assert rows["broken"]["reason"]
    flowers = rows["flowers"]
    assert (flowers["state"], flowers["running"], flowers["left"]) == ("finished", [], {})
    assert flowers["members"] == len(front) == len(flowers["points"])
    assert flowers["named"]["best"]["metric"] == pytest.approx(max(m.metric for m in front))


def test_of_a_list_only_what_has_changed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each who had the list open made all of it anew every three seconds."""
    goals = list(recorded_study.OBJECTIVES)
    recorded_store.write(tmp_path)
    for name in ("roses", "tulips"):
        paths = StudyPaths(tmp_path, name)
        with driving(paths, None, goals) as store:
            store.write_header(recorded_store.header(tmp_path, name))
            store.write_state("finished", "")
        paths.config.write_text("{}\n")
    made: list[str] = []
    row_of = overview._row

    def noted(service: Service, name: str, *others: Any) -> dict[str, Any]:
        made.append(name)
        return row_of(service, name, *others)

    monkeypatch.setattr(overview, "_row", noted)
    with client_of(tmp_path) as client:
        first, listed = (client.get(f"/api/v1/{what}") for what in ("overview", "studies"))
        assert sorted(made) == ["flowers", "roses", "tulips"]
        lines = client.app.state.service.views.listed()  # type: ignore[attr-defined]
        with driving(StudyPaths(tmp_path, "roses"), None, goals) as store:
            store.write_state("interrupted", "by a person")
        shutil.rmtree(StudyPaths(tmp_path, "tulips").folder)
        again = client.get("/api/v1/overview").json()
        assert made[3:] == ["roses"]
        states = {row["name"]: row["state"] for row in again}
        assert states == {"flowers": "finished", "roses": "interrupted"}
        assert [row for row in first.json() if row["name"] == "flowers"] == [
            row for row in again if row["name"] == "flowers"
        ]
        later = client.app.state.service.views.listed()  # type: ignore[attr-defined]
        assert [line.model_dump() for line in lines] == listed.json()
        assert [one.name for one in later if one in lines] == ["flowers"]
        assert later[0] is lines[0]


def test_of_many_who_ask_for_the_list_at_once_few_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded_store.write(tmp_path)
    with client_of(tmp_path) as client:
        shown = client.app.state.overview  # type: ignore[attr-defined]
        make, is_making, go_on = shown._made, threading.Event(), threading.Event()
        n_made = 0

        def made() -> bytes:
            nonlocal n_made
            n_made += 1
            is_making.set()
            assert go_on.wait(60)
            return make()

        monkeypatch.setattr(shown, "_made", made)
        with ThreadPoolExecutor(9) as pool:
            first = pool.submit(shown.text)
            assert is_making.wait(60)
            others = [pool.submit(shown.text) for _ in range(8)]
            eventually(lambda: all(one.running() for one in others))
            go_on.set()
            texts = {one.result() for one in (first, *others)}
    assert len(texts) == 1
    # What began before one asked may be old; another one is for all who came meanwhile.
    assert n_made < 9


def test_what_runs_is_told_of_a_study_that_a_driver_runs(tmp_path: Path) -> None:
    paths: StudyPaths = recorded_store.write(tmp_path)
    one = recorded_study.study()[0]
    now = time.time()
    moments = iter((now - 100, now - 90, now - 60))
    tell = EventLog(paths.events, clock=lambda: next(moments))
    tell(TrialProposed(one.trial, one.candidate))
    assert one.measurement is not None
    tell(TrialMeasured(one.trial, one.candidate, one.measurement))
    tell(EpochFinished(one.trial, 1, {"accuracy": 0.5}))
    address = "/api/v1/studies/flowers/running"
    with client_of(tmp_path) as client:
        epochs = client.app.state.service.results("flowers").rungs[0]  # type: ignore[attr-defined]
        assert client.get(address).json()["trials"] == []
        with driver_lock(paths):
            (trial,) = client.get(address).json()["trials"]
    assert (trial["stage"], trial["label"]) == ("training", one.candidate.label)
    assert (trial["epoch"], trial["epochs"], trial["values"]) == (1, epochs, {"accuracy": 0.5})
    assert 0 <= trial["left_s"] <= 30 * (epochs - 1)
    assert trial["latency_ms"] == one.measurement.latency.p50_ms


def test_a_study_that_has_not_begun_says_its_state_and_its_reason(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        rows = StudyRows(service.database)
        rows.add("roses", {})
        found = client.get("/api/v1/studies/roses/running").json()
        assert (found["state"], found["has_begun"], found["trials"]) == ("waiting", False, [])
        row = rows.get("roses")
        assert row is not None
        why = "No images:\n- /data/roses is empty."
        assert rows.change(row, state="failed", reason=why)
        found = client.get("/api/v1/studies/roses/running").json()
        assert (found["state"], found["reason"]) == (
            "failed",
            "No images:\n- /data/roses is empty.",
        )
        # Its driver wrote what it is, and ended before anything was recorded.
        config = StudyPaths(tmp_path, "roses").config
        config.parent.mkdir(parents=True)
        config.write_text("{}\n")
        assert client.get("/api/v1/studies/roses/running").json()["reason"] == why
        assert client.get("/studies/roses").status_code == 200
        assert client.get("/studies/tulips").status_code == 404


def test_the_time_that_is_left_counts_what_runs(tmp_path: Path) -> None:
    recorded_store.write(tmp_path)
    with client_of(tmp_path) as client:
        study = client.app.state.service.read("flowers")  # type: ignore[attr-defined]
    read, budget = ReadStudy(study.results), {"minutes": 60.0, "trials": None}
    ended = max(e.started + e.seconds for e in read.results.evaluations)
    spent = active_seconds(read.results.evaluations) / 60
    assert _left(read, budget, None, ended + 900) == {"minutes": pytest.approx(60 - spent)}
    assert _left(read, budget, ended, ended + 900) == {"minutes": pytest.approx(45 - spent)}
    assert _left(read, budget, ended, ended + 7200) == {"minutes": 0.0}


def test_what_is_left_follows_a_larger_budget(tmp_path: Path) -> None:
    """A study that was extended to its 17th trial said that it was finishing what runs."""
    paths = recorded_store.write(tmp_path)
    with driving(paths, None, list(recorded_study.OBJECTIVES)) as store:
        store.write_state("running", "")
    content = yaml.safe_load(paths.config.read_text("utf-8"))
    address = "/api/v1/studies/flowers/running"
    with client_of(tmp_path) as client, driver_lock(paths):
        assert client.get(address).json()["left"] == {"trials": 0.0}
        content["budget"]["trials"] = 20
        paths.config.write_text(yaml.safe_dump(content), encoding="utf-8")
        assert client.get(address).json()["left"] == {"trials": 4.0}
        for damaged in ("{}\n", "budget: much\n", "budget: [\n"):
            paths.config.write_text(damaged, encoding="utf-8")
            assert client.get(address).json()["left"] == {"trials": 0.0}
