"""What the pages draw: columns, the list of studies and the trials in flight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from archfront.search.records.driver_lock import driver_lock
from archfront.search.records.events import (
    EpochFinished,
    EventLog,
    RungFinished,
    TrialMeasured,
    TrialProposed,
)
from archfront.search.records.paths import StudyPaths
from archfront.search.service.pages.live_trials import LiveTrials
from tests.support import recorded_store, recorded_study
from tests.support.services import client_of


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


class TestLiveTrials:
    def test_follow_the_log_from_where_they_were(self, tmp_path: Path) -> None:
        first, second = recorded_study.study()[:2]
        log, live, seconds = tmp_path / "events.jsonl", LiveTrials(), iter(range(100, 200))
        tell = EventLog(log, clock=lambda: float(next(seconds)))
        assert live.of(log) == []
        tell(TrialProposed(first.trial, first.candidate))
        assert [(t.trial, t.stage, t.label) for t in live.of(log)] == [
            (first.trial, "measuring", first.candidate.label)
        ]
        assert first.measurement is not None
        tell(TrialMeasured(first.trial, first.candidate, first.measurement))
        tell(EpochFinished(first.trial, 1, {"accuracy": 0.5}))
        with log.open("ab") as file:
            file.write(b'{"event": "EpochFin')  # a line that is being written
        (now,) = live.of(log)
        assert (now.stage, now.epoch, now.epoch_s) == ("training", 1, 1.0)
        told = now.as_dict([4, 8], now.noted)
        assert (told["epochs"], told["left_s"], told["values"]) == (4, 3.0, {"accuracy": 0.5})
        assert told["latency_ms"] == first.measurement.latency.p50_ms
        tell(RungFinished(first))
        tell(TrialProposed(second.trial, second.candidate))
        assert [trial.trial for trial in live.of(log)] == [second.trial]
        log.write_text(json.dumps({"time": 1.0, "event": "StudyFinished"}) + "\n")
        assert live.of(log) == []

    def test_are_told_of_a_study_that_a_driver_runs(self, tmp_path: Path) -> None:
        paths: StudyPaths = recorded_store.write(tmp_path)
        one = recorded_study.study()[0]
        EventLog(paths.events)(TrialProposed(one.trial, one.candidate))
        address = "/api/v1/studies/flowers/running"
        with client_of(tmp_path) as client:
            assert client.get(address).json()["trials"] == []
            with driver_lock(paths):
                (trial,) = client.get(address).json()["trials"]
            assert (trial["stage"], trial["label"]) == ("measuring", one.candidate.label)
