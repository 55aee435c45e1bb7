"""What a report says about a dataset, as plain JSON content."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from trainers.data.raw import Skipped
from trainers.data.verify import Sample

N_EXAMPLES = 5


def summarize(
    splits: Mapping[str, Sequence[Sample]],
    class_names: Sequence[str],
    skipped: Sequence[Skipped],
) -> dict[str, Any]:
    """Return images and images per class of each split, image sizes, and what was left out."""
    everything = [sample for samples in splits.values() for sample in samples]
    return {
        "splits": {
            name: {"images": len(samples), "per_class": _per_class(samples, class_names)}
            for name, samples in splits.items()
        },
        "sizes": {
            "width": _spread([sample.width for sample in everything]),
            "height": _spread([sample.height for sample in everything]),
        },
        "skipped": _by_reason(skipped),
    }


def _per_class(samples: Sequence[Sample], class_names: Sequence[str]) -> dict[str, int]:
    counts = Counter(sample.label for sample in samples)
    return {name: counts[label] for label, name in enumerate(class_names)}


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
