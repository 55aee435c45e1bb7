"""Seconds and trainings that evaluations stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archfront.search.records.evaluation import Evaluation


def active_seconds(evaluations: Sequence[Evaluation]) -> float:
    """Return the wall seconds in which at least one trial was in flight."""
    total, end = 0.0, float("-inf")
    for evaluation in sorted(evaluations, key=lambda e: e.started):
        stop = evaluation.started + evaluation.seconds
        total += max(0.0, stop - max(evaluation.started, end))
        end = max(end, stop)
    return total


def full_trainings(trained: Iterable[Evaluation], rungs: Sequence[int]) -> float:
    """Return what evaluations cost in full trainings, each rung by its epochs."""
    ends = (0, *rungs)
    return sum((ends[e.rung + 1] - ends[e.rung]) / rungs[-1] for e in trained)
