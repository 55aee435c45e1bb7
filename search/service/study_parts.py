"""What follows from the records of a study, brought forward by what has changed of them.

A server reads a study again after each record. What these parts hold is then made of what it was
before and of the trials that have changed, so that a record costs the same however many there are.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Protocol, Self, TypeVar

from archfront.search.front.growing_front import GrowingFront
from archfront.search.front.members import FrontMember
from archfront.search.records.evaluation import Evaluation, Trained, is_below_top
from archfront.search.records.fold_scores import FoldMean
from archfront.search.records.seconds import ActiveSeconds, rung_costs
from archfront.search.results.changed_trials import ChangedTrials, all_trials
from archfront.search.results.results import Results

# The end of an evaluation, with what tells it from others that ended then.
_End = tuple[float, int, int, int]
P = TypeVar("P", bound="StudyPart")


class Reading(Protocol):
    """A study as it was read at one moment."""

    @property
    def results(self) -> Results:
        """Return its records."""

    @property
    def front(self) -> list[FrontMember]:
        """Return the members of its front, fastest first."""

    @property
    def front_trials(self) -> list[Evaluation]:
        """Return all evaluations of the trials that no other one dominates, by trial."""

    def part(self, kind: type[P]) -> P:
        """Return a part of it."""


class StudyPart(Protocol):
    """What follows from the records of a study at one moment, and is never changed."""

    @classmethod
    def of(cls, study: Reading) -> Self:
        """Return the part of a study, made of all its records."""

    def after(self, study: Reading, changed: ChangedTrials) -> Self:
        """Return the part of the study as it was read later.

        Args:
            study: It.
            changed: The trials that have changed since this part was made.
        """


@dataclass(frozen=True)
class FrontPart:
    """The trials that no other one dominates."""

    growing: GrowingFront = field(default_factory=GrowingFront)

    @classmethod
    def of(cls, study: Reading) -> FrontPart:
        """Return the front of all trials."""
        return cls().after(study, all_trials(study.results))

    def after(self, study: Reading, changed: ChangedTrials) -> FrontPart:
        """Return the front after some trials have changed.

        Raises:
            ValueError: If a trained value is not finite.
        """
        return FrontPart(self.growing.after(changed.evaluations, study.results.objectives))


@dataclass(frozen=True)
class TrialsPart:
    """The evaluations of each trial, and sums over all of them.

    Attributes:
        evaluations: By trial, each by rung and attempt.
        words: What became of each trial, as ``results.stats.counts`` says, by trial.
        n_of: Trials by that word.
        best: The best metric that counts for a front; None without any.
        training: Seconds of trainings.
        measuring: Seconds of measurements.
        n_trained: Trainings by rung.
    """

    evaluations: dict[int, tuple[Evaluation, ...]] = field(default_factory=dict)
    words: dict[int, str] = field(default_factory=dict)
    n_of: Counter[str] = field(default_factory=Counter)
    best: float | None = None
    training: float = 0.0
    measuring: float = 0.0
    n_trained: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, study: Reading) -> TrialsPart:
        """Return the evaluations of all trials."""
        return cls().after(study, all_trials(study.results))

    def after(self, study: Reading, changed: ChangedTrials) -> TrialsPart:
        """Return the evaluations after some trials have changed."""
        if changed.removed:
            return TrialsPart.of(study)
        evaluations = {**self.evaluations, **changed.evaluations}
        last = next(reversed(self.evaluations), -1)
        if any(trial < last for trial in changed.evaluations.keys() - self.evaluations.keys()):
            evaluations = dict(sorted(evaluations.items()))
        words, n_of = dict(self.words), self.n_of.copy()
        for trial in {*changed.evaluations, *(changed.moved & evaluations.keys())}:
            end, before = evaluations[trial][-1], words.get(trial)
            word: str = end.kind
            if is_below_top(end):
                word = "waiting" if trial in study.results.waiting else "stopped"
            if before is not None:
                n_of[before] -= 1
            words[trial] = word
            n_of[word] += 1
        added = [(e, e.outcome) for e in changed.added]
        metrics = [o.metric for e, o in added if isinstance(o, Trained) and e.can_join_front]
        best = max([*metrics, *([] if self.best is None else [self.best])], default=None)
        return TrialsPart(
            evaluations=evaluations,
            words=words,
            n_of=n_of,
            best=best,
            training=self.training + sum(o.seconds for _, o in added if isinstance(o, Trained)),
            measuring=self.measuring + sum(_measuring(e) for e, _ in added),
            n_trained=self.n_trained + Counter(e.rung for e, o in added if isinstance(o, Trained)),
        )

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of trials by outcome, as ``results.stats.counts`` does."""
        found = {word: self.n_of[word] for word in ("trained", "rejected", "failed")}
        return found | {w: self.n_of[w] for w in ("waiting", "stopped") if self.n_of[w]}

    def trainings(self, study: Reading) -> float:
        """Return what the trainings cost, in full trainings."""
        ends = (0.0, *rung_costs(study.results.begun().rungs))
        return sum(n * (ends[r + 1] - ends[r]) / ends[-1] for r, n in self.n_trained.items())


