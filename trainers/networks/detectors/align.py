"""Rows of an export in the order of eager's rows, where a rounding error can swap them.

A second stage looks at the best proposals of the first, best first, and detections are chosen the
same way. Two of nearly equal score change places by a rounding error, and every row between them
with it; of two that overlap, the other one is kept. So rows are compared with those that they
stand for, which their values tell, and few may stand for none. That an export is wrong still
shows: then most rows differ, and none is excused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

# Differences are in units of the spread of each value. Beyond this, rows have nothing to do with
# each other; parity allows as much to the networks that magnify rounding the most.
APART = 0.1
# The share of rows, over all images, that may stand for none: those that differ by more than this,
# and by so many times what the others stay below.
MAX_STRAY, NEAR, BEYOND = 0.05, 1e-3, 10.0
# Of a value that is the same in all rows, as the label of a single class.
SMALLEST_SPREAD = 1e-6

Array = NDArray[Any]


def aligned(expected: Sequence[Array], found: Sequence[Array]) -> list[Array]:
    """Return the found outputs, their rows in the order of the expected ones.

    Rows that stand for none become the expected ones where they are at most ``MAX_STRAY`` of all;
    where they are more, all stay as they are, and differ.

    Args:
        expected: Outputs of a detector: ``boxes``, ``scores``, ``detections`` and, with masks,
            ``masks``.
        found: Outputs of the same shapes.

    Returns:
        The outputs by their places. Dense boxes ``(N, A, 4)`` and their scores are as they were
        found: each has a place of its own. Proposals ``(N, P, C, 4)`` with their scores move
        together, and so do detections with their masks.
    """
    boxes, scores, *chosen = found
    if boxes.ndim == 4:
        boxes, scores = _moved(expected[:2], [boxes, scores])
    return [boxes, scores, *_moved(expected[2:], chosen)]


def _moved(expected: Sequence[Array], found: Sequence[Array]) -> list[Array]:
    """Return outputs ``(N, P, ...)`` whose rows are moved by the first of them."""
    keys, others = (outputs[0].reshape(*outputs[0].shape[:2], -1) for outputs in (expected, found))
    # Each value has its own: pixels, a score and a label are no common scale.
    spread = keys.std(axis=(0, 1)).clip(min=SMALLEST_SPREAD)
    if not (np.isfinite(keys).all() and np.isfinite(others).all()):
        return list(found)
    pairs = [_matched(key, other, spread) for key, other in zip(keys, others, strict=True)]
    differences = np.stack([difference for _, difference in pairs])
    # Where more rows than that are far off, so is this limit, and none is excused.
    usual = float(np.quantile(differences, 1 - MAX_STRAY))
    is_excused = differences > max(NEAR, BEYOND * usual)
    moved = []
    for wanted, output in zip(expected, found, strict=True):
        rows = np.stack([one[order] for one, (order, _) in zip(output, pairs, strict=True)])
        rows[is_excused] = wanted[is_excused]
        moved.append(rows)
    return moved


def _matched(expected: Array, found: Array, spread: Array) -> tuple[Array, Array]:
    """Return for each expected row ``(P, K)`` the place of the found one, and how they differ."""
    differences = (np.abs(expected[:, None] - found[None]) / spread).max(axis=2)
    # What is apart is, however far: as many partners as there can be.
    _, order = linear_sum_assignment(np.minimum(differences, APART))
    return order, differences[np.arange(len(order)), order]
