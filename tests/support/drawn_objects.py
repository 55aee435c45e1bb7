"""Images with squares and discs, drawn with their boxes and outlines."""

from __future__ import annotations

import numpy as np

from archfront.trainers.data.targets import Objects
from archfront.trainers.data.verify import Sample

NAMES = ("square", "disc")
# Corners of the polygon that stands for a disc.
N_CORNERS = 24


def drawn_samples(seed: int, n: int, *, width: int = 64, height: int = 64) -> tuple[Sample, ...]:
    """Return images with three objects each, of 14 to 24 px, in places of their own."""
    rng = np.random.default_rng(seed)
    return tuple(_drawn(rng, f"{i}", width, height) for i in range(n))


def _drawn(rng: np.random.Generator, name: str, width: int, height: int) -> Sample:
    pixels = rng.integers(0, 60, (height, width, 3), np.uint8)
    rows, columns = np.mgrid[:height, :width] + 0.5
    quarters = rng.permutation(4)[:3]
    boxes, labels, outlines = [], [], []
    for quarter in quarters:
        side = rng.uniform(14, 24)
        x1 = quarter % 2 * width / 2 + rng.uniform(2, width / 2 - side - 2)
        y1 = quarter // 2 * height / 2 + rng.uniform(2, height / 2 - side - 2)
        label = int(rng.integers(2))
        center, radius = np.array([x1, y1]) + side / 2, side / 2
        apart = np.stack([columns - center[0], rows - center[1]])
        is_disc = label == 1
        inside = np.hypot(*apart) < radius if is_disc else np.abs(apart).max(axis=0) < radius
        pixels[inside] = (220, 60, 60) if is_disc else (60, 60, 220)
        angles = np.arange(N_CORNERS) * 2 * np.pi / N_CORNERS
        around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        corners = around if is_disc else np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        outlines.append((tuple((center + radius * corners).ravel().tolist()),))
        boxes.append([x1, y1, x1 + side, y1 + side])
        labels.append(label)
    crowd = np.zeros(len(boxes), np.bool_)
    target = Objects(np.array(boxes, np.float32), np.array(labels), crowd, tuple(outlines))
    return Sample(pixels, target, name, width, height, is_grey=False, digest=name)
