"""The scale of losses on which they look most normal, as a Gaussian process assumes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

Floats = NDArray[np.float64]

# Losses that differ less count as equal.
FLAT = 1e-3
# Distances of the logarithm's zero from the best loss, over the median loss's distance.
# Zeros further out were worse: benchmarks/LOG.md, "Unlike candidates in the start".
SHIFTS = (1.0, 4.0)
# Log likelihood by which a logarithm has to be better: few losses look like any distribution.
ADVANTAGE = 2.0


@dataclass(frozen=True)
class Warp:
    """A scale of losses: as they are, or the logarithm of their distance from a point.

    Where few candidates are much worse than all others, as networks that hardly learn are,
    those few decide what a process learns of the others' differences. On a logarithm they
    count less. Source: the shifted logarithm is one of the transformations of Box and Cox 1964
    (An Analysis of Transformations), its shift at the profile likelihood's maximum of a few.

    Attributes:
        zero: Where the logarithm ends, below all losses; None for losses as they are.
    """

    zero: float | None

    @classmethod
    def of(cls, losses: Floats) -> Warp:
        """Return the scale on which losses ``(n,)`` look most like draws of one normal."""
        least = float(losses.min())
        if float(losses.max()) - least < FLAT:
            return cls(None)
        unit = max(float(np.median(losses)) - least, FLAT)
        scales = [cls(None), *(cls(least - shift * unit) for shift in SHIFTS)]
        return max(scales, key=lambda scale: scale._likelihood(losses))

    def __call__(self, losses: Floats) -> Floats:
        """Return losses on this scale."""
        return losses if self.zero is None else np.log(losses - self.zero)

    def back(self, warped: Floats) -> Floats:
        """Return the losses of values on this scale."""
        return warped if self.zero is None else self.zero + np.exp(warped)

    def undercut(self, levels: Floats, mean: Floats, spread: Floats) -> Floats:
        """Return the expected amounts by which losses are below levels, at least 0.

        Args:
            levels: Losses, broadcast against the others.
            mean: Means of the losses on this scale.
            spread: Their standard deviations on this scale, above 0.

        Source: Jones et al. 1998 (Efficient Global Optimization), equation 15; on a logarithm
        it is the price of a put in Black and Scholes 1973, without interest.
        """
        if self.zero is None:
            z = (levels - mean) / spread
            normal: Floats = spread * (z * ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
            return normal
        room = np.maximum(levels - self.zero, 1e-12)
        z = (np.log(room) - mean) / spread
        # One exponent, no more than the room's: apart, both overflow where the spread is large.
        below = room * ndtr(z) - np.exp(mean + spread**2 / 2 + log_ndtr(z - spread))
        priced: Floats = np.maximum(below, 0.0)
        return priced

    def _likelihood(self, losses: Floats) -> float:
        warped = self(losses)
        normal = -len(losses) / 2 * np.log(max(float(warped.var()), FLAT**2))
        return float(normal) if self.zero is None else float(normal - warped.sum()) - ADVANTAGE


AS_IT_IS = Warp(None)
