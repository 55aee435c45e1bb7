"""What the records of a race tell: archfront's front over time, and whether an aim is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archfront.search.errors import ArchfrontError
from archfront.search.front.members import FrontMember, build_front
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from archfront.trainers.spec import Architecture

STUDY = "race"


@dataclass(frozen=True)
class Moment:
    """archfront's front at a moment.

    Attributes:
        seconds: Since the start of its process.
        members: Members of the front then.
        best: Their best metric; None without a member.
    """

    seconds: float
    members: int
    best: float | None


@dataclass(frozen=True)
class Member:
    """A member of the last front.

    Attributes:
        architecture: Its network.
        metric: On the validation images, with its interval.
        low: Lower end.
        high: Upper end.
        latency_ms: As archfront measured it within its minutes.
        rung: The rung that the metric is of.
        seconds: When it was found, since the start of the process.
    """

    architecture: Architecture
    metric: float
    low: float
    high: float
    latency_ms: float
    rung: int
    seconds: float

    def as_row(self) -> dict[str, Any]:
        """Return plain content."""
        a = self.architecture
        own = {k: v for k, v in vars(self).items() if k != "architecture"}
        return {"network": a.backbone, "head": a.top, "input_size": a.input_size, **own}


@dataclass(frozen=True)
class Course:
    """What archfront did within its minutes, from its records.

    Attributes:
        moments: After every evaluation that trained a candidate.
        members: Of the front at the end, fastest first.
        n_seen: Candidates of which a metric is known, at whatever fidelity.
        n_full: Full trainings.
        n_late: Trainings that ended after the minutes, which are counted from the start of the
            process as those of the script, with its imports; they count nowhere.
        state: Of the study.
        reason: Why it ended, in words.
    """

    moments: tuple[Moment, ...]
    members: tuple[Member, ...]
    n_seen: int
    n_full: int
    n_late: int
    state: str
    reason: str

    @property
    def first_s(self) -> float | None:
        """Return the seconds to the first member; None if there was none."""
        return next((m.seconds for m in self.moments if m.members), None)

    @property
    def best(self) -> Member | None:
        """Return the member with the best metric; None without members."""
        return max(self.members, key=lambda m: m.metric, default=None)

    def figures(self) -> dict[str, Any]:
        """Return the figures that every race tells of archfront."""
        best = self.best
        return {
            "first_s": self.first_s,
            "best": None if best is None else best.metric,
            "low": None if best is None else best.low,
            "high": None if best is None else best.high,
            "members": len(self.members),
            "n_seen": self.n_seen,
            "n_full": self.n_full,
            "n_late": self.n_late,
        }

    def least_members(self, after_s: float) -> int:
        """Return the fewest members at any moment from these seconds on."""
        before = [m.members for m in self.moments if m.seconds <= after_s][-1:] or [0]
        return min(before + [m.members for m in self.moments if m.seconds > after_s])

    def as_row(self) -> dict[str, Any]:
        """Return plain content."""
        return {
            "first_member_s": self.first_s,
            "n_seen": self.n_seen,
            "n_full": self.n_full,
            "n_late": self.n_late,
            "state": self.state,
            "reason": self.reason,
            "members": [member.as_row() for member in self.members],
            "moments": [vars(moment) for moment in self.moments],
        }


def read_course(root: Path, *, started: float, seconds: float) -> Course:
    """Return the course of the study in a root folder.

    Args:
        root: Of the study.
        started: Seconds since the epoch at which its process was started.
        seconds: What it was given; what it found later does not count.
    """
    places = StudyPaths(root, STUDY)
    try:
        results = Results.read(reading(places, None), places)
    except ArchfrontError as error:
        return Course((), (), 0, 0, 0, "failed", str(error))
    return course(results, started=started, seconds=seconds)


def course(results: Results, *, started: float, seconds: float) -> Course:
    """Return the course that the records of a study tell; args as of ``read_course``."""

    def end_s(evaluation: Evaluation) -> float:
        return evaluation.started + evaluation.seconds - started

    trained = sorted((e for e in results.evaluations if e.kind == "trained"), key=end_s)
    in_time = [e for e in trained if end_s(e) <= seconds]
    moments, front = [], list[FrontMember]()
    for n, evaluation in enumerate(in_time, start=1):
        front = build_front(in_time[:n], results.objectives)
        best = max((m.metric for m in front), default=None)
        moments.append(Moment(round(end_s(evaluation), 2), len(front), best))
    ends = {(e.trial, e.rung): end_s(e) for e in in_time}
    members = tuple(
        Member(
            architecture=m.candidate.architecture,
            metric=m.metric,
            low=m.metric_low,
            high=m.metric_high,
            latency_ms=m.latency_ms,
            rung=m.rung,
            seconds=round(ends[m.trial, m.rung], 2),
        )
        for m in front
    )
    return Course(
        moments=tuple(moments),
        members=members,
        n_seen=len({e.candidate.id for e in in_time}),
        n_full=sum(e.is_top for e in in_time),
        n_late=len(trained) - len(in_time),
        state=results.state,
        reason=results.reason,
    )


@dataclass(frozen=True)
class Aim:
    """A value that a run must reach.

    Attributes:
        name: What is counted, in words.
        value: What it came to; None where there is nothing.
        limit: The bound.
        bound: On which side of the limit the value must be.
    """

    name: str
    value: float | None
    limit: float
    bound: Literal["at most", "at least"]

    @property
    def is_met(self) -> bool:
        """Return whether the value is there and on the right side of the limit."""
        if self.value is None:
            return False
        return self.value <= self.limit if self.bound == "at most" else self.value >= self.limit

    def __str__(self) -> str:
        """Return the aim in words, for example ``MISSED: members 2, aim at least 3``."""
        value = "none" if self.value is None else f"{self.value:.4g}"
        word = "met" if self.is_met else "MISSED"
        return f"{word}: {self.name} {value}, aim {self.bound} {self.limit:.4g}"

    def as_row(self) -> dict[str, Any]:
        """Return plain content."""
        return {**vars(self), "is_met": self.is_met}


def missed(aims: Sequence[Aim]) -> str:
    """Return the names of the missed aims; empty if all are met."""
    return "; ".join(aim.name for aim in aims if not aim.is_met)


def ratio(value: float | None, other: float | None) -> float | None:
    """Return a value over another; None where one is not there or the other is 0."""
    return None if value is None or not other else value / other
