"""How the front of a study grew, one training after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from archfront.search.front.growing_front import Losses, join
from archfront.search.front.members import (
    distinct,
    final_evaluations,
    front_hypervolume,
    losses_of,
)
from archfront.search.front.pareto import front_mask
from archfront.search.records.evaluation import Evaluation, trained_outcome
from archfront.search.records.objectives import Objective
from archfront.search.results.changed_trials import ChangedTrials
from archfront.search.results.results import Results
from archfront.search.service.answers import HistoryPoint
from archfront.search.service.study_parts import Reading, TimePart, end_key


@dataclass(frozen=True)
class GrowthPoint:
    """The front after a training.

    Attributes:
        evaluation: The training.
        hypervolume: Of the front.
        best: The best metric so far.
        trials: Those of the front, fastest first.
    """

    evaluation: Evaluation
    hypervolume: float
    best: float
    trials: tuple[int, ...]

    def answer(self, time: TimePart) -> HistoryPoint:
        """Return the point as it is answered."""
        evaluation = self.evaluation
        return HistoryPoint(
            trial=evaluation.trial,
            rung=evaluation.rung,
            ended=evaluation.started + evaluation.seconds,
            seconds=time.at(evaluation),
            hypervolume=self.hypervolume,
            best=self.best,
            front=list(self.trials),
        )


@dataclass
class Growth:
    """A front to which trainings are added one by one, in the order in which they ended.

    Attributes:
        objectives: The metric first.
        counted: The training of each trial that counts, with its losses.
        front: The losses of those that no other dominates, by trial.
    """

    objectives: list[Objective]
    counted: dict[int, tuple[Evaluation, Losses]] = field(default_factory=dict)
    front: dict[int, Losses] = field(default_factory=dict)

    def add(self, evaluation: Evaluation, row: Losses) -> bool:
        """Add a training and return whether the front has changed.

        Args:
            evaluation: The training.
            row: Its losses.
        """
        trial = evaluation.trial
        earlier, _ = self.counted.get(trial, (None, row))
        if earlier is not None and final_evaluations([earlier, evaluation])[0] is earlier:
            return False
        self.counted[trial] = evaluation, row
        if trial not in self.front:
            return join(self.front, trial, row)
        # What was dominated stays so, unless what dominated it was taken back.
        rows = {number: losses for number, (_, losses) in self.counted.items()}
        mask = front_mask(list(rows.values()))
        self.front = {
            number: losses
            for (number, losses), is_front in zip(rows.items(), mask, strict=True)
            if is_front
        }
        return True

    def point(self, evaluation: Evaluation, results: Results) -> GrowthPoint:
        """Return the front as it is after a training."""
        evaluations = [self.counted[trial][0] for trial in sorted(self.front)]
        members = sorted(distinct(evaluations), key=_by_latency)
        reference = results.begun().reference
        return GrowthPoint(
            evaluation,
            front_hypervolume(evaluations, self.objectives, reference),
            max(trained_outcome(member).metric for member in members),
            tuple(member.trial for member in members),
        )


@dataclass(frozen=True)
class HistoryPart:
    """The front of a study after each training that changed it, and after the last one.

    Attributes:
        last: The training that ended last; None before the first one.
        growth: The front then; nobody changes it.
        changes: The front after each training that changed it.
        end: The front after the last training; None before the first one.
    """

    last: Evaluation | None
    growth: Growth
    changes: tuple[GrowthPoint, ...]
    end: GrowthPoint | None

    @classmethod
    def of(cls, study: Reading) -> HistoryPart:
        """Return how the front of a study grew."""
        growth = Growth(study.results.objectives)
        start = cls(None, growth, (), None)
        return start._grown(study, study.part(TimePart).evaluations)

    def after(self, study: Reading, changed: ChangedTrials) -> HistoryPart:
        """Return how it grew further."""
        ordered = sorted(changed.added, key=end_key)
        new = [evaluation for evaluation in ordered if evaluation.can_join_front]
        is_later = self.last is None or not new or end_key(new[0]) > end_key(self.last)
        if changed.removed or not is_later:
            return HistoryPart.of(study)
        return self._grown(study, new)

    @property
    def points(self) -> list[GrowthPoint]:
        """Return the points, by time."""
        if self.end is None or self.changes[-1] is self.end:  # the first one changes it
            return list(self.changes)
        return [*self.changes, self.end]

    def _grown(self, study: Reading, evaluations: Iterable[Evaluation]) -> HistoryPart:
        new = [evaluation for evaluation in evaluations if evaluation.can_join_front]
        if not new:
            return self
        results = study.results
        growth = Growth(results.objectives, dict(self.growth.counted), dict(self.growth.front))
        rows = losses_of(new, results.objectives).tolist()
        points = list(self.changes)
        for evaluation, row in zip(new, rows, strict=True):
            if growth.add(evaluation, tuple(row)):
                points.append(growth.point(evaluation, results))
        last = points[-1] if points and points[-1].evaluation is new[-1] else None
        end = growth.point(new[-1], results) if last is None else last
        return HistoryPart(new[-1], growth, tuple(points), end)


def _by_latency(evaluation: Evaluation) -> tuple[float, float, int]:
    measured = evaluation.measurement
    assert measured is not None, "a trained candidate was measured"
    return measured.latency.p50_ms, -trained_outcome(evaluation).metric, evaluation.trial
