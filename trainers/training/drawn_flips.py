"""Flips of the images of a batch, drawn from those that leave a dataset as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.spec import Flips


@dataclass(frozen=True)
class DrawnFlips:
    """How each image is flipped: mirrored, then turned.

    Attributes:
        mirror: -1 where left and right are exchanged, else 1, ``(N,)``.
        quarters: Quarters by which it is turned, counterclockwise, ``(N,)``.
    """

    mirror: NDArray[np.float64]
    quarters: NDArray[np.int64]

    def kinds(self) -> list[tuple[float, int]]:
        """Return each pair of both that was drawn, without the one that changes nothing."""
        pairs = set(zip(self.mirror.tolist(), self.quarters.tolist(), strict=True))
        return sorted(pairs - {(1.0, 0)})


def drawn_flips(n: int, flips: Flips, rng: np.random.Generator) -> DrawnFlips:
    """Return flips of n images; each one that is allowed is as likely as the others.

    Args:
        n: Images.
        flips: Which are drawn: not ``usual``.
        rng: Source of every draw.
    """
    mirror, quarters = np.ones(n), np.zeros(n, np.int64)
    if flips != "none":
        mirror = rng.choice([-1.0, 1.0], n)
    if flips == "vertical":  # mirrored and turned by a half
        quarters = np.where(mirror < 0, 2, 0)
    elif flips == "both":
        quarters = 2 * rng.integers(0, 2, n)
    elif flips == "all":
        quarters = rng.integers(0, 4, n)
    return DrawnFlips(mirror, quarters)
