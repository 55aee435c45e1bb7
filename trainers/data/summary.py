"""What a report says about a dataset, as plain JSON content."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.targets import Mask, Objects, class_counts
from archfront.trainers.data.verify import Sample

N_EXAMPLES = 5
COUNTED = {Mask: "pixels", Objects: "objects"}


def summarize(
    splits: Mapping[str, Sequence[Sample]],
    class_names: Sequence[str],
    skipped: Sequence[Skipped],
) -> dict[str, Any]:
    """Return images and what they show per class of each split, sizes, and what was left out.

    ``counted`` says what the numbers per class are of: images, objects or pixels.
    """
    everything = [sample for samples in splits.values() for sample in samples]
    return {
        "counted": COUNTED.get(type(everything[0].target), "images"),
        "splits": {
            name: {"images": len(samples), "per_class": _per_class(samples, class_names)}
            for name, samples in splits.items()
        },
        **_objects(everything),
        "sizes": {
            "width": _spread([sample.width for sample in everything]),
            "height": _spread([sample.height for sample in everything]),
        },
        "skipped": _by_reason(skipped),
    }


def _per_class(samples: Sequence[Sample], class_names: Sequence[str]) -> dict[str, int]:
    counts: Counter[int] = Counter()
    for sample in samples:
        counts.update(class_counts(sample.target))
    return {name: counts[label] for label, name in enumerate(class_names)}


def _objects(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return how many objects an image has and how large they are; nothing without objects.

    Crowds do not count, as in the numbers per class.

    ``side_share`` is the root of a box's area over the longer side of its image: the 10th, 50th
    and 90th percentile.
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
        return {}
    shares = np.quantile(sides, (0.1, 0.5, 0.9))
    return {
        "objects": {
            "per_image": _spread([len(target) for _, target in found]),
            "side_share": dict(zip(("p10", "median", "p90"), map(float, shares), strict=True)),
        }
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    return {"min": min(values), "median": median(values), "max": max(values)}


def _by_reason(skipped: Sequence[Skipped]) -> dict[str, dict[str, Any]]:
    reasons: defaultdict[str, list[Skipped]] = defaultdict(list)
    for item in skipped:
        reasons[item.reason].append(item)
    return {
        reason: {
            "count": len(items),
            "examples": [
                {"name": item.name, "detail": item.detail} for item in items[:N_EXAMPLES]
            ],
        }
        for reason, items in sorted(reasons.items())
    }
