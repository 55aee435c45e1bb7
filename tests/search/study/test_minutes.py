"""A budget in minutes is kept: whole studies on a clock that only their jobs move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job
from archfront.search.jobs import step_times
from archfront.search.jobs.perform import DrawRequest, MeasureRequest, ScoreRequest, TrainRequest
from archfront.search.jobs.step_times import StepsRequest, StepTimes
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.events import StudyStarted
from archfront.search.space.space import Space
from archfront.search.study.aims import AIMS
from archfront.search.study.driver import Driver
from archfront.search.study.study import StudyResult
from archfront.trainers.spec import Architecture
from tests.search.study.test_budget import HandClock
from tests.support.small_study import BACKBONES, N_VAL, perform, run, small_config, small_space
from tests.support.study_engines import results

START_S, MEASURE_S, SCORE_S, DRAW_S = 1.5, 2.0, 2.0, 1.0


class Timed:
    """Answers by formula, and moves a clock by what the job would take.

    Args:
        clock: The clock.
        epoch_s: Seconds of an epoch of the lightest candidate; the heaviest takes twice that.
        space: Where it is given, an epoch takes ``epoch_s`` for each unit of work instead.
        slow: A backbone that takes twice what its work says.
    """

    def __init__(
        self, clock: HandClock, epoch_s: float, space: Space | None = None, slow: str = ""
    ) -> None:
        self.clock, self.epoch_s, self.space, self.slow = clock, epoch_s, space, slow

    def perform(self, job: Job) -> Any:
        if isinstance(job.payload, StepsRequest):
            return self._steps(job.payload)
        if isinstance(job.payload, TrainRequest) and job.payload.own_steps is not None:
            with mock.patch.object(step_times, "steps", self._steps):
                fitted = job.payload.own_steps.fitted(job.payload.settings)
            job = replace(job, payload=replace(job.payload, settings=fitted))
        found = perform(job)
        match job.payload:
            case MeasureRequest():
                self.clock.now += MEASURE_S
            case ScoreRequest():
                self.clock.now += SCORE_S
            case DrawRequest():
                self.clock.now += DRAW_S
            case TrainRequest() as request:
                assert isinstance(found, Trained)
                seconds = self._seconds(request)
                self.clock.now += START_S + seconds
                return Trained(**{**vars(found), "seconds": seconds})
        return found

    def _seconds(self, request: TrainRequest) -> float:
        settings, done = request.settings, 0
        if request.resume is not None:
            done = int(request.resume.read_text())
        # Each run a little different, the same for the same candidate and rung.
        noise = 0.9 + 0.2 * (int(request.candidate.id, 16) % 997 + settings.until_epoch) % 1
        work = self._work(request.candidate.architecture)
        return self.epoch_s * work * noise * (settings.until_epoch - done)

    def _steps(self, request: StepsRequest) -> StepTimes:
        work = self._work(request.candidate.architecture)
        return StepTimes("fp32", self.epoch_s * work / N_VAL)

    def _work(self, architecture: Architecture) -> float:
        if self.space is not None:
            said = float(self.space.step_s[self.space.architecture_number(architecture)])
            return said * 2 if architecture.backbone == self.slow else said
        params = dict(BACKBONES)[architecture.backbone]
        return 1 + params / max(p for _, p in BACKBONES)


def wide_space() -> Space:
    return small_space(lrs=tuple(0.001 * 1.3**i for i in range(12)))


def minutes_used(
    root: Path, minutes: float, rungs: list[int], epoch_s: float, seed: int
) -> tuple[float, int]:
    """Return the minutes of a study up to its end, and the members of its front."""
    clock = HandClock()
    before = clock.now
    engine = InlineEngine(Timed(clock, epoch_s).perform, workers=1, threads=1)
    config = small_config(
        root,
        seed=seed,
        task__epochs=9,
        budget__rungs=rungs,
        budget__trials=None,
        budget__minutes=minutes,
        hardware__limits__latency_ms=5.0,
    )
    result = run(config, space=wide_space(), engine=engine, clock=clock)
    assert result.reason == f"the time is used up (budget.minutes={minutes:g})"
    found = results(root)
    front = found.front()
    assert set(found.scores) == {member.trial for member in front}
    return (clock.now - before) / 60, len(front)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("rungs", "minutes", "epoch_s"), [([], 20, 2.0), ([3, 9], 15, 3.0), ([1, 3, 9], 15, 3.0)]
)
def test_minutes_are_kept_within_five_percent(
    tmp_path: Path, rungs: list[int], minutes: float, epoch_s: float, seed: int
) -> None:
    """Of trainings of 9 to 18 epochs of the lightest one."""
    used, n_members = minutes_used(tmp_path, minutes, rungs, epoch_s, seed)
    assert 0.95 * minutes <= used <= 1.05 * minutes
    assert n_members >= 2


@pytest.mark.parametrize("rungs", [[], [3, 9], [1, 3, 9]])
def test_a_budget_of_few_trainings_is_not_overrun_and_has_a_front(
    tmp_path: Path, rungs: list[int]
) -> None:
    """8 minutes of trainings of one and a half to three minutes."""
    used, n_members = minutes_used(tmp_path, 8, rungs, 10.0, 0)
    assert used <= 1.05 * 8
    assert n_members >= 1


def test_the_same_command_adds_nothing_to_a_study_whose_time_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it used beside its trials, as for reading images, once let it train on."""
    clock = HandClock()

    def read(event: object) -> None:
        clock.now += 25.0 * isinstance(event, StudyStarted)

    def ended(minutes: float) -> StudyResult:
        config = small_config(
            tmp_path, task__epochs=1, budget__trials=None, budget__minutes=minutes
        )
        engine = InlineEngine(Timed(clock, 5.0).perform, workers=1, threads=1)
        return run(config, space=wide_space(), engine=engine, clock=clock, followers=(read,))

    first = ended(1.0)
    assert not first.was_finished
    before = results(tmp_path).evaluations
    assert ended(1.0) == StudyResult("finished", first.reason, was_finished=True)
    # What the machine did not let end is tried again in the time that is left.
    with monkeypatch.context() as patched:
        patched.setattr("archfront.search.study.study.is_passing", lambda _: True)
        patched.setattr(Driver, "run", lambda *_: ("finished", "it went on"))
        assert not ended(1.0).was_finished
    assert results(tmp_path).evaluations == before
    assert not ended(2.0).was_finished
    assert len(results(tmp_path).evaluations) > len(before)


