"""What has changed between two readings of the records of a study."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, groupby
from operator import attrgetter, is_not

from archfront.search.records.evaluation import Evaluation
from archfront.search.results.results import Results

_trial = attrgetter("trial")


@dataclass(frozen=True)
class ChangedTrials:
    """The trials of a study that have changed since it was read before.

    Attributes:
        evaluations: All evaluations of each, by rung and attempt; none of one that is gone.
        added: The evaluations that are new.
        removed: Those that are there no more, as where a latency was measured again.
        moved: Trials that wait now and did not before, or the other way around.
    """

    evaluations: dict[int, tuple[Evaluation, ...]]
    added: list[Evaluation]
    removed: list[Evaluation]
    moved: frozenset[int]


def all_trials(results: Results) -> ChangedTrials:
    """Return all trials of a study, as new ones."""
    ordered = sorted(results.evaluations, key=lambda e: (e.trial, e.rung, e.attempt))
    evaluations = {trial: tuple(some) for trial, some in groupby(ordered, key=_trial)}
    return ChangedTrials(evaluations, ordered, [], frozenset())


def changed_trials(before: Results, after: Results) -> ChangedTrials:
    """Return what has changed between two readings by one store, which keeps what it decoded.

    Args:
        before: What was read before, its evaluations by trial.
        after: What was read later.
    """
    old, new = before.evaluations, after.evaluations
    start = _n_equal(old, new)
    rest = _n_equal(old[start:][::-1], new[start:][::-1])
    gone, come = old[start : len(old) - rest], new[start : len(new) - rest]
    kept = {id(e) for e in gone} & {id(e) for e in come}
    added = [e for e in come if id(e) not in kept]
    removed = [e for e in gone if id(e) not in kept]
    trials = sorted({e.trial for e in (*added, *removed)})
    evaluations = {trial: _of_trial(new, trial) for trial in trials}
    return ChangedTrials(evaluations, added, removed, before.waiting ^ after.waiting)


def _n_equal(old: Sequence[Evaluation], new: Sequence[Evaluation]) -> int:
    """Return how many evaluations two lists have in common at their start."""
    n = min(len(old), len(new))
    return next(compress(range(n), map(is_not, old, new)), n)


def _of_trial(evaluations: Sequence[Evaluation], trial: int) -> tuple[Evaluation, ...]:
    start = bisect_left(evaluations, trial, key=_trial)
    end = bisect_left(evaluations, trial + 1, lo=start, key=_trial)
    return tuple(evaluations[start:end])
