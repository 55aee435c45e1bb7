"""What the lines of ``plain_transfer.py`` say: its front, and metric and hypervolume over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def front_of(rows: Sequence[Row], metric: str) -> list[Row]:
    """Return the rows that no other row dominates; of equal ones the first."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["latency_ms"], -row[metric])):
        if not front or row[metric] > front[-1][metric]:
            front.append(row)
    return front


def metric_over_time(rows: Sequence[Row], metric: str) -> list[tuple[float, float]]:
    """Return each moment at which the best metric became better, with that metric."""
    found: list[tuple[float, float]] = []
    for row in _validated(rows):
        if not found or row[metric] > found[-1][1]:
            found.append((row["seconds"], row[metric]))
    return found


def hypervolume_over_time(
    rows: Sequence[Row], metric: str, *, worst: float, slowest_ms: float
) -> list[tuple[float, float]]:
    """Return the hypervolume after each model: metric above the worst times halvings of latency.

    Args:
        rows: Lines of one run, in their order.
        metric: One of theirs.
        worst: The metric of the reference point, such as chance.
        slowest_ms: Its latency; what is slower, or not above the worst, adds nothing.
    """
    found: list[tuple[float, float]] = []
    seen: list[Row] = []
    for row in _validated(rows):
        if row[metric] > worst and row["latency_ms"] < slowest_ms:
            seen.append(row)
        volume, below_ms = 0.0, slowest_ms
        for member in reversed(front_of(seen, metric)):
            volume += (member[metric] - worst) * math.log2(below_ms / member["latency_ms"])
            below_ms = member["latency_ms"]
        found.append((row["seconds"], volume))
    return found


def _validated(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["stage"] != "test"]
