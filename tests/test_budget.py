"""A study ends for a reason that its records and the clock alone give."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_study import failed, rejected, trained

from search.budget import Ledger, active_seconds, end_reason
from search.config import BudgetConfig
from search.errors import StudyError
from search.records import Evaluation


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
        "max_rejections": 100,
        "max_failures": 3,
    }
    return BudgetConfig(**{**options, **changes})  # type: ignore[arg-type]  # a test's own values


def timed(trial: int, started: float, seconds: float) -> Evaluation:
    return replace(trained(trial, 0.9, 1.0), started=started, seconds=seconds)


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
    assert end_reason([], budget(minutes=1.5), seconds=90) == reason
    assert end_reason([timed(0, 0, 91)], budget(minutes=1.5)) == reason


def test_a_training_that_would_run_over_by_more_than_half_is_not_begun() -> None:
    evaluations = [timed(i, 30 * i, 30) for i in range(3)]
    assert end_reason(evaluations, budget(minutes=1.75), seconds=90) is None  # 15 s are left
    reason = end_reason(evaluations, budget(minutes=1.75), seconds=91)
    assert reason == "the time is used up (budget.minutes=1.75)"


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


# ------------------------------------------------------------------ one run


def test_a_run_counts_its_seconds_on_top_of_the_earlier_ones() -> None:
    clock = HandClock()
    ledger = Ledger(budget(minutes=1), [timed(0, 0, 20), timed(1, 10, 20)], clock)
    assert ledger.seconds() == 30
    clock.now += 29
    assert ledger.seconds() == 59
    assert ledger.has_room([], 0)
    clock.now += 1
    assert not ledger.has_room([], 0)


def test_trials_in_flight_take_room() -> None:
    ledger = Ledger(budget(trials=3), [], HandClock())
    evaluations = [trained(0, 0.9, 1.0), rejected(1, 5.0)]
    assert ledger.has_room(evaluations, 1)
    assert not ledger.has_room(evaluations, 2)


def test_no_room_is_left_when_a_study_has_an_end_reason() -> None:
    ledger = Ledger(budget(trials=9, max_rejections=2), [], HandClock())
    assert ledger.has_room([rejected(0, 5.0)], 0)
    assert not ledger.has_room([rejected(0, 5.0), rejected(1, 5.0)], 0)


def test_failures_in_a_row_are_an_error_that_shows_the_last() -> None:
    ledger = Ledger(budget(trials=9), [], HandClock())
    ledger.check_failures(failed(0))
    ledger.check_failures(failed(1))
    with pytest.raises(
        StudyError,
        match=r"^3 candidates failed in a row \(budget\.max_failures=3\)\. The last one, "
        r"resnet18@32 avg: diverged: no number\nEverything finished is recorded; resume with the "
        r"same command when the cause is gone\.$",
    ):
        ledger.check_failures(failed(2, "no number"))


@pytest.mark.parametrize("between", [trained(9, 0.9, 1.0), rejected(9, 5.0)])
def test_whatever_is_no_failure_starts_the_count_over(between: Evaluation) -> None:
    ledger = Ledger(budget(trials=9), [], HandClock())
    for evaluation in (failed(0), failed(1), between, failed(2), failed(3)):
        ledger.check_failures(evaluation)


def test_failures_of_earlier_runs_do_not_count() -> None:
    ledger = Ledger(budget(trials=9), [failed(0), failed(1)], HandClock())
    ledger.check_failures(failed(2))
    ledger.check_failures(failed(3))
