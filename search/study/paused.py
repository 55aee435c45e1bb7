"""The trials that are paused at a rung, the front so far, and the files of both."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archfront.search.front.members import build_front
from archfront.search.latency.steady import at_best, is_disturbed
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import (
    Evaluation,
    is_below_top,
    is_passing,
    trained_outcome,
)
from archfront.search.records.objectives import Objective
from archfront.search.records.paths import PART, StudyPaths
from archfront.search.records.store import StudyStore


@dataclass(frozen=True)
class PausedTrial:
    """A trial that may be trained further.

    Attributes:
        trial: The trial of the storage.
        candidate: The candidate of the trial, as the space has it now.
        evaluations: Evaluations of its rungs, the lowest first.
    """

    trial: Any
    candidate: Candidate
    evaluations: tuple[Evaluation, ...]

    @property
    def last(self) -> Evaluation:
        """Return the evaluation of its highest rung."""
        return self.evaluations[-1]


class PausedTrials:
    """The trials below the top rung, until they are resumed or stopped for good.

    Args:
        store: Records of the study.
        paths: Its files.
        objectives: The metric first.
    """

    def __init__(self, store: StudyStore, paths: StudyPaths, objectives: list[Objective]) -> None:
        self._store, self._paths, self._objectives = store, paths, objectives
        self._paused: dict[int, PausedTrial] = {}

    def numbers(self) -> list[int]:
        """Return the numbers of the paused trials, in order."""
        return sorted(self._paused)

    def pause(self, trial: PausedTrial) -> None:
        """Pause a trial whose evaluation is recorded."""
        self._store.begin(trial.trial, 0)  # another rung may be tried as often
        self._store.note_rungs(trial.trial, trial.evaluations)
        self._paused[trial.last.trial] = trial

    def resume(self, number: int) -> PausedTrial:
        """Return a paused trial, which is trained further and no longer paused."""
        return self._paused.pop(number)

    def stop(self, numbers: Iterable[int]) -> None:
        """End trials with the values of the rung that they reached."""
        for number in numbers:
            paused = self._paused.pop(number)
            self._store.tell(paused.trial, paused.evaluations, self._objectives)
            self.forget_state(paused.last)

    def clear(self, evaluations: Sequence[Evaluation]) -> None:
        """Delete the files that a driver which died had yet to delete.

        Args:
            evaluations: All of the study, by trial and rung.
        """
        shutil.rmtree(self._paths.measuring, ignore_errors=True)
        for part in self._paths.folder.rglob(PART.format("*", "*")):  # on its way from a node
            if part.is_file():  # the folder of an export is none
                part.unlink(missing_ok=True)
        open_trials = self._store.open_trials()
        last = {e.trial: e for e in evaluations if not is_passing(e)}
        for evaluation in evaluations:
            if is_below_top(evaluation):
                if not evaluation.can_join_front:
                    self.keep_only_state(evaluation)
                if evaluation.trial not in open_trials or evaluation is not last[evaluation.trial]:
                    self.forget_state(evaluation)

    def keep_only_state(self, evaluation: Evaluation) -> None:
        """Delete the weights of a rung below the top: only those of full trainings are kept."""
        self._delete(trained_outcome(evaluation).weights)

    def forget_state(self, evaluation: Evaluation) -> None:
        """Delete the state from which a training would be resumed."""
        resume = trained_outcome(evaluation).resume
        if resume is not None:
            self._delete(resume)

    def _delete(self, path: str) -> None:
        (self._paths.folder / path).unlink(missing_ok=True)


class KeptFront:
    """The front so far; only the weights of its members are kept, and of what may yet be one.

    That is what only a disturbed latency keeps off the front: it is measured again at the end.

    Args:
        paths: Files of the study.
        objectives: The metric first.
    """

    def __init__(self, paths: StudyPaths, objectives: list[Objective]) -> None:
        self._paths, self._objectives = paths, objectives
        self.members: list[Evaluation] = []
        self._doubted: list[Evaluation] = []

    def add(self, evaluation: Evaluation) -> None:
        """Add a training that may join the front, in the place of the same trial's lower rung."""
        if not evaluation.can_join_front:
            return
        before = [*self.members, *self._doubted, evaluation]
        front = self._front(before)
        self.members = [e for e in before if _key(e) in front]
        rest = [e for e in before if _key(e) not in front]
        self._doubted = [e for e in rest if self._may_join(e)]
        kept = {_key(e) for e in self._doubted}
        for left in rest:
            if _key(left) not in kept:
                self._delete_weights(left)

    def in_doubt(self) -> list[Evaluation]:
        """Return what has a disturbed latency, of the front and of what it may keep off it."""
        return [
            e
            for e in [*self.members, *self._doubted]
            if e.measurement is not None and is_disturbed(e.measurement)
        ]

    def settle(self) -> None:
        """Delete the weights of what is still only in doubt, when the search is over."""
        for left in self._doubted:
            self._delete_weights(left)
        self._doubted = []

    def rebuild(self, evaluations: Iterable[Evaluation]) -> None:
        """Build the front again from all of a study, after latencies were measured again."""
        self.members, self._doubted = [], []
        for evaluation in evaluations:
            self.add(evaluation)

    def _delete_weights(self, evaluation: Evaluation) -> None:
        (self._paths.folder / trained_outcome(evaluation).weights).unlink(missing_ok=True)

    def _front(self, evaluations: Sequence[Evaluation]) -> set[tuple[int, int]]:
        return {(m.trial, m.rung) for m in build_front(evaluations, self._objectives)}

    def _may_join(self, evaluation: Evaluation) -> bool:
        """Return whether it joins the front once disturbed latencies are measured again.

        Its own may be as low as it can be; those of members may be too low.
        """
        measured = evaluation.measurement
        if measured is None or any(m.trial == evaluation.trial for m in self.members):
            return False
        best = evaluation
        if is_disturbed(measured):
            best = replace(evaluation, measurement=at_best(measured))
        steady = [m for m in self.members if m.measurement and not is_disturbed(m.measurement)]
        return _key(best) in self._front([*steady, best])


def _key(evaluation: Evaluation) -> tuple[int, int]:
    return evaluation.trial, evaluation.rung
