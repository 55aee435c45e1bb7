"""A study as columns: what its picture and its table draw, quick for thousands of trials.

A browser asks for what ended since it asked last, so a study that grows costs it only the growth.
Numbers that are not known are None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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

Row = Callable[[Evaluation], Any]
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
    results = study.results
    header, time = results.begun(), study.part(TimePart)
    new = time.ended_after(after)
    ended = {id(e): time.at(e) for e in new}
    return {
        "study": study.part(FactsPart).facts,
        "state": results.state,
        "reason": results.reason,
        "counts": study.part(TrialsPart).counts,
        "waiting": sorted(results.waiting),
        "n": len(results.evaluations),
        "after": after,
        "front": front_rows(study.front, header.objectives),
        "columns": _columns(new, header, ended),
    }


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
        "budget": {name: header.config["budget"].get(name) for name in ("minutes", "trials")},
    }


def _axis(objective: Objective) -> dict[str, Any]:
    return {
        "name": objective.name,
        "text": axis_name(objective.name),
        "unit": objective.unit,
        "direction": objective.direction,
        "is_log": objective.is_log,
    }


def _columns(
    evaluations: Sequence[Evaluation], header: StudyHeader, ended: Mapping[int, float]
) -> dict[str, list[Any]]:
    """Return one list per column, of one value per evaluation in the order that is given.

    Args:
        evaluations: Those of the columns.
        header: What the study is.
        ended: The active seconds of the study at the end of an evaluation, by its ``id``.
    """
    rows: dict[str, Row] = {
        "trial": lambda e: e.trial,
        "rung": lambda e: e.rung,
        "kind": lambda e: e.kind,
        "can_join": lambda e: int(e.can_join_front),
        "at": lambda e: round(ended[id(e)], SECOND_DIGITS),
        "seconds": lambda e: round(e.seconds, SECOND_DIGITS),
        "label": lambda e: e.candidate.label,
        "candidate": lambda e: e.candidate.id,
        "metric": _of_trained("metric"),
        "low": _of_trained("metric_low"),
        "high": _of_trained("metric_high"),
        "trained": _fidelity,
        "chosen_by": lambda e: e.proposal.chosen_by if e.proposal is not None else "",
        "why": _why,
        "p95_ms": lambda e: _number(e.measurement.latency.p95_ms) if e.measurement else None,
        "is_stable": lambda e: int(e.measurement is None or e.measurement.latency.is_stable),
    }
    measured = dict.fromkeys(["latency_ms", "params_m", "macs_g", "size_mb"])
    measured |= dict.fromkeys(o.name for o in header.objectives if o.name in MEASURED)
    rows |= {name: _of_measured(name) for name in measured}
    return {name: [row(e) for e in evaluations] for name, row in rows.items()}


def _of_trained(name: str) -> Row:
    def value(evaluation: Evaluation) -> float | None:
        outcome = evaluation.outcome
        return _number(getattr(outcome, name)) if isinstance(outcome, Trained) else None

    return value


def _of_measured(name: str) -> Row:
    def value(evaluation: Evaluation) -> float | None:
        measured = evaluation.measurement
        return None if measured is None else _number(measured.value(name))

    return value


def _fidelity(evaluation: Evaluation) -> str:
    outcome = evaluation.outcome
    if not isinstance(outcome, Trained):
        return ""
    return "full" if outcome.fidelity is None else str(outcome.fidelity)


def _why(evaluation: Evaluation) -> str:
    """Return why a candidate was not trained."""
    return "" if isinstance(evaluation.outcome, Trained) else str(evaluation.outcome)[:TEXT]


def _number(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(value, DIGITS)
