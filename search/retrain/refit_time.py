"""The time of a refit: what its full trainings take by the search, and what is left of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median

from archfront.search.prepare.recorded import Study
from archfront.search.records.evaluation import Trained
from archfront.search.results.results import Results
from archfront.search.results.select_members import evaluation_of
from archfront.search.retrain.refit_members import FullTraining


def epoch_seconds(results: Results, study: Study, trials: Sequence[int]) -> dict[int, float]:
    """Return the seconds of an epoch over all training images, of the trials that trained one.

    Args:
        results: The study's records.
        study: The recorded study.
        trials: Trials that were trained.
    """
    found = {}
    for trial in trials:
        outcome = evaluation_of(results, trial).outcome
        assert isinstance(outcome, Trained)
        plan = study.header.trainings if outcome.fidelity is None else outcome.fidelity
        rows = [row["seconds"] for row in outcome.curve if row["epoch"] > 0]
        if rows:  # a probe has none
            found[trial] = median(rows) / plan.share
    return found


class RefitTime:
    """The time that is left of a refit: by the search at first, then by its own epochs too.

    Args:
        steps: The full trainings.
        epoch_s: Seconds of an epoch by trial; a trial that is not in it has the mean.
        clock: Seconds.
    """

    def __init__(
        self,
        steps: Sequence[FullTraining],
        epoch_s: Mapping[int, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        mean = fmean(epoch_s.values()) if epoch_s else 1.0
        self._epoch_s = {step.trial: epoch_s.get(step.trial, mean) for step in steps}
        self._steps = [step for step in steps if step.done is None]
        self._is_known, self._clock, self._began = bool(epoch_s), clock, clock()
        self._trained_s = 0.0

    def trained(self, step: FullTraining) -> None:
        """Take in an epoch of a training."""
        self._trained_s += self._epoch_s[step.trial]

    def left_s(self, step: FullTraining | None = None, epoch: int = 0) -> float | None:
        """Return the seconds left at an epoch of a training; None where nothing says them yet.

        A training that ends early leaves fewer.

        Args:
            step: The training; None before the first.
            epoch: Its epochs so far.
        """
        if not (self._is_known or self._trained_s):
            return None
        at = 0 if step is None else self._steps.index(step)
        planned = sum(s.epochs * self._epoch_s[s.trial] for s in self._steps[at:])
        if step is not None:
            planned -= epoch * self._epoch_s[step.trial]
        # Slower or faster than in the search, where other trials may have trained beside.
        pace = (self._clock() - self._began) / self._trained_s if self._trained_s else 1.0
        return planned * pace
