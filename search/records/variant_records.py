"""The records of deployment variants, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archfront.search.records.difference import difference_note
from archfront.search.records.evaluation import Failed, Measurement
from archfront.search.records.failure_kinds import LASTING
from archfront.search.records.files import read_rows, write_rows
from archfront.search.records.paths import StudyPaths
from archfront.trainers.words import count_of

RECORD = "variants.json"


@dataclass(frozen=True)
class Setting:
    """How a trained member is deployed.

    Attributes:
        runtime: What runs it.
        precision: ``fp32`` or ``int8``.
        input_size: Side of the square input in pixels.
    """

    runtime: str
    precision: str
    input_size: int

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.runtime} {self.precision} at {self.input_size} px"


@dataclass(frozen=True)
class Scored:
    """What a variant is worth and what it costs.

    Attributes:
        metric: The study's metric on the validation split, of the very file in its runtime.
        metric_low: Lower end of its bootstrap interval.
        metric_high: Upper end.
        metrics: Every metric of the task.
        measurement: What it costs on this device.
        parity: Largest difference of the file from eager PyTorch on validation images, in units
            of the outputs' spread over them.
        exceeded: ``{limit: (value, allowed)}`` of every limit of the study that it exceeds.
        predictions: Path of its validation predictions, relative to the study's folder.
    """

    metric: float
    metric_low: float
    metric_high: float
    metrics: dict[str, float]
    measurement: Measurement
    parity: float
    exceeded: dict[str, tuple[float, float]]
    predictions: str


@dataclass(frozen=True)
class Variant:
    """One record: a trained member, how it is deployed, and what came of it.

    Attributes:
        trial: Number of the trial.
        candidate_id: What was trained.
        weights: SHA-256 of its weights.
        setting: How it is deployed.
        runtime_version: Of the runtime's library.
        outcome: What it is worth, or why it could not be made.
        seconds: What exporting, measuring and scoring took.
    """

    trial: int
    candidate_id: str
    weights: str
    setting: Setting
    runtime_version: str
    outcome: Scored | Failed
    seconds: float

    @property
    def identity(self) -> tuple[Any, ...]:
        """Return what must be the same for a record to be of use again."""
        return (self.trial, self.weights, self.setting, self.runtime_version)

    @property
    def is_lasting(self) -> bool:
        """Return whether it would come out the same again, as a crash need not."""
        return not isinstance(self.outcome, Failed) or self.outcome.kind in LASTING


def read(paths: StudyPaths) -> list[Variant]:
    """Return the recorded variants of a study, in the order in which they were made.

    Raises:
        StudyError: If the file is none of this version.
    """
    remedy = f"'archfront variants {paths.study}' measures them anew"
    return read_rows(paths.folder / RECORD, Variant, remedy)


def write(paths: StudyPaths, variants: Sequence[Variant]) -> None:
    """Write the variants of a study whole or not at all."""
    write_rows(paths.folder / RECORD, variants)


@dataclass(frozen=True)
class Point:
    """A trained member or one of its variants, among all of them.

    Attributes:
        trial: Number of the trial.
        label: Of the candidate, for people; of a variant at its own input size.
        setting: How it is deployed.
        is_variant: Whether it is a variant, not the trained member itself.
        metric: The study's metric on the validation split.
        metric_low: Lower end of its interval.
        metric_high: Upper end.
        costs: The other objectives by name, each in its own unit.
        is_on_front: Whether no member and no variant dominates it.
        beats: Trials of the members that it dominates.
        matches: Trials of the members that cost more, and whose metric is higher by no more than
            a paired test over the same images can tell.
        exceeded: Limits of the study that it exceeds, with value and what is allowed.
        parity: As that of ``Scored``; None of a trained member.
    """

    trial: int
    label: str
    setting: Setting
    is_variant: bool
    metric: float
    metric_low: float
    metric_high: float
    costs: dict[str, float]
    is_on_front: bool
    beats: tuple[int, ...]
    matches: tuple[int, ...]
    exceeded: dict[str, tuple[float, float]]
    parity: float | None = None

    @property
    def verdict(self) -> str:
        """Return how the point compares with the trained members and the limits."""
        said = [] if self.is_variant else ["trained"]
        said += [] if self.is_on_front else ["dominated"]
        for verb, trials in (("beats", self.beats), ("matches", self.matches)):
            said += [f"{verb} {', '.join(map(str, trials))}"] if trials else []
        said += [f"over the limit of {name}" for name in self.exceeded]
        said += [note] if (note := difference_note(self.parity)) else []
        return "; ".join(said)


@dataclass(frozen=True)
class VariantSummary:
    """What the variants of a study say beside its members.

    Attributes:
        metric: Name of the study's metric.
        costs: Names of the other objectives.
        points: Members and variants; the cheapest in the first cost first.
        refused: Variants that could not be made, with the reason.
    """

    metric: str
    costs: tuple[str, ...]
    points: tuple[Point, ...]
    refused: tuple[Variant, ...]

    @property
    def sentence(self) -> str:
        """Return what the variants add, for people."""
        found = [point for point in self.points if point.is_variant]
        n_front = sum(point.is_on_front for point in found)
        n_beating = sum(bool(point.beats) for point in found)
        return (
            f"{count_of(len(found), 'variant was', 'variants were')} measured and scored without "
            f"training: {count_of(n_front, 'is', 'are')} dominated by no member and no other "
            f"variant, {count_of(n_beating, 'beats', 'beat')} a trained member; "
            f"{len(self.refused)} could not be made."
        )
