"""The tiles that an image is cut into, for objects that are too small in the whole image.

Source: Akyon et al. 2022 (Slicing Aided Hyper Inference), section 3. Tiles have one size and lie
evenly spaced, so that the last one of a row is no narrow rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from archfront.trainers.dataset_summary import LONGER_SIDE, DatasetSummary

# What ``auto`` means. Objects of which half have a longer side below this share of their image's
# are too small for any input size that is searched: 15 px of 512.
SMALL_SHARE = 0.03
# The share that such objects have in a tile, and the least and the largest side of one, in px.
TILE_SHARE, SIDE_MIN, SIDE_MAX = 0.05, 128, 640
# Side of the tiles of images without objects, and how often it goes into one that is cut.
MASK_SIDE, MASK_TIMES = 512, 2.0
STEP = 32


@dataclass(frozen=True)
class Tile:
    """A part of an image, in its pixels.

    Attributes:
        left: Its first column.
        top: Its first row.
        width: Its columns.
        height: Its rows.
        core: x1, y1, x2, y2 of the pixels of the image that this tile answers for: up to the
            middle of each overlap, so that the cores of all tiles are the image.
    """

    left: int
    top: int
    width: int
    height: int
    core: tuple[int, int, int, int]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Return x1, y1, x2, y2 in pixels of the image."""
        return self.left, self.top, self.left + self.width, self.top + self.height

    @property
    def rows(self) -> slice:
        """Return its rows of the image."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Return its columns of the image."""
        return slice(self.left, self.left + self.width)


def whole(width: int, height: int) -> Tile:
    """Return the tile that is all of an image."""
    return Tile(0, 0, width, height, (0, 0, width, height))


@dataclass(frozen=True)
class Tiling:
    """How images are cut.

    Attributes:
        size: Side of a tile in pixels of the image; a smaller image is one tile.
        overlap: Share of its side that a tile has in common with the next one, at least.
    """

    size: int
    overlap: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be cut."""
        if self.size < 1 or not 0 <= self.overlap < 1:
            raise ValueError(f"{self.size=} must be positive and 0 <= {self.overlap=} < 1")

    def tiles(self, width: int, height: int) -> tuple[Tile, ...]:
        """Return the tiles of an image, row by row."""
        return tuple(
            Tile(left, top, right - left, bottom - top, (x1, y1, x2, y2))
            for (top, bottom), (y1, y2) in self._spans(height)
            for (left, right), (x1, x2) in self._spans(width)
        )

    def count(self, width: int, height: int) -> int:
        """Return the number of tiles of an image."""
        return len(self._starts(width)) * len(self._starts(height))

    def _starts(self, length: int) -> list[int]:
        if length <= self.size:
            return [0]
        step = max(1.0, self.size * (1 - self.overlap))
        rest = length - self.size
        n_steps = math.ceil(rest / step - 1e-9)
        return [round(i * rest / n_steps) for i in range(n_steps + 1)]

    def _spans(self, length: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Return first and last pixel of each tile along a side, and those of its core."""
        starts = self._starts(length)
        ends = [min(start + self.size, length) for start in starts]
        middles = [(end + start) // 2 for end, start in zip(ends, starts[1:], strict=False)]
        cores = pairwise([0, *middles, length])
        return list(zip(zip(starts, ends, strict=True), cores, strict=True))


def automatic(summary: DatasetSummary, overlap: float) -> Tiling | None:
    """Return the tiling that fits a dataset's images and objects; None where they need none."""
    longest = float(summary.sizes[LONGER_SIDE].median)
    if summary.objects is None:
        return Tiling(MASK_SIDE, overlap) if longest >= MASK_TIMES * MASK_SIDE else None
    share = summary.objects.side_share.median
    if share >= SMALL_SHARE:
        return None
    side = STEP * math.ceil(share * longest / TILE_SHARE / STEP)
    side = min(max(side, SIDE_MIN), SIDE_MAX)
    return Tiling(side, overlap) if side < longest else None
