from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job
from archfront.search.jobs.perform import MeasureRequest
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.events import Event, Noticed
from archfront.search.records.paths import StudyPaths
from archfront.search.study.finalize import TRAINED_LATENCY, FrontFinalizer
from archfront.trainers.errors import BuildError
from archfront.trainers.tasks.classification import Classification
from tests.support.recorded_study import trained
from tests.support.small_study import measurement, perform, prepared, small_config


@dataclass(frozen=True)
class TwoStage(Classification):
    """A task whose networks' time depends on what they learned."""

    def depends_on_weights(self, head: str) -> bool:
        return True


@dataclass
class Store:
    """The scores of a study, in memory."""

    scores: dict[int, dict[str, float]] = field(default_factory=dict)

    def write_scores(self, scores: dict[int, dict[str, float]]) -> None:
        self.scores = scores


@dataclass
class Study:
    """The end of a study with one member."""

    folder: Path
    task: Classification
    store: Store = field(default_factory=Store)
    asked: list[Any] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def end(self) -> Evaluation:
        places = StudyPaths(self.folder, "small")
        member = trained(0, 0.9, 1.0)
        for name in (member.outcome.weights, member.outcome.predictions):
            kept = places.folder / name
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(b"kept")
        whole = replace(prepared(small_config(self.folder)), task=self.task)
        with InlineEngine(self.do, workers=1, threads=1) as engine:
            finalizer = FrontFinalizer(whole, self.store, engine, places, self.events.append)
            finalizer.finalize([member])
        return member

    def do(self, job: Job) -> Any:
        self.asked.append(job.payload)
        if isinstance(job.payload, MeasureRequest):
            return measurement(replace(job.payload.architecture, backbone="resnet18"))
        return perform(job)


def test_members_are_scored_and_drawn_once(tmp_path: Path) -> None:
    study = Study(tmp_path, Classification())
    study.end()
    assert study.store.scores == {0: {"accuracy": 0.5}}
    assert [type(asked).__name__ for asked in study.asked] == ["ScoreRequest", "DrawRequest"]
    study.asked.clear()
    study.end()
    assert study.asked == []


def test_what_depends_on_its_weights_is_timed_again_with_them(tmp_path: Path) -> None:
    study = Study(tmp_path, TwoStage())
    member = study.end()
    [request] = [asked for asked in study.asked if isinstance(asked, MeasureRequest)]
    assert request.weights == StudyPaths(tmp_path, "small").folder / member.outcome.weights
    assert request.architecture == member.candidate.architecture
    assert set(study.store.scores[0]) == {"accuracy", TRAINED_LATENCY}


def test_what_cannot_be_timed_again_is_told_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(tmp_path, TwoStage())

    def refuse(architecture: Any) -> None:
        raise BuildError("it cannot be built")

    monkeypatch.setattr(sys.modules[__name__], "measurement", refuse)
    study.end()
    assert [event for event in study.events if isinstance(event, Noticed)] == [
        Noticed("trial 0 not measured again: it cannot be built")
    ]
    assert set(study.store.scores[0]) == {"accuracy"}
