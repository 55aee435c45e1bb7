"""The plan of a study's trainings: how far each goes, and how it begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.spec import Init, Norms, Schedule

# By so much a quotient may be too small.
ROUNDING = 1e-9

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """The plan of a study's trainings, made once when the study starts.

    Attributes:
        rungs: Epochs at which candidates compete, the last those of a full training; 0 for a
            solved head on the features of the frozen backbone.
        share: Share of the training images that an epoch sees.
        init: What a head begins with.
        norms: Whether batch norm's statistics are trained.
        ema: Decay of the averaged weights that are judged; 0 for none.
        schedule: Schedule of the learning rate.
        epoch_s: Seconds of one epoch of an architecture of one unit of work
            (``Space.step_s``), as measured at the start; None where that was not needed.
        is_full_only: Whether the front takes full trainings only, as studies had it before there
            were plans.
        work: Work of the heaviest architecture whose trainings have the epochs of ``rungs``;
            those of heavier ones have as many as take as long. None where all have the same.
    """

    rungs: tuple[int, ...]
    share: float = 1.0
    init: Init = "random"
    norms: Norms = "train"
    ema: float = 0.0
    schedule: Schedule = "one_cycle"
    epoch_s: float | None = None
    is_full_only: bool = False
    work: float | None = None

    @property
    def horizon(self) -> int:
        """Return the epochs of a full training."""
        return self.rungs[-1]

    def epochs_of(self, works: Floats) -> Ints:
        """Return the epochs at which architectures compete, ``(n, rungs)``, rising by at least 1.

        Args:
            works: Work of the architectures, ``(n,)``.
        """
        if self.work is None:
            return np.tile(np.array(self.rungs), (len(works), 1))
        in_time = np.floor(self.horizon * self.work / works * (1 + ROUNDING))
        return self._rungs_up_to(np.clip(in_time, len(self.rungs), self.horizon))

    def rungs_of(self, work: float, full: int | None = None) -> tuple[int, ...]:
        """Return the epochs at which a candidate competes.

        Args:
            work: Work of its architecture.
            full: Epochs of its full training, where they are known; None where its work tells.
        """
        if full is None or self.work is None:
            return tuple(self.epochs_of(np.array([work]))[0].tolist())
        return tuple(self._rungs_up_to(np.array([float(full)]))[0].tolist())

    def _rungs_up_to(self, full: Floats) -> Ints:
        """Return the same, ``(n, rungs)``, of full trainings of any epochs, ``(n,)``."""
        found = np.round(np.array(self.rungs) * (full / self.horizon)[:, None]).astype(np.int64)
        found[:, 0] = np.maximum(found[:, 0], 1)
        for rung in range(1, len(self.rungs)):
            found[:, rung] = np.maximum(found[:, rung], found[:, rung - 1] + 1)
        return found

    @property
    def has_probe(self) -> bool:
        """Return whether the lowest rung is a solved head on frozen features."""
        return self.rungs[0] == 0

    @property
    def is_timed(self) -> bool:
        """Return whether the epochs follow from the minutes and timed steps."""
        return self.epoch_s is not None
