"""The results of a study: its front, counts and costs, read from the records at any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from archfront.search.errors import StudyError
from archfront.search.front.intervals import tie_test
from archfront.search.front.members import FrontMember, build_front, final_evaluations
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.fold_scores import FoldMean
from archfront.search.records.header import StudyHeader
from archfront.search.records.objectives import Objective
from archfront.search.records.paths import StudyPaths
from archfront.search.records.seconds import active_seconds
from archfront.search.records.store import StudyStore
from archfront.search.results import stats
from archfront.search.results.baselines import best_baseline
from archfront.search.results.known_ties import KnownTies
from archfront.trainers.tasks import TASKS


@dataclass(frozen=True)
class Results:
    """A study's records, read at one moment.

    Attributes:
        paths: Where its files lie.
        header: What was stored when it started; None before.
        state: ``running``, ``finished``, ``interrupted``, ``stopped`` or ``failed``.
        reason: Why it ended, in words.
        evaluations: Everything recorded.
        scores: Test metrics of front members, by trial.
        waiting: Trials that have not ended: those that wait at a rung may be trained further.
        is_driven: Whether a driver ran it when it was read.
        folds: Means over folds of front members, by trial.
        ties: Which trainings tie, as far as it was asked.
    """

    paths: StudyPaths
    header: StudyHeader | None
    state: str
    reason: str
    evaluations: list[Evaluation]
    scores: dict[int, dict[str, float]]
    waiting: frozenset[int] = frozenset()
    is_driven: bool = False
    folds: Mapping[int, FoldMean] = field(default_factory=dict)
    ties: KnownTies = field(default_factory=KnownTies, compare=False, repr=False)

    @classmethod
    def read(cls, store: StudyStore, paths: StudyPaths) -> Results:
        """Return what is recorded now."""
        state = store.state
        evaluations, waiting = store.outcomes()
        return cls(
            paths=paths,
            header=store.header,
            state=state["state"],
            reason=state["reason"],
            evaluations=evaluations,
            scores=store.scores,
            waiting=waiting,
            is_driven=store.is_driven,
            folds=_means(store, evaluations),
        )

    @property
    def objectives(self) -> list[Objective]:
        """Return the objectives, the metric first."""
        return [] if self.header is None else list(self.header.objectives)

    @property
    def rungs(self) -> list[int]:
        """Return the epochs at which candidates compete."""
        return list(self.begun().rungs)

    def begun(self) -> StudyHeader:
        """Return the header of a study that has begun.

        Raises:
            StudyError: If it has no records yet.
        """
        if self.header is None:
            raise StudyError(f"The study {self.paths.study!r} has no records yet.")
        return self.header

    def none_trained(self) -> str:
        """Return the sentence of a study without a trained candidate, and why, where it ended."""
        found = f"The study {self.paths.study!r} has no trained candidate"
        if self.state == "running" or not self.reason:
            return f"{found} yet."
        return f"{found}. It is {self.state}: {self.reason.rstrip('.')}."

    def tie_test(self) -> Callable[[Evaluation, Evaluation], bool]:
        """Return what says whether two trained candidates tie on the validation images.

        A pair is tested once: with resamples, it takes a part of a millisecond and more.
        """
        header = self.begun()
        task = TASKS[header.task]
        test = tie_test(self.paths.folder, task, header.metric, seed=header.seed)

        return partial(self.ties.is_tie, test=test)

    def front(self) -> list[FrontMember]:
        """Return the members of the front, fastest first."""
        return [] if self.header is None else self.front_of(self.evaluations)

    def front_of(self, evaluations: Sequence[Evaluation]) -> list[FrontMember]:
        """Return the members of the front of some evaluations, fastest first.

        Those of the trials that no other one dominates have the same front as all.
        """
        return build_front(
            evaluations,
            self.objectives,
            ties=partial(self.ties.among, test=self.tie_test()),
            baseline=best_baseline(self.begun()),
            folds=self.folds,
        )

    def counts(self) -> dict[str, int]:
        """Return the number of trials by outcome; those below the top where there are any."""
        return stats.counts(self.evaluations, self.waiting)

    def seconds(self) -> dict[str, float]:
        """Return wall seconds by what they were spent on; of parallel trainings, each counts."""
        training = sum(
            e.outcome.seconds for e in self.evaluations if isinstance(e.outcome, Trained)
        )
        measuring = sum(
            e.measurement.seconds
            for e in self.evaluations
            if e.rung == 0
            and e.measurement is not None
            and e.measurement.latency.source == "measured"
        )
        idle = max(0.0, active_seconds(self.evaluations) - training - measuring)
        return {"training": training, "measuring": measuring, "idle": idle}

    def rows(self) -> list[dict[str, Any]]:
        """Return the front as flat rows of plain values."""
        return [
            {**member.as_row(), "test": self.scores.get(member.trial)} for member in self.front()
        ]


def _means(store: StudyStore, evaluations: Sequence[Evaluation]) -> dict[int, FoldMean]:
    """Return the means over folds of the evaluations that count."""
    found = store.folds.read()
    if not found:
        return {}
    rungs = {e.trial: e.rung for e in final_evaluations(evaluations)}
    return {
        trial: scores.mean
        for trial, scores in found.items()
        if scores.mean is not None and rungs.get(trial) == scores.rung
    }
