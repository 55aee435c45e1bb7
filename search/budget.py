"""When a study ends, from its records and the clock alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from search.config.schema import BudgetConfig
from search.errors import StudyError
from search.records.evaluation import Evaluation, Failed, Rejected
from search.study.budget import Purse
from trainers.words import count_of


def active_seconds(evaluations: Sequence[Evaluation]) -> float:
    """Return the wall seconds in which at least one trial was in flight."""
    total, end = 0.0, float("-inf")
    for evaluation in sorted(evaluations, key=lambda e: e.started):
        stop = evaluation.started + evaluation.seconds
        total += max(0.0, stop - max(evaluation.started, end))
        end = max(end, stop)
    return total


def end_reason(
    evaluations: Sequence[Evaluation],
    budget: BudgetConfig,
    purse: Purse,
) -> str | None:
    """Return why a study has nothing more to propose, or None when it has.

    Args:
        evaluations: Everything recorded, in order of recording.
        budget: What it may use.
        purse: What of it is left.
    """
    if not purse.fits(None, 0, purse.n_rungs):
        return purse.reason(evaluations)
    if is_too_strict(evaluations, budget):
        return _too_strict(_trailing_rejections(evaluations))
    return None


def is_too_strict(evaluations: Sequence[Evaluation], budget: BudgetConfig) -> bool:
    """Return whether too many candidates in a row were over a limit."""
    return len(_trailing_rejections(evaluations)) >= budget.max_rejections


def exhausted(size: int) -> str:
    """Return the reason of a study whose space has nothing left."""
    if size == 1:
        return "the one candidate of the space was tried"
    return f"all {size:,} candidates of the space were tried"


class Ledger:
    """What one run of a study has used, on top of the runs before it."""

    def __init__(
        self, budget: BudgetConfig, earlier: Sequence[Evaluation], clock: Callable[[], float]
    ) -> None:
        self._budget, self._clock = budget, clock
        self._earlier_s = active_seconds(earlier)
        self._started = clock()
        self._failures = 0

    def seconds(self) -> float:
        """Return the wall seconds used by all runs."""
        return self._earlier_s + self._clock() - self._started

    def check_failures(self, evaluation: Evaluation) -> None:
        """Count failures in a row.

        Raises:
            StudyError: When ``budget.max_failures`` of them came in this run.
        """
        if not isinstance(evaluation.outcome, Failed):
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= self._budget.max_failures:
            raise StudyError(
                f"{count_of(self._failures, 'candidate')} failed in a row (budget.max_failures="
                f"{self._budget.max_failures}). The last one, {evaluation.candidate.label}: "
                f"{evaluation.outcome}\nEverything finished is recorded; resume with the same "
                "command when the cause is gone."
            )


def _trailing_rejections(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    streak: list[Evaluation] = []
    for evaluation in reversed([e for e in evaluations if e.rung == 0]):
        if not isinstance(evaluation.outcome, Rejected):
            break
        streak.append(evaluation)
    return streak


def _too_strict(streak: Sequence[Evaluation]) -> str:
    times = [e.measurement.latency.p50_ms for e in streak if e.measurement is not None]
    were = "was" if len(streak) == 1 else "were"
    fastest = f"; the fastest of them takes {min(times):.3g} ms" if times else ""
    return (
        f"{count_of(len(streak), 'candidate')} in a row {were} over a limit{fastest}. Raise the "
        "limits, or give the space smaller backbones and input sizes"
    )
