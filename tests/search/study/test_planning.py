"""The plan of a study: what its minutes buy, from timed steps."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from archfront.search.config.schema import Config
from archfront.search.config.settings import EMA, plan_of
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job
from archfront.search.errors import BuildError
from archfront.search.jobs.step_times import StepTimes
from archfront.search.records.events import Event, Noticed
from archfront.search.records.plan import Plan
from archfront.search.study.aims import AIMS, LEAST_EPOCHS
from archfront.search.study.planning import (
    LONGEST_SHARE,
    TRAINING_SHARE,
    TRIES,
    epochs_for,
    lines,
    n_startup,
    own_steps,
    plan_study,
    timed_plan,
)
from tests.support.small_study import N_VAL, prepared, small_config

AIM = AIMS[True, True]


def engine(image_s: float | None, jobs: list[Job]) -> InlineEngine:
    """Return an engine whose training steps take so long; None for networks of no kind."""

    def perform(job: Job) -> Any:
        jobs.append(job)
        if image_s is None:
            raise BuildError("no such network")
        return StepTimes("bf16", image_s)

    return InlineEngine(perform, workers=1, threads=1)


@pytest.mark.parametrize("n_train", [100, 3_000, 60_000])
@pytest.mark.parametrize("image_s", [0.0005, 0.005, 0.05])
@pytest.mark.parametrize("minutes", [2, 6, 60])
@pytest.mark.parametrize("aim", AIMS.values())
def test_planned_trainings_fit_into_their_share_of_the_minutes(
    minutes: float, image_s: float, n_train: int, aim: Any
) -> None:
    found = epochs_for(minutes * 60, aim, image_s=image_s, n_train=n_train, n_val=n_train // 5)
    assert LEAST_EPOCHS <= found.epochs <= max(aim.most_epochs, LEAST_EPOCHS)
    assert 0 < found.share <= 1
    whole = found.epochs * image_s * found.share * n_train
    time = minutes * 60 * TRAINING_SHARE * aim.share
    longest = max(time / aim.n_full, minutes * 60 * TRAINING_SHARE * LONGEST_SHARE)
    assert whole <= max(longest, LEAST_EPOCHS * image_s) * 1.001  # at least an image in an epoch
    if found.share < 1:
        assert found.epochs <= aim.least_epochs
    elif found.epochs < aim.most_epochs and whole > image_s * aim.least_images * 1.01:
        assert aim.n_full * whole <= time * 1.001  # as many as planned


def test_epochs_of_equal_time_are_cut_into_shares_rather_than_few() -> None:
    aim, of = AIMS[True, False], {"n_train": 4_000, "n_val": 1_000}
    long, short, shorter, brief = (
        epochs_for(minutes * 60, aim, image_s=0.006, **of) for minutes in (50, 6, 4, 0.8)
    )
    assert (long.epochs, long.share) == (58, 1)
    assert short.epochs == aim.least_epochs
    assert short.share < 1
    # An epoch trains four images for each that it validates: more epochs would train less.
    assert (shorter.epochs, shorter.share) == (12, pytest.approx(1 / 3))
    assert brief.epochs == LEAST_EPOCHS
    assert brief.share < shorter.share


def test_more_minutes_never_buy_less() -> None:
    images = []
    for minutes in np.geomspace(1, 600, 40):
        found = epochs_for(minutes * 60, AIM, image_s=0.02, n_train=5_000, n_val=500)
        images.append(found.epochs * found.share)
    assert all(b >= a * 0.999 for a, b in pairwise(images))
    assert images[-1] == AIM.most_epochs


def test_epochs_that_are_given_are_not_timed(tmp_path: Path) -> None:
    jobs: list[Job] = []
    config = small_config(tmp_path, task__epochs=9, budget__minutes=10.0)
    plan, precision = plan_study(prepared(config), engine(0.01, jobs), print)
    assert (plan, precision, jobs) == (plan_of(config), "fp32", [])
    assert plan.rungs == (1, 3, 9)


def test_epochs_are_planned_by_timed_steps(tmp_path: Path) -> None:
    jobs: list[Job] = []
    config = small_config(
        tmp_path, task__epochs="auto", budget__minutes=1.0, engine__precision="auto"
    )
    study = prepared(config)
    plan, precision = plan_study(study, engine(0.0005, jobs), print)
    assert precision == "bf16"
    assert all(job.payload.compares_precisions for job in jobs)
    # Of small images a whole batch.
    batches = {job.payload.candidate.recipe.batch_size for job in jobs}
    assert batches == {study.space.recipes[0].batch_size}
    assert min(batches) > 8
    timed = [study.space.architecture_number(job.payload.candidate.architecture) for job in jobs]
    assert len(set(timed)) == len(AIMS[True, False].timed)
    assert plan == timed_plan(study, dict.fromkeys(timed, 0.0005))
    assert plan.epoch_s is not None
    middle = median(study.space.step_s[number] for number in timed)
    assert plan.epoch_s * middle == pytest.approx(0.0005 * N_VAL * (1 + 1 / 3), rel=1e-6)
    assert plan.rungs[-1] == AIMS[True, False].most_epochs
    told = lines(plan, study)
    assert any("full training" in line for line in told)
    equal = [line for line in told if "which take equally long" in line]
    assert equal
    assert all(line.endswith(" images), which take equally long") for line in equal)


def test_what_is_used_before_the_plan_is_not_planned_with(tmp_path: Path) -> None:
    config = small_config(tmp_path, task__epochs="auto", budget__minutes=1.0)
    study = prepared(config)
    times = {0: 0.05}

    def works(used_s: float) -> float:
        plan = timed_plan(study, times, 1, used_s)
        assert plan.work is not None
        return plan.work * plan.horizon * plan.share

    assert works(30.0) < 0.6 * works(0.0)
    assert works(300.0) == works(30.0)  # so that something is planned in any case


def test_the_own_steps_of_a_new_candidate_are_held_against_what_was_planned(
    tmp_path: Path,
) -> None:
    jobs: list[Job] = []
    config = small_config(tmp_path, task__epochs="auto", budget__minutes=1.0)
    study = prepared(config)
    candidate = study.space.at(0)
    assert own_steps(study, candidate) is None  # it has no plan yet
    plan, _ = plan_study(study, engine(0.0005, jobs), print)
    own = own_steps(replace(study, plan=plan), candidate)
    assert own is not None
    assert (own.plan, own.candidate) == (plan, candidate)
    timed = [study.space.architecture_number(job.payload.candidate.architecture) for job in jobs]
    middle = median(study.space.step_s[number] for number in timed)
    assert own.unit_s * middle == pytest.approx(0.0005)


def test_where_no_step_can_be_timed_the_usual_epochs_are_taken_and_it_is_said(
    tmp_path: Path,
) -> None:
    jobs: list[Job] = []
    events: list[Event] = []
    config = small_config(tmp_path, task__epochs="auto", budget__minutes=1.0)
    plan, precision = plan_study(prepared(config), engine(None, jobs), events.append)
    assert (plan, precision) == (plan_of(config), "fp32")
    assert plan.horizon == 8
    assert len(jobs) == TRIES * len(AIMS[True, False].timed)
    (event,) = events
    assert isinstance(event, Noticed)
    assert "no such network" in event.message


def test_what_is_auto_follows_from_the_weights(tmp_path: Path) -> None:
    weights = {"space__weights": str(tmp_path)}
    plain = plan_of(small_config(tmp_path, task__epochs=9))
    assert (plain.init, plain.norms, plain.rungs) == ("random", "train", (1, 3, 9))
    assert (plain.schedule, plain.ema) == ("cosine", EMA)
    with_weights = plan_of(small_config(tmp_path, task__epochs=9, **weights))
    assert with_weights.rungs == (0, 3, 9)
    assert (with_weights.init, with_weights.norms, with_weights.ema) == ("probe", "frozen", EMA)
    assert with_weights.schedule == "cosine"
    own = {"task__init": "random", "task__norms": "train", "task__ema": 0.5}
    asked = plan_of(small_config(tmp_path, task__epochs=9, **weights, **own))
    assert (asked.init, asked.norms, asked.ema, asked.rungs) == ("random", "train", 0.5, (1, 3, 9))
    given = plan_of(small_config(tmp_path, task__epochs=9, budget__rungs=[3, 9], **weights))
    assert given.rungs == (3, 9)


def test_dense_tasks_begin_at_random_and_train_their_norms(tmp_path: Path) -> None:
    words = {"space__weights": str(tmp_path), "task__name": "semantic", "task__metric": "miou"}
    words |= {"data__reader": "shapes"}
    dense = {"task__loss": "ce_dice", "space__heads": ["unet"], "space__depths": [4]}
    words["space__input_sizes"] = [64]
    plan = plan_of(small_config(tmp_path, task__epochs=9, **words, **dense))
    assert (plan.init, plan.norms, plan.ema) == ("random", "train", EMA)
    assert (plan.schedule, plan.rungs) == ("cosine", (1, 3, 9))


def test_few_minutes_spread_fewer_first_candidates_over_the_front(tmp_path: Path) -> None:
    timed = small_config(tmp_path, task__epochs="auto", budget__minutes=5.0)

    def n_first(asked: int, rungs: tuple[int, ...], config: Config = timed) -> int:
        return n_startup(asked, replace(prepared(config), plan=Plan(rungs)))

    # Beside a full training for .6 of the time: lowest rungs of a third, or a fifteenth, of one.
    assert n_first(6, (3, 9)) == 3
    assert n_first(20, (4, 15, 60)) == 10
    assert n_first(6, (1, 10)) == 6
    assert n_first(2, (3, 9)) == 2
    assert n_first(6, (0, 3, 9)) == 6  # probes are cheap
    assert n_first(6, (3, 9), small_config(tmp_path, task__epochs=9)) == 6
