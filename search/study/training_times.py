"""The times that trainings take, estimated from those that were made and from the plan."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from statistics import median
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.plan import Plan
from archfront.search.records.seconds import PROBE_EPOCHS

Floats = NDArray[np.float64]

# Safety margins of a training's time: that of a new candidate counts with this quantile of the
# candidates so far, that of a known one with this factor.
SLOW, LONGER = 0.9, 1.1
# Scoring a member on the test split and drawing its predictions, in epochs of its training: it is
# a pass over images without gradients.
SCORED_EPOCHS = 0.4


class TrainingTimes:
    """The times that trainings take: per unit of an architecture's work, a probe and an epoch.

    Args:
        trained: Evaluations whose outcome is ``Trained``.
        plan: The plan of the study's trainings.
        works: Work of the architectures by trial; 1 where a trial has none.
    """

    def __init__(
        self,
        trained: Sequence[Evaluation],
        plan: Plan,
        works: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        self._plan, self._works = plan, works
        self._own: dict[int, tuple[int, float]] = {}  # rung and seconds of an epoch by trial
        self._full: dict[int | None, int] = {}  # epochs of a full training by trial
        # Ascending, so that medians and quantiles are at hand after each training.
        self._probes: list[float] = []
        self._epochs: list[float] = []
        self._own_epochs: list[float] = []
        self._befores: list[float] = []
        self._betweens: list[float] = []
        for evaluation in trained:
            self.add(evaluation)

    def add(self, evaluation: Evaluation) -> None:
        """Take in one more training; ``works`` has its trial already."""
        assert isinstance(evaluation.outcome, Trained)
        trial, rung, seconds = evaluation.trial, evaluation.rung, evaluation.outcome.seconds
        work, fidelity = self._works.get(trial, 1.0), evaluation.outcome.fidelity
        if fidelity is not None:
            self._full[trial] = fidelity.horizon
        epochs = self._epochs_between(trial, work, rung, rung + 1)
        if epochs == 0:
            insort(self._probes, seconds / work)
        else:
            self._add_own(trial, rung, seconds / epochs, work)
        around = max(0.0, evaluation.seconds - seconds)
        if rung == 0:
            insort(self._befores, around)
            measured = evaluation.measurement
            if measured is not None and measured.latency.source == "measured":
                around = max(0.0, around - measured.seconds)
        insort(self._betweens, around)

    def _add_own(self, trial: int, rung: int, epoch_s: float, work: float) -> None:
        """Take in the seconds of an epoch of a trial, of which its highest rung counts."""
        before = self._own.get(trial)
        if before is not None:
            if before[0] > rung:
                return
            _remove(self._epochs, before[1] / work)
            _remove(self._own_epochs, before[1])
        self._own[trial] = rung, epoch_s
        insort(self._epochs, epoch_s / work)
        insort(self._own_epochs, epoch_s)

    @property
    def _before(self) -> float:
        return _middle(self._befores) if self._befores else 0.0

    @property
    def _between(self) -> float:
        return _middle(self._betweens) if self._betweens else 0.0

    def seconds(
        self,
        trial: int | None,
        done: int,
        rungs: int,
        *,
        work: float = 1.0,
        is_slow: bool = False,
    ) -> float | None:
        """Return the seconds of training a trial from rung to rung; None if nothing is known.

        Args:
            trial: Number of the trial; None for one that is still to be proposed.
            done: Its finished rungs.
            rungs: Rungs to be finished.
            work: Work of the architecture that is still to be proposed.
            is_slow: Return the time at worst instead of the usual one.
        """
        work = work if trial is None else self._works.get(trial, 1.0)
        total = self._between * (rungs - done)
        if done == 0:
            total += self._before - self._between
        epochs = self._epochs_between(trial, work, done, rungs)
        if epochs:
            epoch_s = self._epoch(trial, work, is_slow=is_slow)
            if epoch_s is None:
                return None
            total += epoch_s * epochs
        if done == 0 and self._plan.has_probe:
            probe_s = self._probe(is_slow=is_slow)
            if probe_s is None:
                return None
            total += probe_s * work
        return total

    def of_new(self, works: Floats, rungs: int, *, is_slow: bool = True) -> Floats | None:
        """Return the seconds of new candidates up to a rung; None if unknown.

        Args:
            works: Work of their architectures.
            rungs: Rungs to be finished.
            is_slow: Return the times at worst instead of the usual ones.
        """
        epochs = self._plan.epochs_of(works)[:, rungs - 1]
        found: Floats = np.full(len(works), self._before + self._between * (rungs - 1))
        if epochs.any():
            epoch_s = self._epoch(None, 1.0, is_slow=is_slow)
            if epoch_s is None:
                return None
            found += epoch_s * works * epochs
        if self._plan.has_probe:
            probe_s = self._probe(is_slow=is_slow)
            if probe_s is None:
                return None
            found += probe_s * works
        return found

    def scoring(self) -> float:
        """Return the seconds after the last training for one member of the front."""
        if self._own_epochs:
            return self._between + SCORED_EPOCHS * _middle(self._own_epochs)
        work = median(self._works.values()) if self._works else 1.0
        epoch_s = self._epoch(None, work, is_slow=False)
        return 0.0 if epoch_s is None else self._between + SCORED_EPOCHS * epoch_s

    def _epochs_between(self, trial: int | None, work: float, done: int, rungs: int) -> int:
        """Return the epochs of a trial, or of any of a work, between two numbers of rungs."""
        ends = (0, *self._plan.rungs_of(work, self._full.get(trial)))
        return ends[rungs] - ends[done]

    def _epoch(self, trial: int | None, work: float, *, is_slow: bool) -> float | None:
        """Return the seconds of an epoch."""
        if trial in self._own:
            return self._own[trial][1] * (LONGER if is_slow else 1.0)
        if self._epochs:
            return work * (_slow(self._epochs) if is_slow else _middle(self._epochs))
        planned = self._plan.epoch_s
        return None if planned is None else work * planned * (LONGER if is_slow else 1.0)

    def _probe(self, *, is_slow: bool) -> float | None:
        """Return the seconds of a probe of an architecture of one unit of work."""
        if self._probes:
            return _slow(self._probes) if is_slow else _middle(self._probes)
        planned = self._plan.epoch_s
        return None if planned is None else PROBE_EPOCHS * planned / self._plan.share


def _slow(ascending: Sequence[float]) -> float:
    return ascending[min(int(SLOW * len(ascending)), len(ascending) - 1)]


def _middle(ascending: Sequence[float]) -> float:
    """Return the median."""
    half = len(ascending) // 2
    if len(ascending) % 2:
        return ascending[half]
    return (ascending[half - 1] + ascending[half]) / 2


def _remove(ascending: list[float], value: float) -> None:
    del ascending[bisect_left(ascending, value)]
