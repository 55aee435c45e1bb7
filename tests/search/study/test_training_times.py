"""The times of trainings: from those that were made, by work, and before any from the plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archfront.search.records.evaluation import Evaluation, Fidelity, Trained
from archfront.search.records.plan import Plan
from archfront.search.records.seconds import PROBE_EPOCHS, full_trainings, rung_costs
from archfront.search.study.budget import RemainingBudget
from archfront.search.study.training_times import LONGER, SCORED_EPOCHS, TrainingTimes
from tests.search.study.test_budget import budget
from tests.support.recorded_study import trained

PLAN = Plan((0, 2, 6), epoch_s=3.0)


def at(trial: int, rung: int, seconds: float, around: float = 1.0) -> Evaluation:
    """Return the training to a rung that took so long, beside starting and saving."""
    one = trained(trial, 0.5, 1.0)
    assert isinstance(one.outcome, Trained)
    outcome = replace(one.outcome, seconds=seconds)
    imported = replace(one.measurement.latency, source="imported")  # type: ignore[union-attr]
    measured = replace(one.measurement, latency=imported)  # type: ignore[type-var]
    return replace(
        one,
        rung=rung,
        n_rungs=3,
        outcome=outcome,
        seconds=seconds + around,
        measurement=measured,
    )


def test_a_probe_costs_a_part_of_an_epoch() -> None:
    assert rung_costs((0, 2, 6)) == (PROBE_EPOCHS, 2 + PROBE_EPOCHS, 6 + PROBE_EPOCHS)
    assert rung_costs((1, 3)) == (1.0, 3.0)
    whole = [at(0, rung, 1.0) for rung in range(3)]
    assert full_trainings(whole, (0, 2, 6)) == pytest.approx(1.0)
    assert full_trainings(whole[:1], (0, 2, 6)) == pytest.approx(PROBE_EPOCHS / (6 + PROBE_EPOCHS))


def test_before_any_training_the_plan_says_how_long_one_takes() -> None:
    times = TrainingTimes((), PLAN)
    assert times.seconds(None, 0, 1, work=2.0) == pytest.approx(2 * PROBE_EPOCHS * 3)
    assert times.seconds(None, 0, 3, work=2.0) == pytest.approx(2 * 3 * (6 + PROBE_EPOCHS))
    assert times.seconds(7, 1, 2) == pytest.approx(2 * 3)
    slow = times.seconds(7, 1, 2, is_slow=True)
    assert slow == pytest.approx(2 * 3 * LONGER)
    part = TrainingTimes((), replace(PLAN, share=0.5))
    # An epoch sees half of the images, a probe all of them.
    assert part.seconds(None, 0, 1) == pytest.approx(PROBE_EPOCHS * 3 / 0.5)
    assert TrainingTimes((), Plan((1, 3))).seconds(None, 0, 2) is None


def test_full_trainings_of_equal_time_take_as_long_whatever_their_work() -> None:
    plan = Plan((2, 8, 24), epoch_s=3.0, work=1.0)
    times = TrainingTimes((), plan)
    assert times.seconds(None, 0, 3, work=2.0) == pytest.approx(12 * 2 * 3)
    assert times.seconds(None, 0, 3, work=4.0) == pytest.approx(6 * 4 * 3)
    whole = times.of_new(np.array([1.0, 2.0, 4.0]), 3)
    assert whole == pytest.approx([72 * LONGER] * 3)
    # Of what was trained the seconds of an epoch are those of its own epochs.
    seen = TrainingTimes([at(0, 0, 24.0, around=0.0)], plan, {0: 1.0})
    assert seen.seconds(0, 1, 2) == pytest.approx(6 * 12.0)
    assert seen.seconds(None, 0, 1, work=2.0) == pytest.approx(24.0)
    # Its own epochs are those that were recorded, whatever its work says.
    own = at(0, 0, 24.0, around=0.0)
    assert isinstance(own.outcome, Trained)
    own = replace(own, outcome=replace(own.outcome, fidelity=Fidelity(1, 12, 1.0, 1)))
    recorded = TrainingTimes([own], plan, {0: 1.0})
    assert recorded.seconds(0, 1, 3) == pytest.approx(11 * 24.0)
    assert recorded.seconds(None, 0, 3, work=2.0) == pytest.approx(12 * 48.0)


def test_times_grow_with_the_work_of_an_architecture() -> None:
    works = {0: 1.0, 1: 4.0, 2: 2.0}
    made = [at(0, 0, 2.0), at(1, 0, 8.0), at(2, 0, 4.0), at(0, 1, 10.0)]
    times = TrainingTimes(made, PLAN, works)
    # The probe takes 2 s for a unit of work, an epoch 5 s, and 1 s is around each rung.
    assert times.seconds(None, 0, 1, work=3.0) == pytest.approx(1 + 6)
    assert times.seconds(None, 0, 2, work=3.0) == pytest.approx(2 + 6 + 2 * 15)
    assert times.seconds(1, 1, 2) == pytest.approx(1 + 2 * 20)  # by the rate of trial 0
    assert times.seconds(0, 2, 3) == pytest.approx(1 + 4 * 5)  # by its own
    lowest = times.of_new(np.array([1.0, 3.0]), 1)
    assert lowest is not None
    assert lowest.tolist() == pytest.approx([3, 7])
    assert times.scoring() == pytest.approx(1 + SCORED_EPOCHS * 5)


def test_what_is_proposed_fits_into_the_time_that_is_left() -> None:
    plan = Plan((0, 2, 6), epoch_s=10.0)
    open_works = np.array([1.0, 5.0, 25.0, 100.0])

    def left(seconds: float) -> RemainingBudget:
        of = budget(minutes=1)
        return RemainingBudget(of, plan, [], seconds=60 - seconds, open_works=open_works)

    # Probes of 3, 15, 75 and 300 s, of 61.2 s at most.
    assert left(60).affordable(0).tolist() == [True, True, False, False]
    assert left(60).affordable(3).tolist() == [True, True, False, False]
    assert left(60).affordable(8).tolist() == [True, False, False, False]
    assert left(30).affordable(8).tolist() == [True, False, False, False]
    many = np.concatenate([np.ones(4), np.full(8, 2.0)])  # the cheapest quarter in any case
    cheap = RemainingBudget(budget(minutes=1), plan, [], seconds=50, open_works=many)
    assert cheap.affordable(8).tolist() == [True] * 4 + [False] * 8
    assert left(4).affordable(0).tolist() == [True, False, False, False]
    assert left(4).fits(None, 0, 1)
    assert not left(1).fits(None, 0, 1)
    assert not left(60).fits(None, 0, 3)


def test_one_of_the_cheapest_begins_where_nobody_knows_what_a_training_takes() -> None:
    """With epochs that were given nothing is timed, and the heaviest took all the minutes."""
    works = np.array([1.0, 10.0, 1000.0, 1e4])
    for plan in (Plan((2, 7, 20)), Plan((20,), is_full_only=True)):
        left = RemainingBudget(budget(minutes=5), plan, [], seconds=0, open_works=works)
        assert left.affordable(8).tolist() == [True, False, False, False]
        unlimited = RemainingBudget(budget(trials=5), plan, [], seconds=0, open_works=works)
        assert unlimited.affordable(8).all()


def test_without_minutes_or_with_full_trainings_only_everything_may_be_proposed() -> None:
    works = np.array([1.0, 100.0])
    for of, plan in [
        (budget(trials=3), PLAN),
        (budget(minutes=1), replace(PLAN, is_full_only=True)),
    ]:
        left = RemainingBudget(of, plan, [], seconds=50, open_works=works)
        assert left.affordable(8).all()


def test_full_trainings_of_equal_time_have_to_fit_beside_what_is_still_to_be_seen() -> None:
    plan = Plan((2, 8, 32), epoch_s=0.5, work=0.5)
    works = np.array([0.5, 1.0, 2.0, 4.0, 16.0])
    # Full trainings of 8 s, and of 24 s of the heaviest, lowest rungs of 0.55 to 8.8 s; 12.2 s are
    # left. The two heaviest have 4 and 3 epochs in full.
    left = RemainingBudget(budget(minutes=1), plan, [], seconds=49, open_works=works)
    assert left.affordable(0).tolist() == [True, True, True, False, False]
    assert left.affordable(4).tolist() == [True, True, True, False, False]
    assert left.affordable(8).tolist() == [True, True, False, False, False]  # the cheapest


def test_without_probes_the_first_full_training_has_to_fit() -> None:
    plan = Plan((1, 3), epoch_s=10.0)
    works = np.array([0.1, 0.3, 0.9, 1.2, 2.0])

    def left(made: list[Evaluation]) -> RemainingBudget:
        return RemainingBudget(budget(minutes=1), plan, made, seconds=0, open_works=works)

    # Full trainings of 3 to 66 s, and 1.2 times that at worst; 0.7 of the minute are 43 s.
    assert left([]).affordable(0).tolist() == [True, True, True, False, False]
    # One small network that was fast says little of the larger ones.
    small = replace(at(0, 0, 1.0), n_rungs=2)
    assert left([small]).affordable(0).tolist() == [True, True, True, False, False]
    done = replace(at(0, 1, 10.0), n_rungs=2)
    assert left([done]).affordable(0).tolist() == [True] * 5
