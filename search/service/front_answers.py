"""From the records of a study to the answers about its front, and about how it grew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from archfront.search.errors import ConfigError, unknown
from archfront.search.front.members import (
    FrontMember,
    build_front,
    final_evaluations,
    front_hypervolume,
    named_members,
)
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.objectives import MEASURED
from archfront.search.results import stats
from archfront.search.results.baselines import baselines, best_baseline, warnings
from archfront.search.results.changed_trials import ChangedTrials
from archfront.search.results.results import Results
from archfront.search.service.answers import (
    FrontAnswer,
    HistoryAnswer,
    MemberAnswer,
    ObjectiveAnswer,
)
from archfront.search.service.front_history import HistoryPart
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.study_parts import Reading, TimePart
from archfront.search.service.trial_answers import number, numbers, plain


def whole_front(study: ReadStudy) -> FrontAnswer:
    """Return the front of a study, made once for all who ask.

    Raises:
        StudyError: If nothing is recorded yet.
    """
    study.results.begun()
    return study.part(WholeFront).answer


@dataclass(frozen=True)
class WholeFront:
    """The answer about the front of a study, which stays while its front is the same.

    Attributes:
        members: Those of the front.
        scores: Test metrics of members, by trial.
        answer: The answer.
    """

    members: list[FrontMember]
    scores: dict[int, dict[str, float]]
    answer: FrontAnswer

    @classmethod
    def of(cls, study: Reading) -> WholeFront:
        """Return the answer about the front of a study."""
        results = study.results
        reference = results.begun().reference
        volume = front_hypervolume(study.front_trials, results.objectives, reference)
        return cls(study.front, results.scores, _answer(results, study.front, volume))

    def after(self, study: Reading, changed: ChangedTrials) -> WholeFront:
        """Return the answer after some trials have changed."""
        is_same = study.front is self.members and study.results.scores == self.scores
        return self if is_same else WholeFront.of(study)


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
    whole = whole_front(study)
    if not under and best is None:
        return whole
    members = study.front if not under else _front_within(study.results, under)
    return _answer(study.results, members, whole.hypervolume, under=under, best=best)


def _answer(
    results: Results,
    members: Sequence[FrontMember],
    hypervolume: float | None,
    *,
    under: Mapping[str, float] | None = None,
    best: int | None = None,
) -> FrontAnswer:
    header = results.begun()
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
        hypervolume=hypervolume,
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
    results, grown = study.results, study.part(HistoryPart)
    header, time = results.begun(), study.part(TimePart)
    return HistoryAnswer(
        study=results.paths.study,
        metric=header.metric,
        reference=header.reference.values,
        points=[point.answer(time) for point in grown.points],
    )


def _front_within(results: Results, under: Mapping[str, float]) -> list[FrontMember]:
    """Return the front of the trials whose costs are within limits."""
    header = results.begun()
    inside = [e for e in final_evaluations(results.evaluations) if _is_within(e, under)]
    return build_front(
        inside,
        results.objectives,
        ties=partial(results.ties.among, test=results.tie_test()),
        baseline=best_baseline(header),
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
    row = member.as_row()
    ties = row.pop("ties")  # of a hundred members they are thousands of numbers
    return MemberAnswer(
        **plain(row),
        ties=ties,
        label=member.candidate.label,
        test=None if scores is None else numbers(scores),
    )