@dataclass(frozen=True)
class MembersPart:
    """The members of the front; the same objects as before while nothing of them has changed.

    Attributes:
        evaluations: All of the trials that no other one dominates, by trial.
        folds: Means over folds of members.
        members: The members, fastest first.
    """

    evaluations: list[Evaluation]
    folds: Mapping[int, FoldMean]
    members: list[FrontMember]

    @classmethod
    def of(cls, study: Reading) -> MembersPart:
        """Return the members of the front of a study."""
        results, evaluations = study.results, study.front_trials
        return cls(evaluations, results.folds, results.front_of(evaluations))

    def after(self, study: Reading, changed: ChangedTrials) -> MembersPart:
        """Return the members after some trials have changed."""
        now, before = study.front_trials, self.evaluations
        is_same = len(now) == len(before) and all(map(is_, now, before))
        return self if is_same and study.results.folds == self.folds else MembersPart.of(study)


@dataclass(frozen=True)
class TimePart:
    """The evaluations of a study by the time at which they ended.

    Attributes:
        ends: When each ended, the first one first.
        evaluations: The evaluations in this order.
        active: The seconds in which the study ran.
    """

    ends: list[_End] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    active: ActiveSeconds = field(default_factory=ActiveSeconds)

    @classmethod
    def of(cls, study: Reading) -> TimePart:
        """Return all evaluations by their end."""
        ordered = sorted(study.results.evaluations, key=end_key)
        return cls([end_key(e) for e in ordered], ordered, ActiveSeconds(ordered))

    def after(self, study: Reading, changed: ChangedTrials) -> TimePart:
        """Return the evaluations with those that are new."""
        if changed.removed:
            return TimePart.of(study)
        ends, evaluations = list(self.ends), list(self.evaluations)
        for evaluation in changed.added:
            end = end_key(evaluation)
            evaluations.insert(bisect_right(ends, end), evaluation)
            insort(ends, end)
        return TimePart(ends, evaluations, self.active.after(changed.added))

    def at(self, evaluation: Evaluation) -> float:
        """Return the active seconds of the study when an evaluation ended."""
        return self.active.until(evaluation.started + evaluation.seconds)

    def ended_after(self, seconds: float) -> list[Evaluation]:
        """Return what ended after so many active seconds of the study; all after 0 or fewer."""
        if seconds <= 0:
            return self.evaluations
        first = bisect_right(self.ends, seconds, key=lambda end: self.active.until(end[0]))
        return self.evaluations[first:]


def end_key(evaluation: Evaluation) -> _End:
    """Return what evaluations are ordered by: when each ended, then which it is."""
    ended = evaluation.started + evaluation.seconds
    return ended, evaluation.trial, evaluation.rung, evaluation.attempt


def _measuring(evaluation: Evaluation) -> float:
    """Return the seconds of a measurement that was taken for an evaluation."""
    measured = evaluation.measurement
    is_own = evaluation.rung == 0 and measured and measured.latency.source == "measured"
    return measured.seconds if measured is not None and is_own else 0.0
