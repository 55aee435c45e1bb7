"""A study of rungs with real networks, whose driver is killed between any two of its steps."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.config.schema import Config
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.events import (
    EpochFinished,
    Event,
    RungFinished,
    TrialMeasured,
    TrialPromoted,
)
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from archfront.search.study.study import run
from tests.support.forked import started
from tests.support.recorded_study import unmeasured

WORDS = (
    "experiment=digits",
    "data.train=120",
    "data.val=120",
    "data.test=120",
    "space.backbones=test_resnet",
    "space.heads=avg",
    "space.input_sizes=8,16",
    "space.recipe.lr=0.001,0.003,0.005,0.01",
    "space.recipe.augment=none",
    "sampler=random",
    "task.epochs=4",
    "budget.rungs=[1,2,4]",
    "budget.trials=3",
    "hardware.max_seconds=0.1",
    "hardware.limits.latency_ms=null",
)
RUNG_COSTS = (1 / 4, 1 / 4, 2 / 4)
Moment = Callable[[list[Event]], bool]


def in_a_lowest_rung(seen: list[Event]) -> bool:
    """Return whether the second candidate is being trained for the first time."""
    return isinstance(seen[-1], EpochFinished) and is_after(seen, TrialMeasured, 2)


def in_a_higher_rung(seen: list[Event]) -> bool:
    """Return whether a candidate is being trained further."""
    return isinstance(seen[-1], EpochFinished) and is_after(seen, TrialPromoted, 1)


def between_rungs(seen: list[Event]) -> bool:
    """Return whether several candidates wait and none is trained."""
    return isinstance(seen[-1], RungFinished) and is_after(seen, RungFinished, 2)


def is_after(seen: list[Event], kind: type[Event], n_events: int) -> bool:
    """Return whether so many events of a kind came."""
    return sum(isinstance(event, kind) for event in seen) >= n_events


MOMENTS: tuple[Moment, ...] = (in_a_lowest_rung, in_a_higher_rung, between_rungs)


def drive(config: Config, moment: Moment | None) -> None:
    """Run the study, and kill its process without notice when the moment has come."""
    seen: list[Event] = []

    def follow(event: Event) -> None:
        seen.append(event)
        if moment is not None and moment(seen):
            os.kill(os.getpid(), signal.SIGKILL)

    result = run(config, followers=[follow])
    assert result.state == "finished", result.reason


def records(config: Config) -> Results:
    places = StudyPaths(Path(config.tracking.root), config.study)
    return Results.read(reading(places, None), places)


def files(config: Config, name: str) -> set[str]:
    folder = StudyPaths(Path(config.tracking.root), config.study).folder
    return {str(path.relative_to(folder)) for path in folder.rglob(name)}


def rungs(evaluations: list[Evaluation]) -> Counter[tuple[int, int]]:
    return Counter((e.trial, e.rung) for e in evaluations)


@pytest.mark.slow
def test_kill_nine_at_any_rung_loses_and_doubles_nothing(tmp_path: Path) -> None:
    words = (f"tracking.root={tmp_path}", f"tracking.device_db={tmp_path / 'latency.db'}")
    composed = compose([*WORDS, *words])
    config = build(composed.content, texts=composed.texts)
    before: list[Evaluation] = []
    for moment in (*MOMENTS, None):
        driver = started(drive, config, moment)
        driver.join(120)
        assert driver.exitcode == (0 if moment is None else -signal.SIGKILL)
        found = records(config)
        now = unmeasured(found.evaluations)
        assert [e for e in now if e in before] == before, "a finished rung was lost"
        assert max(rungs(found.evaluations).values()) == 1, "a rung was trained twice"
        before = now
    trained = [e for e in found.evaluations if isinstance(e.outcome, Trained)]
    assert trained == found.evaluations
    spent = sum(RUNG_COSTS[e.rung] for e in trained)
    assert 2 < spent <= 3
    assert not found.waiting
    # Of every trial each rung below its last one was trained.
    ends = Counter(e.trial for e in trained)
    assert rungs(trained) == Counter((t, rung) for t, n in ends.items() for rung in range(n))
    assert all(
        [row["epoch"] for row in e.outcome.curve] == list(range(1, (2, 3, 5)[e.rung]))
        for e in trained
    )
    assert not files(config, "resume.pt")
    members = {(member.trial, member.rung) for member in found.front()}
    assert members
    assert files(config, "weights.safetensors") == {
        e.outcome.weights for e in trained if (e.trial, e.rung) in members
    }
    assert {str(Path(name).parent) for name in files(config, "*.npz")} == {
        str(Path(e.outcome.predictions).parent) for e in trained
    }
