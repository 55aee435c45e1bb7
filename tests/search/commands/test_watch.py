"""``archfront watch``: what it prints of a study before its first candidate has an outcome."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from archfront.search.cli import main
from archfront.search.commands.event_following import ServerEvent
from archfront.search.commands.server_connection import ServerConnection
from archfront.search.records.codec import encode
from tests.support.command import Output
from tests.support.recorded_study import candidate

WAITING = {"name": "x", "state": "waiting", "reason": "", "counts": {}, "started": None}
RUNNING = {**WAITING, "state": "running"}
ENDED = {**RUNNING, "state": "finished", "started": 1.0, "counts": {"trained": 1}}
ROW = {"trial": 0, "label": "l", "metric": None, "state": "failed", "reason": "No."}


def change(event: str, row: Any = None, **fields: Any) -> ServerEvent:
    return ServerEvent("change", "", {"event": event, "fields": fields, "row": row})


def watched(
    events: list[ServerEvent], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> list[str]:
    """Return the lines of a study with events, which ends."""

    def told(*path: Any, **more: Any) -> Iterator[ServerEvent]:
        yield from events
        yield ServerEvent("study", "", ENDED)

    monkeypatch.setattr(ServerConnection, "events", told)
    assert main(["watch", "x", "--server", "http://h"]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_step_before_the_first_outcome_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    of = {"trial": 0, "candidate": encode(candidate())}
    epoch = {"trial": 0, "epoch": 1, "metrics": {"metric": 0.5}}
    steps = [
        change("DataRead", data="flowers"),
        change("StudyStarted"),
        change("TrialProposed", **of),
        change("TrialMeasured", **of, measurement={"latency": {"p50_ms": 1.25}}),
        change("EpochFinished", **epoch),
    ]
    snapshot = ServerEvent("snapshot", "", {"study": WAITING, "running": []})
    began = ServerEvent("study", "", RUNNING)
    outcome = change("TrialFinished", ROW)
    found = watched([snapshot, began, *steps, outcome, *steps], monkeypatch, capsys)
    label = candidate().label
    assert found == [
        "x: waiting: it waits for its turn",
        "x: running: it begins, the images are read first",
        "the images of flowers are read",
        "the search begins",
        f"trial 0 {label}: its latency is measured",
        f"trial 0 {label}: p50 1.25 ms, it is trained",
        "trial 0 epoch 1: metric 0.5000",
        "trial 0 l: failed. No.",
        "x: finished: 1 trained",
    ]


def test_what_runs_already_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    trial = {"trial": 3, "label": "r@32", "stage": "training", "epoch": 2}
    study = {**RUNNING, "started": 1.0}
    snapshot = ServerEvent("snapshot", "", {"study": study, "running": [trial]})
    again = ServerEvent("study", "", {**study, "reason": "It ended; started again"})
    found = watched([snapshot, again, again], monkeypatch, capsys)
    assert found[:-1] == [
        "x: running: no candidate has an outcome yet",
        "trial 3 r@32: it is trained, epoch 2 is done",
        "x: running (It ended; started again): no candidate has an outcome yet",
    ]
