"""From the records of a study to the answers about its front, and about how it grew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from archfront.search.errors import ConfigError, unknown
from archfront.search.front.members import (
    FrontMember,
    build_front,
    final_evaluations,
    front_hypervolume,
    losses_of,
    named_members,
)
from archfront.search.front.pareto import front_mask
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.objectives import MEASURED
from archfront.search.records.seconds import ActiveSeconds
from archfront.search.results import stats
from archfront.search.results.baselines import baselines, best_baseline, warnings
from archfront.search.results.results import Results
from archfront.search.service.answers import (
    FrontAnswer,
    HistoryAnswer,
    HistoryPoint,
    MemberAnswer,
    ObjectiveAnswer,
)
from archfront.search.service.read_studies import ReadStudy
from archfront.search.service.trial_answers import number, numbers, plain


def front_answer(
    study: ReadStudy, under: Mapping[str, float] | None = None, best: int | None = None
) -> FrontAnswer:
    """Return the front of a study.

    Args:
        study: Its records.
        under: Largest value of each cost, smallest of what is better large: the front is that of
            the trials within.
        best: Only so many members, the most accurate ones.

    Raises:
        StudyError: If nothing is recorded yet.
    """
    results = study.results
    header = results.begun()
    members = study.front if not under else _front_within(results, under)
    named = named_members(members) if members else {}
    notes = [stats.tie_sentence(members, header.metric), stats.provisional_sentence(members)]
    notes += warnings(members)
    shown = _best(members, best)
    return FrontAnswer(
        study=results.paths.study,
        metric=header.metric,
        objectives=[
            ObjectiveAnswer(name=o.name, direction=o.direction, unit=o.unit)
            for o in header.objectives
        ],
        limits=dict(header.limits),
        under=dict(under or {}),
        members=[_member(member, results.scores.get(member.trial)) for member in shown],
        named={name: named[name].trial for name in ("fastest", "knee", "best") if name in named},
        hypervolume=study.once("hypervolume", _hypervolume),
        reference=header.reference.values,
        baselines=baselines(header),
        notes=[note for note in notes if note],
    )


def limits_in(texts: Sequence[str]) -> dict[str, float]:
    """Return the limits of a request, such as ``latency_ms:5``, by the name of the cost.

    Raises:
        ConfigError: With everything that is no limit.
    """
    limits, problems = {}, []
    for text in texts:
        name, colon, value = text.partition(":")
        try:
            limit = number(float(value)) if colon else None
        except ValueError:
            limit = None
        if name not in MEASURED:
            problems.append(f"under: {unknown('cost', name, MEASURED)}")
        elif limit is None:
            problems.append(f"under: a cost and its limit are needed, as {name}:5; got {text!r}.")
        else:
            limits[name] = limit
    if problems:
        raise ConfigError(*problems)
    return limits


def history_answer(study: ReadStudy) -> HistoryAnswer:
    """Return how the front of a study grew.

    Raises:
        StudyError: If nothing is recorded yet.
    """
    return study.once("history", _history)


def _front_within(results: Results, under: Mapping[str, float]) -> list[FrontMember]:
    """Return the front of the trials whose costs are within limits."""
    header = results.begun()
    inside = [e for e in final_evaluations(results.evaluations) if _is_within(e, under)]
    return build_front(
        inside, results.objectives, is_tie=results.tie_test(), baseline=best_baseline(header)
    )


def _is_within(evaluation: Evaluation, under: Mapping[str, float]) -> bool:
    """Return whether all costs of a trained candidate are known and within limits."""
    measured = evaluation.measurement
    if measured is None:
        return False
    sides = {name: (1 if MEASURED[name].direction == "minimize" else -1) for name in under}
    return all(
        sides[name] * measured.value(name) <= sides[name] * limit for name, limit in under.items()
    )


def _best(members: Sequence[FrontMember], count: int | None) -> list[FrontMember]:
    """Return the most accurate members in the order of the front; all where no count is given."""
    if count is None:
        return list(members)
    chosen = sorted(members, key=lambda m: (-m.metric, m.latency_ms, m.trial))[:count]
    return [member for member in members if member in chosen]


def _member(member: FrontMember, scores: dict[str, float] | None) -> MemberAnswer:
    return MemberAnswer(
        **plain(member.as_row()),
        label=member.candidate.label,
        test=None if scores is None else numbers(scores),
    )


def _hypervolume(results: Results) -> float | None:
    return front_hypervolume(results.evaluations, results.objectives, results.begun().reference)


@dataclass
class _Growth:
    """A front to which trainings are added one by one, in the order in which they ended.

    Attributes:
        results: The study.
        counted: The training of each trial that counts.
        front: Those that no other dominates.
    """

    results: Results
    counted: dict[int, Evaluation] = field(default_factory=dict)
    front: list[Evaluation] = field(default_factory=list)

    def add(self, evaluation: Evaluation) -> bool:
        """Add a training and return whether the front has changed."""
        earlier = self.counted.get(evaluation.trial)
        if earlier is not None:
            (counted,) = final_evaluations([earlier, evaluation])
            if counted is earlier:
                return False
        self.counted[evaluation.trial] = evaluation
        # What was dominated stays so, unless what dominated it was taken back.
        is_new = earlier is None or earlier not in self.front
        rivals = [*self.front, evaluation] if is_new else list(self.counted.values())
        mask = front_mask(losses_of(rivals, self.results.objectives))
        front = [e for e, is_front in zip(rivals, mask, strict=True) if is_front]
        is_changed = {id(e) for e in front} != {id(e) for e in self.front}
        self.front = front
        return is_changed


def _history(results: Results) -> HistoryAnswer:
    header = results.begun()
    return HistoryAnswer(
        study=results.paths.study,
        metric=header.metric,
        reference=header.reference.values,
        points=list(_points(results)),
    )


def _points(results: Results) -> Iterator[HistoryPoint]:
    """Yield the front after each training that changed it, and after the last one."""
    ended = sorted(
        (e for e in results.evaluations if e.can_join_front), key=lambda e: e.started + e.seconds
    )
    growth, active = _Growth(results), ActiveSeconds(results.evaluations)
    for place, evaluation in enumerate(ended):
        if growth.add(evaluation) or place == len(ended) - 1:
            seconds = active.until(evaluation.started + evaluation.seconds)
            yield _point(results, growth, evaluation, seconds=seconds)


def _point(
    results: Results, growth: _Growth, evaluation: Evaluation, *, seconds: float
) -> HistoryPoint:
    members = build_front(growth.front, results.objectives)
    return HistoryPoint(
        trial=evaluation.trial,
        rung=evaluation.rung,
        ended=evaluation.started + evaluation.seconds,
        seconds=seconds,
        hypervolume=front_hypervolume(growth.front, results.objectives, results.begun().reference),
        best=max(member.metric for member in members),
        front=[member.trial for member in members],
    )
