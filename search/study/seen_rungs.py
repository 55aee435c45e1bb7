"""The trials that were trained, by their rungs, kept up to date."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from archfront.search.front.extrapolation import RungTrial
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.objectives import Objective, Reference


class SeenRungs:
    """The trained trials of a study, to which each new evaluation is added.

    Args:
        evaluations: Those so far, whatever their order and outcome.
        objectives: The metric first.
        reference: Where losses are measured from.
    """

    def __init__(
        self,
        evaluations: Iterable[Evaluation],
        objectives: Sequence[Objective],
        reference: Reference,
    ) -> None:
        self._objectives, self._reference = objectives, reference
        self._rungs: dict[int, dict[int, Evaluation]] = {}
        self._trials: dict[int, RungTrial] = {}
        self._marked: set[int] = set()  # that waited or were in training when it was last asked
        for evaluation in evaluations:
            self.add(evaluation)

    def add(self, evaluation: Evaluation) -> None:
        """Take in one more evaluation; other outcomes than a training add nothing."""
        if not isinstance(evaluation.outcome, Trained):
            return
        of_trial = self._rungs.setdefault(evaluation.trial, {})
        of_trial[evaluation.rung] = evaluation
        rungs = [of_trial[rung] for rung in sorted(of_trial)]
        table = self._reference.losses(
            [[o.value(e) for o in self._objectives] for e in rungs], self._objectives
        )
        losses, costs = tuple(table[:, 0].tolist()), tuple(table[-1, 1:].tolist())
        self._trials[evaluation.trial] = RungTrial(evaluation.trial, losses, costs)

    def trials(
        self, *, waiting: Iterable[int] = (), running: Iterable[int] = ()
    ) -> list[RungTrial]:
        """Return the trials by number.

        Args:
            waiting: Numbers of those that are paused and may be promoted.
            running: Numbers of those that are being trained to their next rung.
        """
        is_waiting, is_running = set(waiting), set(running)
        for number in (self._marked | is_waiting | is_running) & self._trials.keys():
            self._trials[number] = replace(
                self._trials[number],
                is_waiting=number in is_waiting,
                is_running=number in is_running,
            )
        self._marked = is_waiting | is_running
        return [self._trials[number] for number in sorted(self._trials)]
