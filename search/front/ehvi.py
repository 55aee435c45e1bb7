"""The expected hypervolume improvement of a candidate whose costs are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from archfront.search.front.pareto import front_mask
from archfront.search.front.warp import AS_IT_IS, Warp

Floats = NDArray[np.float64]

# Of more trained candidates than this the dominated ones are left out first. The gain is the same;
# the grid of observed costs grows with the square of those that are left.
ALL_KEPT = 250
# Costs whose grid is summed up at once: with each one more it grows by a factor of its edges.
AT_ONCE = 2
# Bytes of the candidates' volumes that are held at a time where there are more costs.
MOST_BYTES = 256 * 2**20


def expected_improvement(
    mean: Floats, spread: Floats, costs: Floats, found: Floats, warp: Warp = AS_IT_IS
) -> Floats:
    """Return the exact expected gain in hypervolume of candidates ``(n,)``.

    All losses are measured from the reference point, which is the origin: only what is below 0
    counts. With the costs known, the gain of a candidate in each cell of the grid of observed
    costs is the amount by which its error undercuts the least error observed at those costs or
    lower; the error is normal, or its logarithm is, so each cell has a closed form. Source: the
    sum over cells is the expected hypervolume improvement of Emmerich et al. 2011 where all
    objectives except one are certain.

    Args:
        mean: Expected error on the scale of ``warp``, ``(n,)``.
        spread: Its standard deviation there, ``(n,)``, above 0.
        costs: Losses of the costs, ``(n, n_costs)``; none for one objective.
        found: Losses of the trained candidates, ``(n_found, 1 + n_costs)``, the error first.
        warp: The scale on which the error is normal.
    """
    inside = found[(found < 0).all(axis=1)]
    if costs.shape[1] > AT_ONCE:
        return _in_slices(mean, spread, costs, inside, warp)
    if len(inside) > ALL_KEPT:
        inside = inside[front_mask(inside)]
    levels, volumes = _volumes(inside, costs)
    gains = warp.undercut(levels, mean[:, None], spread[:, None])
    result: Floats = (volumes * gains).sum(axis=1)
    return result


def _in_slices(mean: Floats, spread: Floats, costs: Floats, found: Floats, warp: Warp) -> Floats:
    """Return the gains with many costs, summed over the intervals of the one with fewest values.

    In an interval only what costs no more counts, and of that the front of what is left: with one
    objective fewer it is much smaller. Source: slicing, as in While et al. 2006 (A Faster
    Algorithm for Calculating Hypervolume).
    """
    found = found[front_mask(found)]
    values = [np.unique(column) for column in found[:, 1:].T]
    sliced = min(range(len(values)), key=lambda c: len(values[c]))
    others, result = np.delete(costs, sliced, axis=1), np.zeros(len(mean))
    edges = np.concatenate([[-np.inf], values[sliced], [0.0]])
    for low, high in pairwise(edges):
        widths = high - np.maximum(low, costs[:, sliced])
        left = np.delete(found[found[:, 1 + sliced] <= low], 1 + sliced, axis=1)
        left = left[front_mask(left)]
        rows = np.flatnonzero(widths > 0)
        size = max(1, MOST_BYTES // (8 * (len(left) + 1) ** 2))
        for part in (rows[start : start + size] for start in range(0, len(rows), size)):
            given = mean[part], spread[part], others[part]
            result[part] += widths[part] * expected_improvement(*given, left, warp)
    return result


def _volumes(found: Floats, costs: Floats) -> tuple[Floats, Floats]:
    """Return the distinct least errors ``(n_levels,)`` and a candidate's volume at each.

    The volumes, ``(n, n_levels)``, count the costs that are no better than the candidate's own.
    """
    n_costs = costs.shape[1]
    least, edges = np.zeros(()), []
    if n_costs == 0:
        least = np.minimum(0.0, found[:, 0].min(initial=0.0))
    else:
        edges = [np.unique(np.append(found[:, 1 + c], -np.inf)) for c in range(n_costs)]
        least = np.zeros([len(edge) for edge in edges])
        for row in found:
            firsts = [np.searchsorted(e, v) for e, v in zip(edges, row[1:], strict=True)]
            cells = tuple(slice(first, None) for first in firsts)
            least[cells] = np.minimum(least[cells], row[0])
    levels, cell_levels = np.unique(least, return_inverse=True)
    widths = [
        np.maximum(np.append(edge[1:], 0.0) - np.maximum(edge, costs[:, c, None]), 0.0)
        for c, edge in enumerate(edges)
    ]
    shares = np.eye(len(levels))[cell_levels.reshape(least.shape)]
    if not widths:
        return levels, np.broadcast_to(shares, (len(costs), len(levels)))
    volumes = np.tensordot(widths[0], shares, axes=1)
    for width in widths[1:]:  # one axis of cells after the other is summed up
        volumes = np.einsum("ne,ne...->n...", width, volumes)
    return levels, volumes
