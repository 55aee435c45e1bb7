"""Learning-rate schedules."""

from __future__ import annotations

import math

from archfront.trainers.spec import Schedule

# torch's OneCycleLR has the same values by default.
RISE_SHARE = 0.3
START_DIVISOR = 25.0
END_DIVISOR = 1e4
WARMUP_SHARE = 0.05
# From a solved head: benchmarks/LOG.md, "Frozen features, solved heads and fine-tuning".
PROBE_WARMUP_SHARE = 0.1


def lr_factor(schedule: Schedule, step: int, total: int, *, warmup: float = WARMUP_SHARE) -> float:
    """Return the share of the peak learning rate at a step, counted from 0.

    A pure function of its place, so that a schedule can be taken up anywhere.
    ``one_cycle`` rises over the first 30% and falls to nearly nothing, both along a cosine
    (Smith 2018, super-convergence, without its momentum cycle). ``cosine`` rises in a straight
    line over the share ``warmup`` and falls to nothing.
    """
    last = max(1, total - 1)
    if schedule == "one_cycle":
        peak = max(1.0, RISE_SHARE * total - 1)
        if step <= peak:
            return _between(1 / START_DIVISOR, 1.0, min(1.0, step / peak))
        low = 1 / (START_DIVISOR * END_DIVISOR)
        return _between(1.0, low, (step - peak) / max(1.0, last - peak))
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / (rise + 1)
    return _between(1.0, 0.0, (step - rise) / max(1, total - rise))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
