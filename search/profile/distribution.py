"""Numbers in summary, counted as they come, in memory that does not grow with them."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Distribution:
    """Numbers in summary: exact count, mean and ends, quantiles within 1 %, and a histogram.

    Attributes:
        n: How many numbers; all else is 0 when there are none.
        mean: Their mean.
        min: The smallest.
        p1: The quantile at 1 %.
        p10: The quantile at 10 %.
        p25: The lower quartile.
        p50: The median.
        p75: The upper quartile.
        p90: The quantile at 90 %.
        p99: The quantile at 99 %.
        max: The largest.
        edges: Ends of the bins of the histogram, ascending; one more than there are bins.
        counts: Numbers in each bin.
    """

    n: int = 0
    mean: float = 0.0
    min: float = 0.0
    p1: float = 0.0
    p10: float = 0.0
    p25: float = 0.0
    p50: float = 0.0
    p75: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()

    def share_below(self, value: float) -> float:
        """Return the share of the numbers below a value.

        It is interpolated between the ends of the bins and the quantiles, so that a number that is
        there many times is not spread over its bin.
        """
        if not self.n or value <= self.min:
            return 0.0
        if value > self.max:
            return 1.0
        # Of one number the first share is of those below it, the last of those up to it.
        totals = (total / self.n for total in accumulate(self.counts, initial=0))
        known = [(self.min, 0.0), (self.max, 1.0), *zip(self.edges, totals, strict=False)]
        known += [(getattr(self, name), share) for name, share in QUANTILES.items()]
        known.sort()
        after = bisect_left(known, (value, 0.0))
        (low, below), (high, up_to) = known[after - 1], known[after]
        return below + (up_to - below) * (value - low) / (high - low)


# From so many different numbers on, they are counted in bins.
EXACT = 2048
# Half the width of a bin, relative to its numbers. Source: Masson et al. 2019 (DDSketch).
ACCURACY = 0.005
BINS = 24
# Numbers that span more than this are shown on a logarithmic scale.
LOGARITHMIC = 20
# The names and the shares of the quantiles.
QUANTILES = {
    "p1": 0.01,
    "p10": 0.1,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p90": 0.9,
    "p99": 0.99,
}


class Numbers:
    """Counts numbers of at least 0: exactly while few differ, then in bins of 1 %."""

    def __init__(self) -> None:
        self._counts: dict[float, int] = {}
        self._n, self._sum = 0, 0.0
        self._ends = (math.inf, -math.inf)
        self._is_exact = True

    def add(self, *numbers: float) -> None:
        """Count numbers.

        Raises:
            ValueError: If one is negative or not finite.
        """
        for number in numbers:
            if not 0 <= number < math.inf:
                raise ValueError(f"{number=} has no place among lengths and shares")
            key = number if self._is_exact else _bin(number)
            self._counts[key] = self._counts.get(key, 0) + 1
            self._n, self._sum = self._n + 1, self._sum + number
            self._ends = min(self._ends[0], number), max(self._ends[1], number)
        if self._is_exact and len(self._counts) > EXACT:
            self._is_exact = False
            counts, self._counts = self._counts, {}
            for number, count in counts.items():
                key = _bin(number)
                self._counts[key] = self._counts.get(key, 0) + count

    def distribution(self) -> Distribution:
        """Return the numbers in summary; a quantile is one of the numbers, or its bin."""
        if not self._n:
            return Distribution()
        low, high = map(float, self._ends)
        keys = np.array(sorted(self._counts))
        counts = np.array([self._counts[key] for key in keys.tolist()])
        below = np.cumsum(counts)
        places = {
            name: int(np.searchsorted(below, math.ceil(share * self._n)))
            for name, share in QUANTILES.items()
        }
        edges = _edges(low, high, keys)
        bins, _ = np.histogram(keys.clip(low, high), bins=edges, weights=counts)
        return Distribution(
            n=self._n,
            mean=self._sum / self._n,
            min=low,
            **{name: float(min(max(keys[place], low), high)) for name, place in places.items()},
            max=high,
            edges=tuple(edges.tolist()),
            counts=tuple(round(count) for count in bins.tolist()),
        )


def _bin(number: float) -> float:
    """Return the number that stands for all within 0.5 % around it."""
    width = 2 * ACCURACY
    return math.exp(round(math.log(number) / width) * width) if number > 0 else 0.0


def _edges(low: float, high: float, keys: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of a histogram's bins: around whole numbers where these are few."""
    if bool(np.all(keys == np.rint(keys))) and high - low < BINS:
        return np.arange(round(low), round(high) + 2, dtype=np.float64) - 0.5
    if low > 0 and high / low > LOGARITHMIC:
        edges: NDArray[np.float64] = np.geomspace(low, high, BINS + 1)
    else:
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    edges[0], edges[-1] = low, max(high, edges[-1])
    return edges
