"""What folds of train and val say of the members of a front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from archfront.search.records.codec import decode, encode

# User attribute of a study.
FOLDS = "archfront:folds"


@dataclass(frozen=True)
class FoldScore:
    """A network that was trained on the other folds and judged on this one.

    Attributes:
        metric: The study's metric on the images of the fold.
        n_images: How many these are.
        seconds: Wall seconds of training and judging.
        predictions: Path of its predictions, relative to the study's folder.
    """

    metric: float
    n_images: int
    seconds: float
    predictions: str


@dataclass(frozen=True)
class FoldMean:
    """The mean over folds, each weighing as its images.

    Attributes:
        metric: The mean.
        low: Lower end of its bootstrap interval.
        high: Upper end of its bootstrap interval.
        n_folds: Folds that it is of.
    """

    metric: float
    low: float
    high: float
    n_folds: int


@dataclass(frozen=True)
class FoldScores:
    """The folds of a member.

    Attributes:
        rung: Rung of the evaluation that was judged; a record of another one says nothing of it.
        n_folds: How many folds the images were divided into.
        scores: By the number of the fold, from 0; not all of them after a kill, or where the
            minutes were used up.
        mean: Of the folds that all members have; None with fewer than two.
    """

    rung: int
    n_folds: int
    scores: dict[int, FoldScore] = field(default_factory=dict)
    mean: FoldMean | None = None


@dataclass(frozen=True)
class FoldRecords:
    """The folds of a study's members, as they are stored.

    Attributes:
        stored: Returns the attributes of the study, which nobody may change.
        store: Stores one of them.
    """

    stored: Callable[[], Mapping[str, Any]]
    store: Callable[[str, Any], None]

    def read(self) -> dict[int, FoldScores]:
        """Return what folds say of front members, by trial."""
        return decode(dict[int, FoldScores], self.stored().get(FOLDS, {}))

    def write(self, folds: Mapping[int, FoldScores]) -> None:
        """Store what folds say of front members."""
        self.store(FOLDS, {str(trial): encode(f) for trial, f in folds.items()})
