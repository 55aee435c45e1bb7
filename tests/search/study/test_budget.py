"""A study ends for a reason that its records and the clock alone give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config.schema import BudgetConfig
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.plan import Plan
from archfront.search.records.seconds import active_seconds
from archfront.search.study.budget import (
    RemainingBudget,
    RungInTraining,
    RunTimer,
    failures_in_a_row,
)
from archfront.search.study.budget import end_reason as reason_of
from archfront.search.study.progress import StudyProgress
from archfront.search.study.promotion import SEEN_LEAST, Propose
from archfront.search.study.rejections import is_too_strict
from tests.support.recorded_study import failed, rejected, trained
from tests.support.small_study import prepared, small_config


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def budget(**changes: object) -> BudgetConfig:
    options: dict[str, object] = {
        "trials": None,
        "minutes": None,
        "trial_minutes": None,
        "rungs": None,
        "max_rejections": 100,
        "max_failures": 3,
        "folds": 0,
    }
    return BudgetConfig(**{**options, **changes})  # type: ignore[arg-type]  # a test's own values


def timed(trial: int, started: float, seconds: float) -> Evaluation:
    return replace(trained(trial, 0.9, 1.0), started=started, seconds=seconds)


def remaining(
    evaluations: list[Evaluation],
    of: BudgetConfig,
    seconds: float | None = None,
    rungs: tuple[int, ...] = (1,),
    **more: Any,
) -> RemainingBudget:
    used = active_seconds(evaluations) if seconds is None else seconds
    plan = Plan(rungs, is_full_only=True)
    return RemainingBudget(of, plan, evaluations, seconds=used, **more)


def end_reason(
    evaluations: list[Evaluation], of: BudgetConfig, seconds: float | None = None
) -> str | None:
    return reason_of(evaluations, of, remaining(evaluations, of, seconds))


# ------------------------------------------------------------------ seconds


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], 0),
        ([(0, 10)], 10),
        ([(0, 10), (10, 5)], 15),
        ([(0, 10), (100, 10)], 20),  # stopped in between
        ([(0, 10), (5, 10)], 15),
        ([(0, 10), (0, 10)], 10),  # two workers
        ([(0, 100), (10, 5), (50, 10)], 100),  # short ones inside of a long one
        ([(0, 100), (10, 5), (90, 20)], 110),
        ([(50, 10), (0, 10)], 20),  # recorded in another order
    ],
)
def test_active_seconds_are_the_length_of_the_union(
    spans: list[tuple[float, float]], expected: float
) -> None:
    evaluations = [timed(i, start, seconds) for i, (start, seconds) in enumerate(spans)]
    assert active_seconds(evaluations) == expected


# ------------------------------------------------------------------ reasons


def test_a_study_without_records_goes_on() -> None:
    assert end_reason([], budget(trials=1, minutes=1)) is None


def test_trained_candidates_alone_count_as_trials() -> None:
    evaluations = [trained(0, 0.9, 1.0), rejected(1, 5.0), failed(2), trained(3, 0.8, 1.0)]
    assert end_reason(evaluations, budget(trials=3)) is None
    reason = end_reason(evaluations, budget(trials=2))
    assert reason == "2 candidates are trained (budget.trials=2)"
    more = [*evaluations, trained(4, 0.7, 1.0)]  # two workers, and the budget was lowered
    assert end_reason(more, budget(trials=2)) == "3 candidates are trained (budget.trials=2)"


def test_the_time_is_used_up() -> None:
    reason = "the time is used up (budget.minutes=1.5)"
    assert end_reason([], budget(minutes=1.5), seconds=89) is None
    assert end_reason([], budget(minutes=1.5), seconds=92) == reason
    assert end_reason([timed(0, 0, 92)], budget(minutes=1.5)) == reason


def test_where_nothing_was_within_the_limits_the_end_says_so() -> None:
    spent = [timed(0, 0, 92), rejected(1, 5.0), rejected(2, 4.0)]
    assert end_reason(spent, budget(minutes=1.5)) == "the time is used up (budget.minutes=1.5)"
    reason = end_reason([failed(0), *spent[1:]], budget(minutes=1.5), seconds=92)
    assert reason == (
        "the time is used up (budget.minutes=1.5), and 2 candidates were over a limit; the "
        "fastest of them takes 4 ms. Raise the limits, or give the space smaller backbones and "
        "input sizes"
    )


def test_a_training_that_would_not_end_in_time_is_not_begun() -> None:
    evaluations = [timed(i, 30 * i, 30) for i in range(3)]  # 12 s of training, 18 s around it
    assert end_reason(evaluations, budget(minutes=2), seconds=92) is None
    reason = end_reason(evaluations, budget(minutes=2), seconds=93)
    assert reason == "the time is used up (budget.minutes=2)"


def rung(of: Evaluation, number: int, seconds: float = 12.0) -> Evaluation:
    """Return an evaluation at a rung of 1, 3 or 9 epochs, trained for so long."""
    outcome = of.outcome
    assert isinstance(outcome, Trained)
    return replace(of, rung=number, n_rungs=3, outcome=replace(outcome, seconds=seconds))


def test_rungs_count_by_their_epochs() -> None:
    first = rung(trained(0, 0.5, 1.0), 0)
    both = [first, rung(trained(0, 0.6, 1.0), 1)]
    assert remaining([first], budget(trials=2), rungs=(1, 3, 9)).spent == pytest.approx(1 / 9)
    left = remaining(both, budget(trials=2), rungs=(1, 3, 9), running=[RungInTraining(0, 2)])
    assert left.spent == pytest.approx(3 / 9)
    assert left.share(None, 0, 1) == pytest.approx(1 / 9)  # one training is left
    assert left.share(0, 2, 3) == pytest.approx(6 / 9)
    assert left.fits(None, 0, 3)
    assert not remaining(both, budget(trials=1), rungs=(1, 3, 9)).fits(None, 0, 3)
    assert remaining(both, budget(trials=1), rungs=(1, 3, 9)).fits(0, 2, 3)


def test_rungs_are_used_up_in_words() -> None:
    evaluations = [rung(trained(0, 0.5, 1.0), number) for number in range(3)]
    evaluations.append(rung(trained(1, 0.5, 1.0), 0))
    of = budget(trials=1)
    assert reason_of(evaluations, of, remaining(evaluations, of, rungs=(1, 3, 9))) == (
        "1 candidate is trained, with those below the top 1.11 trainings (budget.trials=1)"
    )


@pytest.mark.parametrize(("is_full_only", "named"), [(False, "minutes"), (True, "trials")])
def test_of_two_budgets_the_one_that_is_used_up_is_named(is_full_only: bool, named: str) -> None:
    """One with 0.89 of a training left was named, though its next step took 0.11."""
    evaluations = [rung(trained(0, 0.5, 1.0), 0)]
    of, plan = budget(trials=1, minutes=9), Plan((1, 3, 9), is_full_only=is_full_only)
    left = RemainingBudget(of, plan, evaluations, seconds=9.2 * 60)
    reason = reason_of(evaluations, of, left)
    assert reason is not None
    assert f"(budget.{named}=" in reason


def test_the_time_of_a_step_is_told_from_those_that_were_seen() -> None:
    slow = rung(trained(0, 0.5, 1.0), 0, seconds=4)  # 10 s around it, 1.5 of them measuring
    fast = rung(trained(1, 0.5, 1.0), 0, seconds=2)
    found = remaining(
        [slow, replace(fast, seconds=12.0)], budget(minutes=100 / 1.02 / 60), 0.0, (1, 3, 9)
    )
    # Two more epochs of its own, with what is around a training that needs no measuring.
    assert found.share(0, 1, 2) == pytest.approx((8.5 + 2 * 4) / 100)
    assert found.share(1, 1, 2) == pytest.approx((8.5 + 2 * 2) / 100)
    assert found.share(None, 0, 1) == pytest.approx((10 + 3) / 100)
    assert found.fits(0, 1, 3)  # 17 + 35.2 s
    later = remaining([slow, fast], budget(minutes=100 / 1.02 / 60), 49.0, (1, 3, 9))
    assert not later.fits(0, 1, 3)
    assert later.fits(1, 1, 3)


def test_the_last_scores_of_the_front_are_within_the_time() -> None:
    evaluations = [timed(i, 30 * i, 30) for i in range(2)]
    assert remaining(evaluations, budget(minutes=2), 60.0).fits(None, 0, 1)
    assert not remaining(evaluations, budget(minutes=2), 60.0, n_scored=2).fits(None, 0, 1)


def test_several_workers_have_so_many_times_the_minutes() -> None:
    evaluations = [timed(0, 0, 30)]
    one, two = (
        remaining(evaluations, budget(minutes=9), n_slots=n).share(None, 0, 1) for n in (1, 2)
    )
    assert one == pytest.approx(2 * two)


def test_rejections_in_a_row_end_the_study_with_the_fastest_of_them() -> None:
    evaluations = [rejected(0, 1.0), trained(1, 0.9, 1.0), rejected(2, 7.25), rejected(3, 5.125)]
    assert end_reason(evaluations, budget(trials=9, max_rejections=3)) is None
    assert end_reason(evaluations, budget(trials=9, max_rejections=2)) == (
        "2 candidates in a row were over a limit; the fastest of them takes 5.12 ms. Raise the "
        "limits, or give the space smaller backbones and input sizes"
    )


def test_a_failure_between_rejections_breaks_the_row() -> None:
    evaluations = [rejected(0, 5.0), failed(1), rejected(2, 5.0)]
    assert end_reason(evaluations, budget(trials=9, max_rejections=2)) is None


def test_trials_that_climb_do_not_break_a_row_of_rejections() -> None:
    climbed = replace(trained(0, 0.9, 1.0), rung=1, n_rungs=3)
    of = budget(trials=9, max_rejections=2)
    assert is_too_strict([rejected(1, 5.0), rejected(2, 5.0), climbed], of, lambda: 1.0)


def test_limits_that_nothing_else_is_likely_to_meet_end_the_study() -> None:
    of, few = budget(minutes=9), [rejected(number, 5.0 + number) for number in range(4)]
    assert not is_too_strict(few, of, lambda: 0.0)
    more = [*few, rejected(4, 4.0)]
    assert not is_too_strict(more, of, lambda: 0.01)
    assert is_too_strict(more, of, lambda: 1e-4)
    reason = reason_of(more, of, remaining(more, of), lambda: 0.0)
    assert reason == (
        "5 candidates in a row were over a limit, and so is probably every other one; the fastest "
        "of them takes 4 ms. Raise the limits, or give the space smaller backbones and input sizes"
    )


def test_rejections_that_other_work_may_explain_do_not_show_that_limits_are_too_strict() -> None:
    of, many = budget(minutes=9), [rejected(number, 30.0) for number in range(5)]

    def disturbed(evaluation: Evaluation) -> Evaluation:
        assert evaluation.measurement is not None
        latency = replace(evaluation.measurement.latency, spread=0.9, is_stable=False)
        return replace(evaluation, measurement=replace(evaluation.measurement, latency=latency))

    assert is_too_strict(many, of, lambda: 0.0)
    assert not is_too_strict([*many[:4], disturbed(many[4])], of, lambda: 0.0)
    assert not is_too_strict(list(map(disturbed, many)), of, lambda: 0.0)
    by_number = budget(minutes=9, max_rejections=5)
    assert is_too_strict(list(map(disturbed, many)), by_number, lambda: 0.0)


# ------------------------------------------------------------------ one run


def test_a_run_counts_its_seconds_on_top_of_the_earlier_ones() -> None:
    clock = HandClock()
    timer = RunTimer([timed(0, 0, 20), timed(1, 10, 20)], clock)
    assert timer.seconds() == 30
    clock.now += 29
    assert timer.seconds() == 59


def test_trials_in_flight_take_room() -> None:
    evaluations = [trained(0, 0.9, 1.0), rejected(1, 5.0)]
    assert remaining(evaluations, budget(trials=3), running=[RungInTraining(2, 0)]).fits(
        None, 0, 1
    )
    assert not remaining(
        evaluations, budget(trials=3), running=[RungInTraining(2, 0), RungInTraining(3, 0)]
    ).fits(None, 0, 1)


def test_too_many_rejections_in_a_row_are_too_strict() -> None:
    of = budget(trials=9, max_rejections=2)
    assert not is_too_strict([rejected(0, 5.0)], of, lambda: 1.0)
    assert is_too_strict([rejected(0, 5.0), rejected(1, 5.0)], of, lambda: 1.0)


def test_failures_in_a_row_are_a_reason_to_stop_that_shows_the_last() -> None:
    of = budget(trials=9)
    assert failures_in_a_row([failed(0)], of) is None
    assert failures_in_a_row([failed(0), failed(1)], of) is None
    assert failures_in_a_row([failed(0), failed(1), failed(2, "no number.")], of) == (
        "3 candidates failed in a row (budget.max_failures=3). The last one, resnet18@32 avg: "
        "diverged: no number. The same command goes on when the cause is gone"
    )


@pytest.mark.parametrize("between", [trained(9, 0.9, 1.0), rejected(9, 5.0)])
def test_whatever_is_no_failure_starts_the_count_over(between: Evaluation) -> None:
    run = [failed(0), failed(1), between, failed(2), failed(3)]
    for n in range(1, len(run) + 1):
        assert failures_in_a_row(run[:n], budget(trials=9)) is None


@dataclass
class Recorded:
    """A store of which only the evaluations are read."""

    found: list[Evaluation]

    def evaluations(self) -> list[Evaluation]:
        return list(self.found)


def test_failures_of_earlier_runs_do_not_count(tmp_path: Path) -> None:
    store: Any = Recorded([failed(0), failed(1)])
    whole = prepared(small_config(tmp_path, budget__max_failures=3))
    paths = StudyPaths(tmp_path, "small")
    progress = StudyProgress(whole, store, paths, n_slots=1, clock=HandClock())
    progress.evaluations += [failed(2), failed(3)]
    assert progress.failures_in_a_row() is None
    progress.evaluations.append(failed(4))
    assert str(progress.failures_in_a_row()).startswith("3 candidates failed in a row")


def test_what_was_over_a_limit_was_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight rejections once gave the first training all the time that was left."""
    unseen: list[int] = []

    def noted(left: RemainingBudget, n_more: int) -> Any:
        unseen.append(n_more)
        return affordable(left, n_more)

    affordable = RemainingBudget.affordable
    monkeypatch.setattr(RemainingBudget, "affordable", noted)
    whole = prepared(small_config(tmp_path, budget__trials=99))
    of = [whole.space.at(index) for index in range(4)]
    stored: list[Evaluation] = [rejected(0, 5.0, of=of[0]), failed(1, of=of[1])]
    for found in (stored, [*stored, trained(2, 0.9, 1.0, of=of[2])]):
        store: Any = Recorded(found)
        paths = StudyPaths(tmp_path, "small")
        progress = StudyProgress(whole, store, paths, n_slots=1, clock=HandClock())
        assert isinstance(progress.next_step(), Propose)
    assert unseen == [SEEN_LEAST, SEEN_LEAST - 1]
