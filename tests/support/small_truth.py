"""Made-up truth for every kind of target, for the tests that run over all tasks."""

from __future__ import annotations

import numpy as np

from archfront.trainers.data.targets import Labels, Mask, Objects, Target, TargetKind
from archfront.trainers.data.verify import Sample


def samples_of(kind: TargetKind, n: int, *, classes: int, side: int) -> tuple[Sample, ...]:
    """Return samples of drawn noise whose targets are of a kind, every class in some of them."""
    return tuple(
        Sample(
            np.random.default_rng(i).integers(0, 256, (side, side, 3), np.uint8),
            target_of(kind, i, classes=classes, side=side),
            f"{i}",
            side,
            side,
            is_grey=False,
            digest=str(i),
        )
        for i in range(n)
    )


def target_of(kind: TargetKind, i: int, *, classes: int, side: int) -> Target:
    """Return the target of the ``i``-th image."""
    if kind == "label":
        return i % classes
    if kind == "labels":
        return Labels(tuple(sorted({i % classes, (i + 1) % classes})))
    if kind == "mask":
        indices = np.full((side, side), i % classes, np.uint8)
        indices[: side // 2] = (i + 1) % classes
        return Mask(indices, counts=tuple(np.bincount(indices.ravel(), minlength=classes)))
    corner, size = side * (i % 3) / 8, side / 2
    boxes = np.array([[corner, corner, corner + size, corner + size]], np.float32)
    x1, y1, x2, y2 = map(float, boxes[0])
    outline = ((x1, y1, x2, y1, x2, y2, x1, y2),)
    segments = (outline,) if kind == "outlines" else None
    return Objects(boxes, np.array([i % classes]), np.zeros(1, np.bool_), segments)
