"""The facts of a dataset that rules decide by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from archfront.trainers.dataset_summary import LONGER_SIDE, DatasetSummary, Symmetries


@dataclass(frozen=True)
class Facts:
    """What was measured of a dataset.

    Attributes:
        n_train: Images of the training split.
        per_class: What the training split shows of each class: images, objects or pixels.
        counted: Which of them.
        longest: Median of the longer sides of the images, in pixels.
        small_object: Side of a small object (the quantile at 10 %) as a share of its image's
            longer side; None without objects.
        crowd: Objects of a crowded image (the quantile at 99 %); None without objects.
        n_val: Images of the validation split, whole ones; None without the split.
        has_own_val: Whether the data itself has the validation split.
        symmetries: How well flips are told; None where that was not measured.
        object_symmetries: The same of the objects.
    """

    n_train: int
    per_class: dict[str, int]
    counted: str
    longest: float
    small_object: float | None = None
    crowd: float | None = None
    n_val: int | None = None
    has_own_val: bool = False
    symmetries: Symmetries | None = None
    object_symmetries: Symmetries | None = None

    @classmethod
    def of_summary(cls, dataset: DatasetSummary, *, has_own_val: bool = False) -> Self:
        """Return the facts that a dataset's summary has, of tiles where images are cut.

        Args:
            dataset: The summary.
            has_own_val: Whether the data itself has the validation split.
        """
        seen, val = dataset.seen, dataset.splits.get("val")
        train, objects = seen.splits["train"], seen.objects
        return cls(
            n_train=train.images,
            per_class=dict(train.per_class),
            counted=seen.counted,
            longest=float(seen.sizes[LONGER_SIDE].median),
            small_object=None if objects is None else objects.side_share.p10,
            crowd=None if objects is None else objects.crowd,
            n_val=None if val is None else val.images,
            has_own_val=has_own_val,
            symmetries=dataset.symmetries,
            object_symmetries=dataset.object_symmetries,
        )
