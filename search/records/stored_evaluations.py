"""The evaluations of trials as Optuna's attributes hold them, each decoded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, compress
from operator import is_not
from typing import Any, Protocol

from archfront.search.records.codec import decode
from archfront.search.records.evaluation import Evaluation, Measurement, counted, is_passing
from archfront.search.records.remeasured import remeasured

# In front of the names of the attributes of a trial that hold evaluations.
EVALUATION = "evaluation:"


class StoredState(Protocol):
    """What became of a trial of Optuna."""

    def is_finished(self) -> bool:
        """Return whether it has an outcome."""


class StoredTrial(Protocol):
    """A trial of Optuna, as far as its evaluations go."""

    number: int

    @property
    def state(self) -> StoredState:
        """Return what became of it."""

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Return its attributes by name."""


class StoredEvaluations:
    """The evaluations of trials; what was decoded is kept, since a store is read again.

    Optuna's journal makes another object of a trial that changes, so a trial that is the same
    object has the same evaluations: of a study that has grown only the growth is looked at.

    Attributes:
        running: The numbers of the trials without an outcome, of those that were looked at last.
    """

    def __init__(self) -> None:
        self._decoded: dict[tuple[int, str], tuple[Any, Evaluation]] = {}
        self._trials: list[StoredTrial] = []
        self._found: list[tuple[Evaluation, ...]] = []
        self._again: Mapping[str, Any] = {}
        self._passing: set[int] = set()
        self.running: frozenset[int] = frozenset()

    def all(self, trials: Sequence[StoredTrial], again: Mapping[str, Any]) -> list[Evaluation]:
        """Return every evaluation that counts, by trial and attempt.

        Args:
            trials: All trials of the study, by number.
            again: Measurements that replace others, by architecture.
        """
        is_same = again is self._again or again == self._again
        found = self._found[: len(trials)]
        found += [()] * (len(trials) - len(found))
        before = self._trials[: len(trials)] if is_same else []
        changed = compress(range(len(trials)), map(is_not, before, trials))
        running = set(self.running) if before else set[int]()
        for place in (*changed, *range(len(before), len(trials))):
            trial = trials[place]
            running.discard(trial.number)
            if not trial.state.is_finished():
                running.add(trial.number)
            evaluations = self.of(trial.number, trial.user_attrs, again)
            found[place] = tuple(sorted(evaluations, key=lambda e: (e.rung, e.attempt)))
            self._passing.discard(trial.number)
            if any(map(is_passing, evaluations)):
                self._passing.add(trial.number)
        self._trials, self._found, self._again = list(trials), found, again
        self.running = frozenset(running)
        every = list(chain.from_iterable(found))
        return counted(every) if self._passing else every

    def of(
        self, trial: int, attributes: Mapping[str, Any], again: Mapping[str, Any]
    ) -> list[Evaluation]:
        """Return the evaluations of a trial, with its latest measurement.

        Args:
            trial: Its number.
            attributes: Its user attributes.
            again: Measurements that replace others, by architecture.
        """
        found = [
            self._evaluation(trial, name, content)
            for name, content in attributes.items()
            if name.startswith(EVALUATION)
        ]
        if not again:
            return found
        ids = [evaluation.candidate.architecture_id for evaluation in found]
        return [
            remeasured(e, decode(Measurement, again[key])) if key in again else e
            for e, key in zip(found, ids, strict=True)
        ]

    def _evaluation(self, trial: int, name: str, content: dict[str, Any]) -> Evaluation:
        kept = self._decoded.get((trial, name))
        if kept is not None and kept[0] is content:
            return kept[1]
        evaluation = Evaluation.from_dict(content)
        self._decoded[trial, name] = content, evaluation
        return evaluation
