"""A study as columns: what its picture and its table draw, quick for thousands of trials.

A browser asks for what ended since it asked last, so a study that grows costs it only the growth.
Numbers that are not known are None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archfront.search.front.members import FrontMember, named_members
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.header import StudyHeader
from archfront.search.records.objectives import MEASURED, Objective
from archfront.search.report.page_template import axis_name, unit
from archfront.search.results.baselines import baselines
from archfront.search.results.changed_trials import ChangedTrials
from archfront.search.results.results import Results
from archfront.search.service.study_parts import Reading, TimePart, TrialsPart

# What tells an evaluation from the others of a study: trial, rung and attempt.
_Key = tuple[int, int, int]
# The columns of every study, before its costs.
NAMES = (
    *("trial", "rung", "kind", "can_join", "seconds", "label", "candidate"),
    *("metric", "low", "high", "trained", "chosen_by", "why", "p95_ms", "is_stable"),
)
# Letters of a text that a column has at most; the whole text is in the trial's own record.
TEXT = 300
# Decimals of seconds, and of everything else.
SECOND_DIGITS, DIGITS = 1, 6


def study_columns(study: Reading, *, after: float = 0.0) -> dict[str, Any]:
    """Return the columns of a study, by the time at which an evaluation ended.

    The time is in active seconds, as in the growth of the front: hours between two runs of a study
    count for nothing.

    Args:
        study: Its records.
        after: Only evaluations that ended later, in active seconds of the study.

    Raises:
        StudyError: If it has no records yet.
    """
    content, time = _without_columns(study, after), study.part(TimePart)
    new = time.ended_after(after)
    columns = study.part(RowsPart).columns(new)
    return content | {"columns": columns | {"at": _times(time, new)}}


def whole_columns(study: Reading) -> bytes:
    """Return all columns of a study as JSON: what ``study_columns`` gives, from texts of before.

    Raises:
        StudyError: If it has no records yet.
    """
    content = _text(_without_columns(study, 0.0))
    columns = (f"{_text(name)}:[{text}]" for name, text in study.part(TextsPart).texts.items())
    return f'{content[:-1]},"columns":{{{",".join(columns)}}}}}'.encode()


def _without_columns(study: Reading, after: float) -> dict[str, Any]:
    results = study.results
    header = results.begun()
    return {
        "study": study.part(FactsPart).facts,
        "state": results.state,
        "reason": results.reason,
        "counts": study.part(TrialsPart).counts,
        "waiting": sorted(results.waiting),
        "n": len(results.evaluations),
        "after": after,
        "front": front_rows(study.front, header.objectives),
    }


def _times(time: TimePart, evaluations: Sequence[Evaluation]) -> list[float]:
    return [round(time.at(e), SECOND_DIGITS) for e in evaluations]


def front_rows(
    members: Sequence[FrontMember], objectives: Sequence[Objective]
) -> list[dict[str, Any]]:
    """Return the members of a front for a list: their values, names and ties."""
    words: dict[int, list[str]] = {}
    for word, member in named_members(members).items():
        words.setdefault(member.trial, []).append(word)
    costs = dict.fromkeys(["latency_ms", *(o.name for o in objectives[1:])])
    return [
        {
            "trial": member.trial,
            "label": member.candidate.label,
            "rung": member.rung,
            "metric": member.metric,
            "low": member.metric_low,
            "high": member.metric_high,
            **{name: _number(getattr(member, name)) for name in costs},
            "names": words.get(member.trial, []),
            "ties": list(member.ties),
            "trained": "" if member.is_full else str(member.fidelity),
            "not_better_than": member.not_better_than,
            "is_stable": member.is_stable,
        }
        for member in members
    ]


@dataclass(frozen=True)
class FactsPart:
    """What does not change in a study, as the page shows it."""

    facts: dict[str, Any]

    @classmethod
    def of(cls, study: Reading) -> FactsPart:
        """Return the facts of a study."""
        return cls(_facts(study.results))

    def after(self, study: Reading, changed: ChangedTrials) -> FactsPart:
        """Return the same facts."""
        return self


def _facts(results: Results) -> dict[str, Any]:
    """Return what does not change in a study, but for the text of its state."""
    header = results.begun()
    hardware = header.hardware
    return {
        "name": results.paths.study,
        "started": header.started,
        "task": header.task,
        "data": header.data,
        "metric": header.metric,
        "objectives": [_axis(objective) for objective in header.objectives],
        "limits": {k: v for k, v in header.limits.items() if v is not None},
        "limit_texts": [
            f"{axis_name(name)} up to {value:g} {unit(name)}".strip()
            for name, value in header.limits.items()
            if value is not None
        ],
        "reference": dict(header.reference.values),
        "baselines": baselines(header),
        "device": header.environment.device,
        "device_id": header.environment.device_id,
        "runtime": hardware["runtime"],
        "rungs": list(header.rungs),
        "space": header.space.size,
        "architectures": header.space.architectures,
        "images": {name: split.images for name, split in header.dataset.splits.items()},
        "classes": len(header.dataset.class_names),
        "notes": list(header.space.notes),
    }


def _axis(objective: Objective) -> dict[str, Any]:
    return {
        "name": objective.name,
        "text": axis_name(objective.name),
        "unit": objective.unit,
        "direction": objective.direction,
        "is_log": objective.is_log,
    }


@dataclass(frozen=True)
class RowsPart:
    """What the columns say of each evaluation, but for the time at which it ended.

    Attributes:
        names: Of the values.
        rows: The values of each, by trial, rung and attempt.
    """

    names: tuple[str, ...]
    rows: dict[_Key, tuple[Any, ...]]

    @classmethod
    def of(cls, study: Reading) -> RowsPart:
        """Return the rows of all evaluations."""
        results = study.results
        costs = _costs(results.begun())
        rows = {_key(e): _row(e, costs) for e in results.evaluations}
        return cls((*NAMES, *costs), rows)

    def after(self, study: Reading, changed: ChangedTrials) -> RowsPart:
        """Return the rows after some evaluations have changed."""
        costs, rows = self.names[len(NAMES) :], dict(self.rows)
        for evaluation in changed.removed:
            rows.pop(_key(evaluation), None)
        rows.update((_key(e), _row(e, costs)) for e in changed.added)
        return RowsPart(self.names, rows)

    def columns(self, evaluations: Sequence[Evaluation]) -> dict[str, list[Any]]:
        """Return one list per value, of some evaluations in the order that is given."""
        rows = [self.rows[_key(e)] for e in evaluations]
        columns = zip(*rows, strict=True) if rows else [()] * len(self.names)
        return {name: list(column) for name, column in zip(self.names, columns, strict=True)}


@dataclass(frozen=True)
class TextsPart:
    """The columns of all evaluations as JSON, in the order in which these ended.

    Attributes:
        n: Evaluations.
        texts: What stands between the brackets of a column, by its name.
    """

    n: int
    texts: dict[str, str]

    @classmethod
    def of(cls, study: Reading) -> TextsPart:
        """Return the texts of all evaluations."""
        return cls(0, {})._with(study)

    def after(self, study: Reading, changed: ChangedTrials) -> TextsPart:
        """Return the texts with those of evaluations that ended after all of before."""
        time = study.part(TimePart)
        is_last = {id(e) for e in time.evaluations[self.n :]} == {id(e) for e in changed.added}
        if changed.removed or not is_last:
            return TextsPart.of(study)
        ended = time.ends[self.n - 1][0] if self.n else 0.0
        # One that began before shares the seconds of others, whose times are others then.
        is_alone = all(e.started >= ended for e in changed.added)
        return self._with(study, has_times=is_alone)

    def _with(self, study: Reading, *, has_times: bool = True) -> TextsPart:
        """Return the texts with those of the evaluations that are not in them yet.

        Args:
            study: All of them.
            has_times: Whether the times of those that are in them are still right.
        """
        time = study.part(TimePart)
        new = time.evaluations[self.n :]
        values = study.part(RowsPart).columns(new) | {"at": _times(time, new)}
        texts = {
            name: _joined(self.texts.get(name, ""), column) for name, column in values.items()
        }
        if not has_times:
            texts["at"] = _joined("", _times(time, time.evaluations))
        return TextsPart(len(time.evaluations), texts)


def _joined(text: str, values: list[Any]) -> str:
    """Return a list as JSON without its brackets, behind the text of values before."""
    return ",".join(filter(None, (text, _text(values)[1:-1])))


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _key(evaluation: Evaluation) -> _Key:
    return evaluation.trial, evaluation.rung, evaluation.attempt


def _costs(header: StudyHeader) -> tuple[str, ...]:
    """Return the names of the costs that have a column."""
    found = dict.fromkeys(["latency_ms", "params_m", "macs_g", "size_mb"])
    return (*(found | dict.fromkeys(o.name for o in header.objectives if o.name in MEASURED)),)


def _row(e: Evaluation, costs: Sequence[str]) -> tuple[Any, ...]:
    """Return the values of an evaluation, those of ``NAMES`` and its costs."""
    outcome, measured = e.outcome, e.measurement
    trained = outcome if isinstance(outcome, Trained) else None
    return (
        e.trial,
        e.rung,
        e.kind,
        int(e.can_join_front),
        round(e.seconds, SECOND_DIGITS),
        e.candidate.label,
        e.candidate.id,
        *(
            (None, None, None, "")
            if trained is None
            else (
                _number(trained.metric),
                _number(trained.metric_low),
                _number(trained.metric_high),
                "full" if trained.fidelity is None else str(trained.fidelity),
            )
        ),
        e.proposal.chosen_by if e.proposal is not None else "",
        "" if trained is not None else str(outcome)[:TEXT],
        None if measured is None else _number(measured.latency.p95_ms),
        int(measured is None or measured.latency.is_stable),
        *(None if measured is None else _number(measured.value(name)) for name in costs),
    )


def _number(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(value, DIGITS)
