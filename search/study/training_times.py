"""The times that trainings take, estimated from those that were made and from the plan."""

from __future__ import annotations

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
        self._ends = (0, *plan.rungs)
        self._own: dict[int, float] = {}
        probes, before, between = [], [], []
        for evaluation in sorted(trained, key=lambda e: (e.trial, e.rung)):
            assert isinstance(evaluation.outcome, Trained)
            epochs = self._ends[evaluation.rung + 1] - self._ends[evaluation.rung]
            work = works.get(evaluation.trial, 1.0)
            if epochs == 0:
                probes.append(evaluation.outcome.seconds / work)
            else:
                self._own[evaluation.trial] = evaluation.outcome.seconds / epochs
            around = max(0.0, evaluation.seconds - evaluation.outcome.seconds)
            if evaluation.rung == 0:
                before.append(around)
                measured = evaluation.measurement
                if measured is not None and measured.latency.source == "measured":
                    around = max(0.0, around - measured.seconds)
            between.append(around)
        self._before = median(before) if before else 0.0
        self._between = median(between) if between else 0.0
        self._probes = sorted(probes)
        self._epochs = sorted(s / works.get(trial, 1.0) for trial, s in self._own.items())

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
        epochs = self._ends[rungs] - self._ends[done]
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

    def of_new(self, works: Floats, rungs: int) -> Floats | None:
        """Return the seconds of new candidates up to a rung at worst; None if unknown.

        Args:
            works: Work of their architectures.
            rungs: Rungs to be finished.
        """
        base = self.seconds(None, 0, rungs, work=0.0, is_slow=True)
        unit = self.seconds(None, 0, rungs, work=1.0, is_slow=True)
        if base is None or unit is None:
            return None
        found: Floats = base + (unit - base) * works
        return found

    def scoring(self) -> float:
        """Return the seconds after the last training for one member of the front."""
        if self._own:
            return self._between + SCORED_EPOCHS * median(self._own.values())
        work = median(self._works.values()) if self._works else 1.0
        epoch_s = self._epoch(None, work, is_slow=False)
        return 0.0 if epoch_s is None else self._between + SCORED_EPOCHS * epoch_s

    def _epoch(self, trial: int | None, work: float, *, is_slow: bool) -> float | None:
        """Return the seconds of an epoch."""
        if trial in self._own:
            return self._own[trial] * (LONGER if is_slow else 1.0)
        if self._epochs:
            return work * (_slow(self._epochs) if is_slow else median(self._epochs))
        planned = self._plan.epoch_s
        return None if planned is None else work * planned * (LONGER if is_slow else 1.0)

    def _probe(self, *, is_slow: bool) -> float | None:
        """Return the seconds of a probe of an architecture of one unit of work."""
        if self._probes:
            return _slow(self._probes) if is_slow else median(self._probes)
        planned = self._plan.epoch_s
        return None if planned is None else PROBE_EPOCHS * planned / self._plan.share


def _slow(ascending: Sequence[float]) -> float:
    return ascending[min(int(SLOW * len(ascending)), len(ascending) - 1)]
