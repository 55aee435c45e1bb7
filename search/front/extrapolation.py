"""The loss of a trial at the top rung, extrapolated from a rung below.

The losses at a rung and at the top lie near a line, over the trials that have both. The line is
drawn towards a slope of 1 and a usual growth while there are few of these trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Prior standard deviation of the slope around 1, and of the residuals, in standard deviations of
# the losses at the lower rung; the latter counts as much as this many pairs of losses
# (benchmarks/LOG.md, "Rungs on replay tables").
SLOPE_SPREAD, UNEXPLAINED, PRIOR_PAIRS = 0.5, 0.5, 3.0
# Prior standard deviation of the growth of a loss from a rung to the top, in the same unit (the
# same entry).
GROWTH_SPREAD = 3.0
# Residuals of more standard deviations have less weight. Source: Huber 1964, with 95 % efficiency.
HUBER = 1.345
# Standard deviations below this count as zero.
FLAT = 1e-3


@dataclass(frozen=True)
class RungTrial:
    """A trial with its losses so far.

    Attributes:
        trial: Number of the trial.
        losses: Losses of the metric after each finished rung, from the reference point.
        costs: Losses of its costs, from the reference point.
        is_waiting: Whether the trial is paused and may be promoted now.
        is_running: Whether the trial is being trained to its next rung.
    """

    trial: int
    losses: tuple[float, ...]
    costs: tuple[float, ...]
    is_waiting: bool = False
    is_running: bool = False


def expected_tops(seen: Sequence[RungTrial], n_rungs: int, rung: int) -> tuple[Floats, Floats]:
    """Return mean and spread of the trials' losses at the top, extrapolated from one rung.

    A line from the losses at the rung to those at the top, over all trials that have both. Its
    slope is drawn towards 1; residuals far out count less; their spread, of all trials together,
    is drawn towards a usual one. Source: Bishop 2006 (Pattern Recognition and Machine Learning),
    equations 3.49 to 3.51 and 3.59, with weights as Huber 1964 (Robust Estimation of a Location
    Parameter).

    Args:
        seen: All trials that finished the rung.
        n_rungs: Number of the study's rungs.
        rung: The rung to extrapolate from, 0 the lowest.

    Returns:
        Means and standard deviations, each of shape ``(len(seen),)``.
    """
    low = np.array([trial.losses[rung] for trial in seen])
    has_top = np.array([len(trial.losses) == n_rungs for trial in seen])
    top = np.array([c.losses[-1] for c, has in zip(seen, has_top, strict=True) if has])
    scale = max(float(low.std()), FLAT)
    middle = float(low[has_top].mean()) if has_top.any() else float(low.mean())
    design = np.column_stack([np.ones(len(low)), (low - middle) / scale])
    pairs, growth = design[has_top], (top - low[has_top]) / scale
    # The line is of the growth over the lower loss, so that a slope of 1 is 0 here.
    precision = np.diag([GROWTH_SPREAD**-2, SLOPE_SPREAD**-2])
    noise, weights = UNEXPLAINED**2, np.ones(len(pairs))
    for _ in range(3 if len(pairs) else 1):
        inverse = np.linalg.inv(precision + (pairs.T * weights) @ pairs / noise)
        line = inverse @ (pairs.T @ (weights * growth)) / noise
        residuals = growth - pairs @ line
        weights = np.minimum(1.0, HUBER * noise**0.5 / np.maximum(np.abs(residuals), FLAT))
        whole = PRIOR_PAIRS * UNEXPLAINED**2 + float((weights * residuals**2).sum())
        noise = whole / (PRIOR_PAIRS + len(pairs))
    # The uncertainty of the line is common to all trials, except for that of its slope.
    own = inverse[1, 1] * design[:, 1] ** 2 if len(pairs) else np.zeros(len(low))
    mean: Floats = low + scale * (design @ line)
    spread: Floats = scale * np.sqrt(noise + own)
    return mean, spread


def expected_losses(seen: Sequence[RungTrial], n_rungs: int) -> tuple[Floats, Floats]:
    """Return mean and spread of every trial's loss at the top, from its highest rung.

    A trial that was trained in full has its own loss, and hardly any spread.
    """
    mean, spread = np.empty(len(seen)), np.full(len(seen), FLAT)
    for rung in range(n_rungs):
        rows = [i for i, trial in enumerate(seen) if len(trial.losses) > rung]
        if not rows:
            break
        if rung == n_rungs - 1:
            mean[rows], spread[rows] = [seen[i].losses[-1] for i in rows], FLAT
        else:
            mean[rows], spread[rows] = expected_tops([seen[i] for i in rows], n_rungs, rung)
    return mean, spread
