"""The candidates that may be proposed next, with what is expected of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from archfront.search.front.ehvi import expected_improvement
from archfront.search.front.warp import Warp
from archfront.search.samplers.ensemble import ProcessPrediction

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Prospects:
    """What is expected of ``n`` candidates at one moment.

    Attributes:
        candidates: Their indices, ``(n,)``.
        found: Losses of what was trained, ``(n_found, n_objectives)``.
        warp: Scale of the metric's loss.
        predictions: Of each process.
        cases: Losses of the costs as weighted cases, each ``(n, n_costs)``.
        costs: Their means over the cases, ``(n, n_costs)``.
        chance: Probabilities that the limits are kept, ``(n,)``.
        seconds: Seconds of a training, where time is what runs out; else None.
        whole: Hypervolume of what was trained in full.
    """

    candidates: Ints
    found: Floats
    warp: Warp
    predictions: tuple[ProcessPrediction, ...]
    cases: Sequence[tuple[float, Floats]]
    costs: Floats
    chance: Floats
    seconds: Floats | None
    whole: float

    def gains(self) -> Floats:
        """Return the expected growth of the hypervolume by each candidate, ``(n,)``."""
        gain = np.zeros(len(self.candidates))
        for prediction in self.predictions:
            found = np.concatenate([self.found, prediction.pending])
            for chance, costs in self.cases:
                gain += (
                    prediction.weight
                    * chance
                    * expected_improvement(
                        prediction.mean, prediction.spread, costs, found, self.warp
                    )
                )
        gain *= self.chance
        gain *= np.prod([prediction.learning for prediction in self.predictions], axis=0)
        return gain

    def take(self, rows: Ints) -> Prospects:
        """Return some of the candidates."""
        return replace(
            self,
            candidates=self.candidates[rows],
            predictions=tuple(prediction.take(rows) for prediction in self.predictions),
            cases=[(chance, costs[rows]) for chance, costs in self.cases],
            costs=self.costs[rows],
            chance=self.chance[rows],
            seconds=None if self.seconds is None else self.seconds[rows],
        )

    def assuming(self, row: int) -> Prospects:
        """Return what is expected while a candidate is in training, which gives its mean."""
        predictions = (p.assuming(row, self.costs[row], self.warp) for p in self.predictions)
        return replace(self, predictions=tuple(predictions))
