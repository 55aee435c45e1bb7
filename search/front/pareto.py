"""Domination, hypervolume and knee of a table of losses: lower is better in every column."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Rows that are compared all at once, which is faster than one by one.
FEW = 64


def front_mask(losses: ArrayLike) -> NDArray[np.bool_]:
    """Return which rows no other row dominates.

    A row dominates another when it is no worse in every objective and better in one. Equal
    rows do not dominate each other, so all copies of a front point are kept.

    Args:
        losses: Trial values of shape ``(n_trials, n_objectives)``.

    Returns:
        Boolean mask of shape ``(n_trials,)``.

    Raises:
        ValueError: If a value is not finite; a failed trial has no place on a front.
    """
    table = _table(losses)
    order = np.lexsort(table.T[::-1])
    ordered = table[order]
    is_first = np.ones(len(table), dtype=bool)  # of equal rows
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    is_front = np.empty(len(table), dtype=bool)
    is_front[order] = _distinct_mask(ordered[is_first])[is_first.cumsum() - 1]
    return is_front


def _distinct_mask(rows: Floats) -> NDArray[np.bool_]:
    """Return which rows no other one dominates, of rows that differ, in lexicographic order.

    In that order only an earlier row can dominate a later one.
    """
    is_front = np.ones(len(rows), dtype=bool)
    if rows.shape[1] == 2:  # by the least second loss of the rows before
        is_front[1:] = rows[1:, 1] < np.minimum.accumulate(rows[:, 1])[:-1]
    elif len(rows) <= FEW:
        is_no_worse = (rows[:, None] <= rows).all(axis=2)
        is_front &= ~np.triu(is_no_worse, k=1).any(axis=0)
    else:
        is_front[:] = False
        for index, row in enumerate(rows):
            is_front[index] = not (rows[is_front] <= row).all(axis=1).any()
    return is_front


def hypervolume(losses: ArrayLike, reference: ArrayLike) -> float:
    """Return the volume between the losses and the reference point, exactly.

    Rows that are not better than the reference in every objective add nothing. Two objectives
    are swept, more are sliced along the last one: ``O(n log n)`` and ``O(n^2 log n)`` for
    two and three.

    Args:
        losses: Trial values of shape ``(n_trials, n_objectives)``.
        reference: The worst values that still count, of shape ``(n_objectives,)``.

    Raises:
        ValueError: If a value is not finite or the shapes do not fit.
    """
    table = _table(losses)
    corner = np.asarray(reference, dtype=float)
    if corner.shape != (table.shape[1],) or not np.isfinite(corner).all():
        raise ValueError(
            f"The reference must be {table.shape[1]} finite numbers, one per objective; "
            f"got {corner.tolist()}."
        )
    inside = table[(table < corner).all(axis=1)]
    if len(inside) == 0:
        return 0.0
    return _volume(inside[front_mask(inside)], corner)


def _volume(losses: Floats, corner: Floats) -> float:
    if losses.shape[1] == 1:
        return float(corner[0] - losses.min())
    if losses.shape[1] == 2:
        return _area(losses, corner)
    rows = losses[np.argsort(losses[:, -1], kind="stable")]
    depths = np.diff(np.append(rows[:, -1], corner[-1]))
    return sum(
        float(depth) * _volume(rows[: count + 1, :-1], corner[:-1])
        for count, depth in enumerate(depths)
        if depth > 0
    )


def _area(losses: Floats, corner: Floats) -> float:
    rows = losses[np.lexsort((losses[:, 1], losses[:, 0]))]
    floor = np.minimum.accumulate(np.append(corner[1], rows[:, 1]))
    # Each row adds the strip between the lowest second loss so far and its own.
    return float(((corner[0] - rows[:, 0]) * (floor[:-1] - floor[1:])).sum())


def knee(losses: ArrayLike) -> int:
    """Return the row where giving up a little of one objective stops to gain much of another.

    With every column scaled to [0, 1] over the rows, it is the row with the largest signed
    distance ``(1 - sum(scaled)) / sqrt(n_objectives)`` to the line (plane) ``sum(scaled) = 1``,
    which for two objectives passes through the front's two extremes. Source: Das 1999, On
    characterizing the "knee" of the Pareto curve, where the distance is taken to the hull of
    the individual minima; for two objectives the two agree.

    A column without spread counts nothing. Of equal distances the row best in the first
    objective wins, then in the second, then the first row: so of two points, and on a front that
    bends the other way and has no knee, the best in the first objective is given.

    Args:
        losses: Values of the front's points, ``(n_points, n_objectives)``; a latency is expected
            as its logarithm (``Objective.losses``).

    Raises:
        ValueError: If there is no row or a value is not finite.
    """
    table = _table(losses)
    if len(table) == 0:
        raise ValueError("A front without points has no knee.")
    span = np.ptp(table, axis=0)
    scaled = (table - table.min(axis=0)) / np.where(span > 0, span, 1.0)
    # Rounded, so that equal distances are not told apart by the last bit.
    total = scaled.sum(axis=1).round(9)
    return int(np.lexsort((*table.T[::-1], total))[0])


def _table(losses: ArrayLike) -> Floats:
    table = np.asarray(losses, dtype=float)
    if table.ndim != 2 or table.shape[1] == 0:
        raise ValueError(f"Losses must be (n_trials, n_objectives); got shape {table.shape}.")
    if not np.isfinite(table).all():
        rows = np.flatnonzero(~np.isfinite(table).all(axis=1)).tolist()
        raise ValueError(
            f"Losses must be finite; rows {rows} are not. A failed trial has no place on a front."
        )
    return table
