"""The progress of a run: the records, the trials at work and paused, the remaining choices."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property

from archfront.search.engine.jobs import Engine, Result
from archfront.search.front.extrapolation import RungTrial
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import (
    Evaluation,
    Failed,
    Measurement,
    Rejected,
    Trained,
    is_passing,
)
from archfront.search.records.failure_kinds import LASTING
from archfront.search.records.objectives import Reference
from archfront.search.records.paths import StudyPaths
from archfront.search.records.remeasured import is_replaced, remeasured
from archfront.search.records.store import StudyStore
from archfront.search.samplers.base import OpenCandidates
from archfront.search.space.cost_model import CostModel
from archfront.search.study.budget import (
    RemainingBudget,
    RungInTraining,
    RunTimer,
    end_reason,
    exhausted,
    failures_in_a_row,
)
from archfront.search.study.finalize import again_s
from archfront.search.study.judge_folds import folds_s
from archfront.search.study.paused import KeptFront, PausedTrials
from archfront.search.study.promotion import (
    SEEN_LEAST,
    FirstFull,
    Propose,
    Step,
    next_step,
    to_stop,
)
from archfront.search.study.rejections import is_too_strict
from archfront.search.study.running_trial import RunningTrial
from archfront.search.study.sums import StudySums
from archfront.trainers.spec import Architecture


class StudyProgress:
    """The state of a run, from which its next step is decided.

    Args:
        prepared: The study.
        store: Its records.
        paths: Its files.
        n_slots: Jobs at a time.
        clock: Seconds since the epoch.
        began: The clock when the run began; None for now.

    Attributes:
        evaluations: All that is recorded, in order of recording.
        open: The candidates that may still be proposed.
        running: The trials whose jobs run, by the futures of these jobs.
        paused: The trials that wait below the top rung.
        front: The front of the full trainings.
        reference: The reference point of the study, once it is found.
        costs: The costs of its architectures, once there is a reference point.
    """

    def __init__(
        self,
        prepared: Prepared,
        store: StudyStore,
        paths: StudyPaths,
        *,
        n_slots: int,
        clock: Callable[[], float],
        began: float | None = None,
    ) -> None:
        self._prepared, self._space, self._n_slots = prepared, prepared.space, n_slots
        self._budget, self._plan = prepared.config.budget, prepared.settings.plan
        self._works = prepared.space.step_s
        self.evaluations = store.evaluations()
        self._earlier = {_key(e) for e in self.evaluations}
        self._timer = RunTimer(self.evaluations, clock, began)
        self.open = OpenCandidates(self._space)
        self.running: dict[Future[Result], RunningTrial] = {}
        self.failing: str | None = None  # why nothing more is begun
        self.paused = PausedTrials(store, paths, prepared.objectives)
        self.front = KeptFront(paths, prepared.objectives)
        self.reference: Reference
        self.costs: CostModel

    def refresh_slots(self, engine: Engine) -> int:
        """Return the jobs that an engine runs at a time now: nodes of a cluster come and go."""
        self._n_slots = engine.n_slots
        return self._n_slots

    @cached_property
    def _sums(self) -> StudySums:
        return StudySums(self._prepared, self.evaluations)

    def restore(self) -> None:
        """Take up what earlier runs recorded, and delete what they had yet to delete."""
        # Where nothing could be trained, crashes say more of the machine than of the candidates.
        is_barren = not any(isinstance(e.outcome, Trained) for e in self.evaluations)
        for architecture in self._prepared.unavailable:
            number = self._space.architecture_number(architecture)
            self.open.close_architecture(self._space.first_index(number))
        for evaluation in self.evaluations:
            if not (is_passing(evaluation) or (is_barren and _has_crashed(evaluation))):
                self._close(evaluation)
            self.front.add(evaluation)
        self.paused.clear(self.evaluations)

    def add(self, evaluation: Evaluation) -> None:
        """Take in an evaluation of this run, which is recorded."""
        self.evaluations = self._sums.added(self.evaluations, evaluation)
        self._close(evaluation)
        self.front.add(evaluation)
        self.failing = self.failures_in_a_row()

    def remeasure(
        self, architecture: Architecture, measurement: Measurement
    ) -> dict[int, Candidate]:
        """Take in a recorded later measurement; return the candidates that have it, by trial."""
        mine = [e for e in self.evaluations if e.candidate.architecture == architecture]
        self.evaluations = [
            remeasured(e, measurement) if e.candidate.architecture == architecture else e
            for e in self.evaluations
        ]
        self.__dict__.pop("_sums", None)  # of what was measured before
        self.front.rebuild(self.evaluations)
        return {e.trial: e.candidate for e in mine if is_replaced(e)}

    def failures_in_a_row(self) -> str | None:
        """Return why this run stops where too many of its trials failed in a row, else None."""
        latest: list[Evaluation] = []
        for evaluation in reversed(self.evaluations):
            if _key(evaluation) not in self._earlier:
                latest.append(evaluation)
                if not isinstance(evaluation.outcome, Failed):
                    break
        return failures_in_a_row(latest[::-1], self._budget)

    def is_exhausted(self) -> bool:
        """Return whether there is nothing left to propose, to train further or to try again."""
        is_left = self.paused.numbers() or any(map(is_passing, self.evaluations))
        return not self.open.has_any() and not is_left

    def next_step(self) -> Step | None:
        """Return what a free worker does next; None when there is nothing."""
        trials, left = self._rung_trials(), self._remaining()
        numbers = self.open.architectures()
        may_propose = len(numbers) > 0 and not is_too_strict(
            self.evaluations, self._budget, self._chance
        )
        step = next_step(
            trials,
            left.n_rungs,
            left,
            may_propose=may_propose,
            is_full_only=self._plan.is_full_only,
            first_full=self._first_full,
        )
        if isinstance(step, Propose):
            n_more = SEEN_LEAST - len(self._sums.trained.trials)
            # Those of which one is chosen for the first full training are of different backbones.
            seen = [each.candidate for each in self.running.values()]
            # One that was over a limit may be within it at a smaller size.
            seen += [e.candidate for e in self.evaluations if not isinstance(e.outcome, Rejected)]
            is_first = n_more > 0 and self._first_full == "best"
            self.open.allow(numbers[left.affordable(n_more)], seen if is_first else ())
        return step

    def end_reason(self) -> str | None:
        """Return in words why nothing more can be proposed, or None if something can."""
        reason, is_open = None, self.open.has_any()
        if is_open or self.paused.numbers():  # else no budget is too small
            reason = end_reason(self.evaluations, self._budget, self._remaining(), self._chance)
        if reason is None and not is_open:
            return exhausted(self._prepared.n_candidates, self.evaluations)
        return reason

    def _chance(self) -> float:
        """Return the largest probability that an open architecture is within all limits."""
        return float(self.costs.chance(self.open.architectures()).max(initial=0.0))

    def surplus(self) -> list[int]:
        """Return the numbers of the paused trials that will not be trained further."""
        if len(self._plan.rungs) == 1:
            return []
        return to_stop(self._rung_trials(), len(self._plan.rungs), self._remaining())

    def _rung_trials(self) -> list[RungTrial]:
        if len(self._plan.rungs) == 1:  # there is nothing to be promoted to
            return []
        return self._sums.rung_trials(
            self.evaluations,
            self.reference,
            waiting=self.paused.numbers(),
            running=[each.number for each in self.running.values() if each.below],
        )

    @property
    def _first_full(self) -> FirstFull | None:
        """Return which candidate is trained in full before others go on."""
        if not self._plan.is_timed or self._plan.has_probe:
            return None
        return "best" if self._prepared.task.is_image_level else "dearest"

    def _remaining(self) -> RemainingBudget:
        numbers = self.open.architectures()
        return RemainingBudget(
            self._budget,
            self._plan,
            self.evaluations,
            seconds=self._timer.seconds(),
            running=[RungInTraining(r.number, len(r.below)) for r in self.running.values()],
            n_slots=self._n_slots,
            n_scored=len(self.front.members) if "test" in self._prepared.dataset.splits else 0,
            ending_s=self._ending_s(),
            so_far=self._sums.trained,
            open_works=self._works[numbers],
        )

    def seconds_left(self) -> float:
        """Return what is left of the budget's minutes; infinity without."""
        minutes = self._budget.minutes
        return math.inf if minutes is None else minutes * 60 - self._timer.seconds()

    def _ending_s(self) -> float:
        """Return the seconds that are kept for folds and disturbed latencies of the front."""
        kept_s = folds_s(
            self.front.members,
            self.evaluations,
            n_folds=self._prepared.n_folds,
            minutes=self._budget.minutes,
            n_slots=self._n_slots,
        )
        return kept_s + again_s(self.front.in_doubt(), self._budget)

    def _close(self, evaluation: Evaluation) -> None:
        """Take a tried candidate, and an architecture that cannot be used, out of the space."""
        index = self._space.index(evaluation.candidate)
        self.open.close(index)
        outcome = evaluation.outcome
        is_unusable = isinstance(outcome, Rejected) or (
            isinstance(outcome, Failed) and (outcome.is_remembered or outcome.kind in LASTING)
        )
        if is_unusable:
            self.open.close_architecture(index)
        if isinstance(outcome, Failed) and outcome.kind == "weights":
            name = evaluation.candidate.architecture.backbone
            for number, architecture in enumerate(self._space.architectures):
                if architecture.backbone == name:
                    self.open.close_architecture(self._space.first_index(number))


def _key(evaluation: Evaluation) -> tuple[int, int, int]:
    return evaluation.trial, evaluation.rung, evaluation.attempt


def _has_crashed(evaluation: Evaluation) -> bool:
    return isinstance(evaluation.outcome, Failed) and evaluation.outcome.kind == "crash"