@pytest.mark.parametrize("limit_ms", [5.0, 0.001])
def test_a_space_that_is_used_up_in_time_is_the_reason(tmp_path: Path, limit_ms: float) -> None:
    """Where no candidate is left none fits: it said that the time was used up."""
    clock, space = HandClock(), small_space(lrs=(0.01,))
    space = replace(space, axes=(replace(space.axes[0], heads=("avg",)),))
    config = small_config(
        tmp_path,
        budget__trials=None,
        budget__minutes=60.0,
        hardware__limits__latency_ms=limit_ms,
    )
    engine = InlineEngine(Timed(clock, 2.0).perform, workers=1, threads=1)
    first, again = (run(config, space=space, engine=engine, clock=clock) for _ in range(2))
    assert (again.was_finished, again.reason) == (True, first.reason)
    rest = first.reason.removeprefix("all 4 candidates of the space were tried")
    is_over = rest.startswith(", and 4 candidates were over a limit; the fastest of them takes")
    assert is_over if limit_ms < 1 else rest == ""


def from_scratch(
    root: Path, space: Space, minutes: float, seed: int = 0, slow: str = ""
) -> list[Evaluation]:
    """Return what a planned study without weights has recorded by the end of its minutes."""
    clock = HandClock()
    usual_s = 1.0 / float(np.median(space.step_s))
    engine = InlineEngine(Timed(clock, usual_s, space, slow).perform, workers=1, threads=1)
    config = small_config(
        root,
        seed=seed,
        task__epochs="auto",
        space__weights="none",
        budget__trials=None,
        budget__minutes=minutes,
        hardware__limits__latency_ms=None,
    )
    run(config, space=space, engine=engine, clock=clock)
    return results(root).evaluations


@pytest.mark.parametrize("seed", range(3))
def test_a_study_from_scratch_begins_with_different_backbones(tmp_path: Path, seed: int) -> None:
    first = [e for e in from_scratch(tmp_path, wide_space(), 4.0, seed) if e.rung == 0]
    assert len(first) > len(BACKBONES)
    names = [e.candidate.architecture.backbone for e in sorted(first, key=lambda e: e.trial)]
    assert sorted(names[: len(BACKBONES)]) == sorted(name for name, _ in BACKBONES)


def test_a_study_from_scratch_trains_light_networks_for_more_epochs(tmp_path: Path) -> None:
    """Each full training takes about as long, and a study that goes on knows its epochs."""
    space = wide_space()
    from_scratch(tmp_path, space, 2.0)
    every = from_scratch(tmp_path, space, 6.0)
    full = [e for e in every if isinstance(e.outcome, Trained) and e.is_top]
    fidelities = [e.outcome.fidelity for e in full if isinstance(e.outcome, Trained)]
    horizons = {f.horizon for f in fidelities if f is not None}
    assert len(horizons) > 1
    works = [space.step_s[space.architecture_number(e.candidate.architecture)] for e in full]
    order = np.argsort(works)
    epochs = [f.horizon for f in fidelities if f is not None]
    assert [epochs[i] for i in order] == sorted(epochs, reverse=True)


def test_a_network_that_is_slower_than_its_work_says_has_fewer_epochs(tmp_path: Path) -> None:
    """They follow from its own steps, and a study that goes on knows them."""
    space, slow = wide_space(), "resnet10t"
    from_scratch(tmp_path, space, 4.0, slow=slow)
    least_s, beyond_s, names = [], [], set()
    for e in from_scratch(tmp_path, space, 6.0, slow=slow):
        if isinstance(e.outcome, Trained) and e.outcome.fidelity is not None:
            epochs, name = e.outcome.fidelity.horizon, e.candidate.architecture.backbone
            if epochs < AIMS[True, False].most_epochs:
                work = space.step_s[space.architecture_number(e.candidate.architecture)]
                least_s.append(epochs * work * (1 + (name == slow)))
                beyond_s.append((epochs + 1) * work * (1 + (name == slow)))
                names.add(name)
    assert names == {"resnet10t", "resnet18"}
    assert max(least_s) <= min(beyond_s)  # one epoch more would take longer than the others do


def test_measurements_and_trainings_end_after_the_minutes_of_a_trial(tmp_path: Path) -> None:
    jobs: list[Job] = []

    def note(job: Job) -> Any:
        jobs.append(job)
        return perform(job)

    engine = InlineEngine(note, workers=1, threads=1)
    run(small_config(tmp_path, budget__trials=2, budget__trial_minutes=0.5), engine=engine)
    limited = [job for job in jobs if job.kind in ("measure", "train")]
    assert {job.kind for job in limited} == {"measure", "train"}
    assert {job.timeout_s for job in limited} == {30.0}
    assert all("budget.trial_minutes" in job.timeout_text for job in limited)
    assert {job.timeout_s for job in jobs if job not in limited} == {None}
