"""The summary of a dataset, counted over its images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median, median_high

import numpy as np

from archfront.trainers.data.plausible import Facts, warnings
from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.targets import Mask, Objects, class_counts
from archfront.trainers.data.tiles import Tiling
from archfront.trainers.data.verify import Sample
from archfront.trainers.dataset_summary import (
    LONGER_SIDE,
    PIXELS,
    DatasetSummary,
    ObjectSummary,
    SideShare,
    SkippedExample,
    SkippedSummary,
    SplitSummary,
    Spread,
    TileSummary,
)

N_EXAMPLES = 5
COUNTED = {Mask: PIXELS, Objects: "objects"}


def summarize(
    splits: Mapping[str, Sequence[Sample]],
    class_names: Sequence[str],
    skipped: Sequence[Skipped],
) -> DatasetSummary:
    """Return what each split has and shows of each class, sizes, what was left out, warnings."""
    everything = [sample for samples in splits.values() for sample in samples]
    counted = COUNTED.get(type(everything[0].target), "images")
    numbers = {
        name: SplitSummary(len(samples), _per_class(samples, class_names))
        for name, samples in splits.items()
    }
    return DatasetSummary(
        class_names=tuple(class_names),
        counted=counted,
        splits=numbers,
        objects=_objects(everything),
        sizes={
            "width": _spread([sample.width for sample in everything]),
            "height": _spread([sample.height for sample in everything]),
            LONGER_SIDE: _spread([max(sample.width, sample.height) for sample in everything]),
        },
        skipped=_by_reason(skipped),
        warnings=warnings(Facts(class_names, counted, splits, numbers)),
    )


def summarize_tiles(
    splits: Mapping[str, Sequence[Sample]], tiling: Tiling, learned: Sequence[Sample]
) -> TileSummary:
    """Return how many tiles images have, and how large objects are in them.

    Args:
        splits: The images by split.
        tiling: How they are cut.
        learned: Tiles of the training split that are learned from.
    """
    everything = [sample for samples in splits.values() for sample in samples]
    counts = [tiling.count(sample.width, sample.height) for sample in everything]
    sides = [min(tiling.size, max(sample.width, sample.height)) for sample in everything]
    seen = {
        name: sum(tiling.count(sample.width, sample.height) for sample in samples)
        for name, samples in splits.items()
    }
    return TileSummary(
        size=tiling.size,
        overlap=tiling.overlap,
        per_image=Spread(min(counts), median_high(counts), max(counts)),
        splits={**seen, "train": len(learned)},
        longer_side=_spread(sides),
        objects=_counted(learned, _side_share(everything, sides)),
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
    sides = [max(sample.width, sample.height) for sample in samples]
    return _counted(samples, _side_share(samples, sides))


def _counted(samples: Sequence[Sample], shares: SideShare | None) -> ObjectSummary | None:
    if shares is None:
        return None
    counts = [int((~s.target.crowd).sum()) for s in samples if isinstance(s.target, Objects)]
    return ObjectSummary(
        per_image=_spread(counts), side_share=shares, crowd=float(np.quantile(counts, 0.99))
    )


def _side_share(samples: Sequence[Sample], longer: Sequence[int]) -> SideShare | None:
    """Return the shares of objects of a longer side each, at most 1; None without objects."""
    shares = [
        np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)) / side
        for sample, side in zip(samples, longer, strict=True)
        if isinstance(sample.target, Objects)
        for boxes in [sample.target.boxes[~sample.target.crowd]]
    ]
    everything = np.concatenate([np.zeros(0), *shares]).clip(max=1)
    if not len(everything):
        return None
    return SideShare(*map(float, np.quantile(everything, (0.1, 0.5, 0.9))))


def _spread(values: Sequence[int]) -> Spread:
    return Spread(min(values), median(values), max(values))


def _by_reason(skipped: Sequence[Skipped]) -> dict[str, SkippedSummary]:
    reasons: defaultdict[str, list[Skipped]] = defaultdict(list)
    for item in skipped:
        reasons[item.reason].append(item)
    return {
        reason: SkippedSummary(
            len(items),
            tuple(SkippedExample(i.name, i.detail) for i in items[:N_EXAMPLES]),
            is_note=all(item.is_note for item in items),
        )
        for reason, items in sorted(reasons.items())
    }
