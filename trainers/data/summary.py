"""The summary of a dataset: what a report says about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.targets import Mask, Objects, class_counts
from archfront.trainers.data.verify import Sample

N_EXAMPLES = 5
COUNTED = {Mask: "pixels", Objects: "objects"}


@dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of some numbers."""

    min: int | float
    median: int | float
    max: int | float


@dataclass(frozen=True)
class SplitSummary:
    """One split: its images, and what they show of each class."""

    images: int
    per_class: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SideShare:
    """Percentiles of the root of a box's area over the longer side of its image."""

    p10: float
    median: float
    p90: float


@dataclass(frozen=True)
class ObjectSummary:
    """How many objects an image has, and how large they are; crowds do not count."""

    per_image: Spread
    side_share: SideShare


@dataclass(frozen=True)
class SkippedExample:
    """The name of an image that was left out, and what is wrong with it."""

    name: str
    detail: str


@dataclass(frozen=True)
class SkippedSummary:
    """The images left out for one reason."""

    count: int
    examples: tuple[SkippedExample, ...] = ()


@dataclass(frozen=True)
class DatasetSummary:
    """What a report says about a dataset, and what tells it from another one.

    Attributes:
        class_names: Names by label.
        channels: 1 or 3; None where that is not known.
        fingerprint: Hash over names, contents, labels and splits; None where it is not known.
        division: How the splits came about, for people.
        counted: What the numbers per class are of: images, objects or pixels.
        splits: By name: ``train``, ``val`` and, where there is one, ``test``.
        objects: Of images with objects; None of others.
        sizes: ``width`` and ``height`` of the images in pixels.
        skipped: What was left out, by reason.
    """

    class_names: tuple[str, ...] = ()
    channels: int | None = None
    fingerprint: str | None = None
    division: str = ""
    counted: str = "images"
    splits: dict[str, SplitSummary] = field(default_factory=dict)
    objects: ObjectSummary | None = None
    sizes: dict[str, Spread] = field(default_factory=dict)
    skipped: dict[str, SkippedSummary] = field(default_factory=dict)

    def class_counts(self, split: str) -> list[int]:
        """Return what a split shows of each class, in the order of the classes."""
        return list(self.splits[split].per_class.values())


def summarize(
    splits: Mapping[str, Sequence[Sample]],
    class_names: Sequence[str],
    skipped: Sequence[Skipped],
) -> DatasetSummary:
    """Return images and what they show per class of each split, sizes, and what was left out."""
    everything = [sample for samples in splits.values() for sample in samples]
    return DatasetSummary(
        class_names=tuple(class_names),
        counted=COUNTED.get(type(everything[0].target), "images"),
        splits={
            name: SplitSummary(len(samples), _per_class(samples, class_names))
            for name, samples in splits.items()
        },
        objects=_objects(everything),
        sizes={
            "width": _spread([sample.width for sample in everything]),
            "height": _spread([sample.height for sample in everything]),
        },
        skipped=_by_reason(skipped),
    )


def _per_class(samples: Sequence[Sample], class_names: Sequence[str]) -> dict[str, int]:
    counts: Counter[int] = Counter()
    for sample in samples:
        counts.update(class_counts(sample.target))
    return {name: counts[label] for label, name in enumerate(class_names)}


def _objects(samples: Sequence[Sample]) -> ObjectSummary | None:
    """Return the number and the size of objects; None without objects.

    Crowds do not count, as in the numbers per class.
    """
    found = [
        (s, s.target.only(np.flatnonzero(~s.target.crowd)))
        for s in samples
        if isinstance(s.target, Objects)
    ]
    sides = np.concatenate(
        [
            np.sqrt(np.prod(target.boxes[:, 2:] - target.boxes[:, :2], axis=1))
            / max(sample.width, sample.height)
            for sample, target in found
        ]
        or [np.zeros(0)]
    )
    if not len(sides):
        return None
    shares = np.quantile(sides, (0.1, 0.5, 0.9))
    return ObjectSummary(
        per_image=_spread([len(target) for _, target in found]),
        side_share=SideShare(*map(float, shares)),
    )


def _spread(values: Sequence[int]) -> Spread:
    return Spread(min(values), median(values), max(values))


def _by_reason(skipped: Sequence[Skipped]) -> dict[str, SkippedSummary]:
    reasons: defaultdict[str, list[Skipped]] = defaultdict(list)
    for item in skipped:
        reasons[item.reason].append(item)
    return {
        reason: SkippedSummary(
            len(items), tuple(SkippedExample(i.name, i.detail) for i in items[:N_EXAMPLES])
        )
        for reason, items in sorted(reasons.items())
    }
