"""The plan of a study's trainings: how far each goes, and how it begins."""

from __future__ import annotations

from dataclasses import dataclass

from archfront.trainers.spec import Init, Norms, Schedule


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
    """

    rungs: tuple[int, ...]
    share: float = 1.0
    init: Init = "random"
    norms: Norms = "train"
    ema: float = 0.0
    schedule: Schedule = "one_cycle"
    epoch_s: float | None = None
    is_full_only: bool = False

    @property
    def horizon(self) -> int:
        """Return the epochs of a full training."""
        return self.rungs[-1]

    @property
    def has_probe(self) -> bool:
        """Return whether the lowest rung is a solved head on frozen features."""
        return self.rungs[0] == 0

    @property
    def is_timed(self) -> bool:
        """Return whether the epochs follow from the minutes and timed steps."""
        return self.epoch_s is not None
