"""Latencies by one clock: every network twice, in both orders, and none of them again."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import race_clock

from archfront.search.engine.jobs import CLOSED, Done, Job, Result
from archfront.trainers.spec import Architecture


class Engine:
    """An engine whose measurements are made up."""

    def __init__(self, answers: list[Result]) -> None:
        self.answers, self.asked = answers, list[str]()

    def submit(self, job: Job) -> Future[Result]:
        assert job.is_exclusive
        self.asked.append(job.payload.architecture.backbone)
        future: Future[Result] = Future()
        future.set_result(self.answers.pop(0))
        return future


def network(name: str) -> Architecture:
    return Architecture("classification", name, "timm", 32, 10, 3)


def measured(ms: float) -> Done:
    return Done(SimpleNamespace(latency=SimpleNamespace(p50_ms=ms)), 0.0)


def latencies(
    monkeypatch: pytest.MonkeyPatch, folder: Path, answers: list[Result]
) -> tuple[race_clock.Latencies, Engine]:
    engine = Engine(answers)

    def opened(*_: Any, **__: Any) -> AbstractContextManager[Engine]:
        return nullcontext(engine)

    monkeypatch.setattr(race_clock, "ProcessEngine", opened)
    return race_clock.Latencies(folder), engine


def test_the_smaller_of_two_latencies_counts_and_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers: list[Result] = [measured(ms) for ms in (3.0, 2.0, 5.0, 1.0, 7.0, 8.0)]
    found, engine = latencies(monkeypatch, tmp_path, answers)
    a, b, c = network("a"), network("b"), network("c")
    found.measure([a, b, a])
    assert engine.asked == ["a", "b", "b", "a"]
    assert found.found_ms == {a: 1.0, b: 2.0}
    found.measure([b, c])
    assert engine.asked[4:] == ["c", "c"]
    assert found.found_ms == {a: 1.0, b: 2.0, c: 7.0}


def test_a_network_that_cannot_be_measured_ends_the_race_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found, _ = latencies(monkeypatch, tmp_path, [CLOSED])
    with pytest.raises(SystemExit, match=CLOSED.message):
        found.measure([network("a")])
