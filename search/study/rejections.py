"""Limits that nothing meets: when rejections in a row end a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archfront.search.config.schema import BudgetConfig
from archfront.search.latency.steady import may_be_within
from archfront.search.records.evaluation import Evaluation, Rejected, Trained
from archfront.trainers.words import count_of

# Rejections in a row after which a study ends whose other architectures are within the limits with
# a probability below this: a latency that is three times what is expected is as likely.
REJECTED_LEAST, HOPELESS = 5, 1e-3


def is_too_strict(
    evaluations: Sequence[Evaluation], budget: BudgetConfig, chance: Callable[[], float]
) -> bool:
    """Return whether limits leave nothing to propose.

    Too many candidates in a row were over a limit, or some for sure and no other is likely to be
    within.

    Args:
        evaluations: Everything recorded, in order of recording.
        budget: The whole budget.
        chance: Returns the largest probability that an open architecture is within all limits.
    """
    rejected = trailing_rejections(evaluations)
    if len(rejected) >= budget.max_rejections:
        return True
    n_sure = sum(not _is_in_doubt(evaluation) for evaluation in rejected)
    return n_sure >= REJECTED_LEAST and chance() < HOPELESS


def _is_in_doubt(rejected: Evaluation) -> bool:
    """Return whether other work alone may have put a candidate over its limits."""
    measurement, outcome = rejected.measurement, rejected.outcome
    if measurement is None or not isinstance(outcome, Rejected):
        return False
    return may_be_within(measurement, outcome.exceeded)


def trailing_rejections(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return the rejected candidates since the last one that was not, the latest first."""
    streak: list[Evaluation] = []
    for evaluation in reversed(evaluations):
        if evaluation.rung > 0:
            continue
        if not isinstance(evaluation.outcome, Rejected):
            break
        streak.append(evaluation)
    return streak


def over_limits(evaluations: Sequence[Evaluation]) -> str:
    """Return what a reason adds where candidates were over a limit and none was trained."""
    rejected = [e for e in evaluations if isinstance(e.outcome, Rejected)]
    if not rejected or any(isinstance(e.outcome, Trained) for e in evaluations):
        return ""
    return f", and {too_strict(rejected)}"


def too_strict(rejected: Sequence[Evaluation], how: str = "", rest: str = "") -> str:
    """Return in words that candidates were over a limit, and what to do.

    Args:
        rejected: They.
        how: What follows their number.
        rest: What follows of the others.
    """
    times = [e.measurement.latency.p50_ms for e in rejected if e.measurement is not None]
    what = count_of(len(rejected), "candidate") + how
    were = "was" if len(rejected) == 1 else "were"
    fastest = f"; the fastest of them takes {min(times):.3g} ms" if times else ""
    return (
        f"{what} {were} over a limit{rest}{fastest}. Raise the limits, or give the space smaller "
        "backbones and input sizes"
    )
