"""The predictions that an image takes which is cut into tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageTiles:
    """The predictions that an image takes which is cut into tiles.

    Attributes:
        n: Tiles of an image, of the middle one of a dataset by their number.
        merge_ms: Milliseconds in which their answers are put together.
    """

    n: int
    merge_ms: float

    def runs(self, batch_size: int) -> int:
        """Return the runs of a network that predicts so many tiles at a time."""
        return math.ceil(self.n / batch_size)
