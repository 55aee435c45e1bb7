"""The summary of a dataset, counted over its images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from archfront.trainers.data.plausible import Facts, warnings
from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.targets import Mask, Objects, class_counts
from archfront.trainers.data.verify import Sample
from archfront.trainers.dataset_summary import (
    LONGER_SIDE,
    DatasetSummary,
    ObjectSummary,
    SideShare,
    SkippedExample,
    SkippedSummary,
    SplitSummary,
    Spread,
)

N_EXAMPLES = 5
COUNTED = {Mask: "pixels", Objects: "objects"}


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
            len(items),
            tuple(SkippedExample(i.name, i.detail) for i in items[:N_EXAMPLES]),
            is_note=all(item.is_note for item in items),
        )
        for reason, items in sorted(reasons.items())
    }
