"""The records of full trainings, and what they say together."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archfront.search.records.codec import decode, encode
from archfront.trainers.files import write_whole

logger = logging.getLogger(__name__)

# Epochs of a full training for each epoch of a short one, where they are not given.
TIMES = 5


@dataclass(frozen=True)
class Refit:
    """One full training of one member with one seed.

    Attributes:
        trial: Number of the trial.
        candidate_id: What was trained.
        seed: Of the training.
        question: Epochs, average, patience, teacher: what it was asked to be.
        metrics: Of the kept weights by split.
        intervals: Bootstrap interval of the study's metric by split.
        best_epoch: Whose weights were kept.
        curve: One mapping per epoch.
        seconds: Of training and validation.
        weights: Path of the weights, relative to the study's folder.
        predictions: The same of what was kept of each split.
    """

    trial: int
    candidate_id: str
    seed: int
    question: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    intervals: dict[str, tuple[float, float]]
    best_epoch: int
    curve: tuple[dict[str, Any], ...]
    seconds: float
    weights: str
    predictions: dict[str, str]

    @classmethod
    def read(cls, file: Path) -> Refit | None:
        """Return the record in a file; None where there is none, or one that cannot be used."""
        if not file.is_file():
            return None
        try:
            return decode(cls, json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            logger.warning("%s cannot be used, as if it were not there: %s", file, reason)
            return None

    def write(self, file: Path) -> None:
        """Write the record whole or not at all: its being there says that all files are."""
        write_whole(file, json.dumps(encode(self), indent=1) + "\n")


@dataclass(frozen=True)
class RefitMember:
    """A member after its full trainings.

    Attributes:
        trial: Number of the trial.
        label: Of the candidate, for people.
        proxy: The metric of its short training, on the validation split.
        metric: Mean over the seeds on ``split``.
        spread: Standard deviation over the seeds; None of one.
        low: Lower end of the bootstrap interval of the seed that is exported.
        high: Upper end.
        n_seeds: Seeds.
        seed: The one that is exported: the best on the validation split.
        latency_ms: As it was measured.
        is_on_front: Whether no other refitted member dominates it.
        dominated_by: Trials that dominate it with confidence.
        ties: Trials of the front whose metric is no different, as far as can be told.
        warning: Says that it is worse than its short training, where it is; else empty.
    """

    trial: int
    label: str
    proxy: float
    metric: float
    spread: float | None
    low: float
    high: float
    n_seeds: int
    seed: int
    latency_ms: float
    is_on_front: bool
    dominated_by: tuple[int, ...]
    ties: tuple[int, ...]
    warning: str = ""


@dataclass(frozen=True)
class RefitSummary:
    """What all full trainings of a study say.

    Attributes:
        metric: Its name.
        split: Where it was measured: ``test``, or ``val`` where there is no other.
        members: Fastest first.
        kendall: Rank correlation of proxy and refit; None of fewer than three members.
        p_value: Of no correlation.
        kept_share: Share of the refit front that was on the proxy front.
    """

    metric: str
    split: str
    members: tuple[RefitMember, ...]
    kendall: float | None
    p_value: float | None
    kept_share: float

    @property
    def split_description(self) -> str:
        """Return where the metric was measured, for people."""
        if self.split == "test":
            return "on the test split, which the search never saw"
        return "on the validation split, which the search chose by: there is no test split"
