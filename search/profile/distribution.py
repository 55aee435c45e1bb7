"""Numbers in summary, counted as they come, in memory that does not grow with them."""

from __future__ import annotations

from dataclasses import dataclass


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
        """Return the share of the numbers below a value, interpolated within its bin."""
        below = 0.0
        for low, high, count in zip(self.edges, self.edges[1:], self.counts, strict=False):
            inside = 1.0 if high <= value else (value - low) / (high - low) if value > low else 0
            below += count * inside
        return below / self.n if self.n else 0.0
