"""What the rungs of a study say of each other, and what they saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.seconds import rung_costs

# A rank correlation of fewer trials says nothing.
FEWEST = 4


@dataclass(frozen=True)
class Agreement:
    """How well a rung ranks the trials as a higher one does.

    Attributes:
        low: Number of the lower rung, from 1.
        high: Number of the higher one.
        n_trials: Trials that were trained to both.
        tau: Kendall's rank correlation of their metric, tau-b; None for too few trials, or where
            one of the rungs tells none of them apart.
    """

    low: int
    high: int
    n_trials: int
    tau: float | None


@dataclass(frozen=True)
class Saved:
    """What was not trained.

    Attributes:
        n_trials: Trials that did not reach the top.
        seconds: What training them to the top would have taken beside, by their own seconds of
            an epoch.
        share: Of that and of what was trained, the part that was saved.
    """

    n_trials: int
    seconds: float
    share: float


def agreements(evaluations: Iterable[Evaluation]) -> list[Agreement]:
    """Return how each rung agrees with each higher one; nothing for a study with one rung."""
    from scipy.stats import kendalltau

    trials = _by_trial(evaluations)
    n_rungs = max((e.n_rungs for rungs in trials for e in rungs.values()), default=1)
    rows = []
    for low in range(n_rungs - 1):
        for high in range(low + 1, n_rungs):
            both = [rungs for rungs in trials if low in rungs and high in rungs]
            tau = None
            if len(both) >= FEWEST:
                found = kendalltau(
                    [_metric(rungs[low]) for rungs in both],
                    [_metric(rungs[high]) for rungs in both],
                ).statistic
                tau = None if found != found else float(found)  # not a number: all are equal
            rows.append(Agreement(low + 1, high + 1, len(both), tau))
    return rows


def saved(evaluations: Iterable[Evaluation], rungs: Sequence[int]) -> Saved:
    """Return what was saved against training every trial to the top.

    Args:
        evaluations: All of a study.
        rungs: Epochs of each rung.
    """
    spent = left = 0.0
    ends = rung_costs(rungs)
    n_trials = 0
    for own in _by_trial(evaluations):
        seconds = sum(e.outcome.seconds for e in own.values() if isinstance(e.outcome, Trained))
        done = ends[max(own)]
        spent += seconds
        if done < ends[-1]:
            n_trials += 1
            left += seconds / done * (ends[-1] - done)
    whole = spent + left
    return Saved(n_trials, left, left / whole if whole > 0 else 0.0)


def _by_trial(evaluations: Iterable[Evaluation]) -> list[dict[int, Evaluation]]:
    """Return the trained evaluations of each trial by their rung."""
    found: dict[int, dict[int, Evaluation]] = {}
    for evaluation in evaluations:
        if isinstance(evaluation.outcome, Trained):
            found.setdefault(evaluation.trial, {})[evaluation.rung] = evaluation
    return [found[trial] for trial in sorted(found)]


def _metric(evaluation: Evaluation) -> float:
    assert isinstance(evaluation.outcome, Trained)
    return evaluation.outcome.metric
