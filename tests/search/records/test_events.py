"""The log of events has one JSON line for each, in order, and never the bulk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from archfront.search.records.events import (
    DataRead,
    EpochFinished,
    EventLog,
    Noticed,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialMeasured,
    TrialProposed,
)
from archfront.trainers.dataset_summary import DatasetSummary, SplitSummary
from tests.support.recorded_study import candidate, failed, measurement, trained
from tests.support.study_headers import study_header

EVENTS = [
    DataRead("digits", "folder", DatasetSummary(("a", "b"), splits={"val": SplitSummary(3)})),
    StudyStarted("digits", study_header({"task": {}}), (trained(0, 0.9, 1.0),), isolates=True),
    TrialProposed(1, candidate()),
    TrialMeasured(1, candidate(), measurement(2.0)),
    EpochFinished(1, 3, {"accuracy": 0.75}),
    TrialFinished(failed(1)),
    Noticed("a note\nof two lines"),
    StudyFinished("finished", "all done"),
]


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_event_is_one_line_with_its_time(tmp_path: Path) -> None:
    ticks = iter(range(100))
    log = EventLog(tmp_path / "events.jsonl", clock=lambda: next(ticks))
    for event in EVENTS:
        log(event)
    lines = logged(tmp_path / "events.jsonl")
    assert [line.pop("time") for line in lines] == list(range(len(EVENTS)))
    assert [line.pop("event") for line in lines] == [type(event).__name__ for event in EVENTS]
    assert lines[0] == {"data": "folder", "classes": 2, "images": {"val": 3}}
    assert lines[1] == {"study": "digits", "resumed_with": 1}
    assert lines[2] == {"trial": 1, "candidate": candidate().as_dict()}
    assert lines[3]["measurement"]["latency"]["p50_ms"] == 2.0
    assert lines[4] == {"trial": 1, "epoch": 3, "metrics": {"accuracy": 0.75}}
    assert lines[5] == {"trial": 1, "outcome": "failed"}
    assert lines[6] == {"message": "a note\nof two lines"}
    assert lines[7] == {"state": "finished", "reason": "all done"}


def test_a_line_that_a_kill_tore_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "whole"}\n{"event": "to', encoding="utf-8")
    for _ in range(2):
        EventLog(path)(StudyFinished("finished", ""))
    whole, torn, *later = path.read_text(encoding="utf-8").splitlines()
    assert (json.loads(whole), torn) == ({"event": "whole"}, '{"event": "to')
    assert [json.loads(line)["event"] for line in later] == ["StudyFinished"] * 2


def test_a_later_run_appends(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        EventLog(path)(EVENTS[0])
    assert len(logged(path)) == 2
