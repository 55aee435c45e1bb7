"""What happens in a study, as typed events that the terminal, MLflow and the log follow."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation, Measurement
from archfront.search.records.header import StudyHeader
from archfront.trainers.dataset_summary import DatasetSummary


@dataclass(frozen=True)
class DataRead:
    """The images were read and checked; nothing is measured or trained yet.

    Attributes:
        study: Name of the study.
        data: Name of the data for people.
        dataset: Its summary.
    """

    study: str
    data: str
    dataset: DatasetSummary


@dataclass(frozen=True)
class FilesSent:
    """A node of a cluster gets files, of which so many megabytes are there."""

    node: str
    mb: float
    of_mb: float


@dataclass(frozen=True)
class StudyStarted:
    """The loop begins.

    Attributes:
        study: Name of the study.
        header: What was stored when it started first.
        evaluations: What earlier runs of it have finished.
        isolates: Whether the engine isolates its jobs.
        waiting: Trials that earlier runs of it left open.
    """

    study: str
    header: StudyHeader
    evaluations: tuple[Evaluation, ...]
    isolates: bool
    waiting: frozenset[int] = frozenset()


@dataclass(frozen=True)
class TrialProposed:
    """A candidate was chosen and is measured next."""

    trial: int
    candidate: Candidate


@dataclass(frozen=True)
class TrialMeasured:
    """A candidate is within the limits and is trained next."""

    trial: int
    candidate: Candidate
    measurement: Measurement


@dataclass(frozen=True)
class WeightsFetched:
    """A training waits for its first weights, of which so many megabytes are there."""

    trial: int
    backbone: str
    mb: float
    of_mb: float


@dataclass(frozen=True)
class EpochFinished:
    """A training goes on."""

    trial: int
    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class RungFinished:
    """A candidate was trained to a rung below the top, which is recorded, and waits there."""

    evaluation: Evaluation


@dataclass(frozen=True)
class TrialPromoted:
    """A candidate that waited is trained to its next rung, counted from 0."""

    trial: int
    candidate: Candidate
    rung: int


@dataclass(frozen=True)
class TrialsStopped:
    """Candidates that waited are not trained further."""

    trials: tuple[int, ...]


@dataclass(frozen=True)
class TrialFinished:
    """A candidate has its last outcome, which is recorded."""

    evaluation: Evaluation


@dataclass(frozen=True)
class TrialRemeasured:
    """A trained candidate was measured again, since other work had disturbed its latency."""

    trial: int
    candidate: Candidate
    measurement: Measurement


@dataclass(frozen=True)
class Noticed:
    """Something that a person should know and that does not end the study."""

    message: str


@dataclass(frozen=True)
class StudyFinished:
    """The loop ended.

    Attributes:
        state: ``finished`` by its budget or space, ``interrupted``, ``stopped`` by the machine or
            since nothing could be trained, ``failed``.
        reason: Why, in words.
    """

    state: str
    reason: str


Event = (
    DataRead
    | FilesSent
    | StudyStarted
    | TrialProposed
    | TrialMeasured
    | WeightsFetched
    | EpochFinished
    | RungFinished
    | TrialPromoted
    | TrialsStopped
    | TrialFinished
    | TrialRemeasured
    | Noticed
    | StudyFinished
)
Follower = Callable[[Event], None]


class EventLog:
    """Appends every event as one JSON line: ``time``, ``event`` and its fields."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Append one event."""
        line = {"time": self._clock(), "event": type(event).__name__, **_content(event)}
        with self._path.open("ab+") as file:
            # A process that was killed can leave a line without its end.
            start = b"" if _ends_a_line(file) else b"\n"
            file.write(start + json.dumps(line, default=str).encode() + b"\n")


def _ends_a_line(file: IO[bytes]) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _content(event: Event) -> dict[str, Any]:
    match event:
        case DataRead(dataset=dataset):  # the header has the rest
            images = {name: part.images for name, part in dataset.splits.items()}
            return {"data": event.data, "classes": len(dataset.class_names), "images": images}
        case StudyStarted():  # the header and the evaluations are stored elsewhere
            return {"study": event.study, "resumed_with": len(event.evaluations)}
        case TrialFinished(evaluation):
            return {"trial": evaluation.trial, "outcome": evaluation.kind}
        case RungFinished(evaluation):
            return {"trial": evaluation.trial, "rung": evaluation.rung}
        case _:
            content = asdict(event)
            candidate = getattr(event, "candidate", None)
            return content if candidate is None else content | {"candidate": candidate.as_dict()}
