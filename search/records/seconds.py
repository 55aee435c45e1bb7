"""Seconds and trainings that evaluations stand for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import inf

from archfront.search.records.evaluation import Evaluation, Trained


def active_seconds(evaluations: Sequence[Evaluation]) -> float:
    """Return the wall seconds in which at least one trial was in flight."""
    total, end = 0.0, float("-inf")
    for evaluation in sorted(evaluations, key=lambda e: e.started):
        stop = evaluation.started + evaluation.seconds
        total += max(0.0, stop - max(evaluation.started, end))
        end = max(end, stop)
    return total


class ActiveSeconds:
    """The wall seconds in which at least one trial was in flight, until any moment.

    Args:
        evaluations: Those of a study, in any order.
    """

    def __init__(self, evaluations: Iterable[Evaluation] = ()) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._before: list[float] = []  # seconds of the spans before each span
        for evaluation in sorted(evaluations, key=lambda e: e.started):
            self._add(evaluation)

    def after(self, added: Iterable[Evaluation]) -> ActiveSeconds:
        """Return the seconds with those of more evaluations."""
        new = ActiveSeconds()
        new._starts, new._ends = list(self._starts), list(self._ends)
        new._before = list(self._before)
        for evaluation in added:
            new._add(evaluation)
        return new

    def _add(self, evaluation: Evaluation) -> None:
        """Merge the time of an evaluation with the spans that it touches."""
        start, stop = evaluation.started, evaluation.started + evaluation.seconds
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [stop]
        del self._before[first:]
        total = (
            self._before[-1] + self._ends[first - 1] - self._starts[first - 1] if first else 0.0
        )
        for begun, ended in zip(self._starts[first:], self._ends[first:], strict=True):
            self._before.append(total)
            total += ended - begun

    def until(self, moment: float) -> float:
        """Return the seconds until a moment, in seconds since the epoch."""
        place = bisect_left(self._starts, moment) - 1
        if place < 0:
            return 0.0
        return self._before[place] + min(moment, self._ends[place]) - self._starts[place]

    @property
    def total(self) -> float:
        """Return all of the seconds."""
        return self.until(inf)


def waiting_seconds(evaluation: Evaluation) -> float:
    """Return the wall seconds of a trained candidate in which it was not measured or trained."""
    outcome, measured = evaluation.outcome, evaluation.measurement
    if not isinstance(outcome, Trained):
        return 0.0
    work = outcome.seconds
    if evaluation.rung == 0 and measured and measured.latency.source == "measured":
        work += measured.seconds
    return max(0.0, evaluation.seconds - work)


# What a solved head costs, in epochs: one pass over the images without gradients.
PROBE_EPOCHS = 0.3


def rung_costs(rungs: Sequence[int]) -> tuple[float, ...]:
    """Return the epochs that a training costs up to each rung, with the probe below the first."""
    probe = PROBE_EPOCHS if rungs[0] == 0 else 0.0
    return tuple(probe + epochs for epochs in rungs)


def full_trainings(trained: Iterable[Evaluation], rungs: Sequence[int]) -> float:
    """Return what evaluations cost in full trainings, each rung by its epochs."""
    ends = (0.0, *rung_costs(rungs))
    return sum((ends[e.rung + 1] - ends[e.rung]) / ends[-1] for e in trained)
