"""Sums over the evaluations of a study, kept up to date: its next step is decided by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from archfront.search.front.extrapolation import RungTrial
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Evaluation, Trained, counted, is_passing
from archfront.search.records.objectives import Reference
from archfront.search.records.plan import Plan
from archfront.search.records.seconds import full_trainings
from archfront.search.study.seen_rungs import SeenRungs
from archfront.search.study.training_times import TrainingTimes


class TrainedSoFar:
    """Sums over the trainings of a study, to which each new one is added.

    Args:
        trained: Evaluations, in the order of their recording; others than ``Trained`` add nothing.
        plan: The plan of the study's trainings.
        works: Work of the architectures by trial; 1 where a trial has none.

    Attributes:
        times: The times of trainings.
        spent: What they cost in full trainings.
        has_full: Whether one of them is a full training.
        trials: The trials that they are of.
    """

    def __init__(
        self,
        trained: Iterable[Evaluation],
        plan: Plan,
        works: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        self._rungs = plan.rungs
        self.times = TrainingTimes((), plan, works)
        self.spent, self.has_full, self.trials = 0.0, False, set[int]()
        for evaluation in trained:
            self.add(evaluation)

    def add(self, evaluation: Evaluation) -> None:
        """Take in one more evaluation."""
        if isinstance(evaluation.outcome, Trained):
            self.times.add(evaluation)
            self.spent += full_trainings((evaluation,), self._rungs)
            self.has_full |= evaluation.is_top
            self.trials.add(evaluation.trial)


class StudySums:
    """What is counted of a study's evaluations, to which each new one is added.

    Args:
        prepared: The study.
        evaluations: Those that count so far, in the order of their recording.

    Attributes:
        works: Work of the architectures by trial.
        trained: Sums over the trainings.
    """

    def __init__(self, prepared: Prepared, evaluations: Sequence[Evaluation]) -> None:
        self._space, self._objectives = prepared.space, prepared.objectives
        self._step_s, self._plan = prepared.space.step_s, prepared.settings.plan
        self._rungs: SeenRungs | None = None
        self._sum_up(evaluations)

    def added(self, evaluations: list[Evaluation], evaluation: Evaluation) -> list[Evaluation]:
        """Return the evaluations that count when one more is recorded, and take it in."""
        if self._n_passing:  # one of them may be of the same candidate, and then counts no more
            evaluations = counted([*evaluations, evaluation])
            self._sum_up(evaluations)
            return evaluations
        evaluations.append(evaluation)
        self._n_passing += is_passing(evaluation)
        self.works[evaluation.trial] = self._work(evaluation)
        self.trained.add(evaluation)
        if self._rungs is not None:
            self._rungs.add(evaluation)
        return evaluations

    def rung_trials(
        self,
        evaluations: Iterable[Evaluation],
        reference: Reference,
        *,
        waiting: Iterable[int],
        running: Iterable[int],
    ) -> list[RungTrial]:
        """Return the trained trials by number.

        Args:
            evaluations: Those that count.
            reference: Where losses are measured from.
            waiting: Numbers of the trials that are paused.
            running: Numbers of those that are being trained further.
        """
        if self._rungs is None:
            self._rungs = SeenRungs(evaluations, self._objectives, reference)
        return self._rungs.trials(waiting=waiting, running=running)

    def _sum_up(self, evaluations: Sequence[Evaluation]) -> None:
        self._n_passing = sum(map(is_passing, evaluations))
        self.works = {e.trial: self._work(e) for e in evaluations}
        self.trained = TrainedSoFar(evaluations, self._plan, self.works)
        self._rungs = None

    def _work(self, evaluation: Evaluation) -> float:
        number = self._space.architecture_number(evaluation.candidate.architecture)
        return float(self._step_s[number])
