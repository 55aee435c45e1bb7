"""What trials that are trained in full are expected to add to the front's hypervolume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archfront.search.front.ehvi import ALL_KEPT, expected_improvement
from archfront.search.front.extrapolation import (
    Floats,
    RungTrial,
    expected_losses,
    expected_tops,
)
from archfront.search.front.pareto import front_mask


def on_their_way(seen: Sequence[RungTrial], n_rungs: int) -> list[int]:
    """Return the places of the trials that were trained in full or are being trained further."""
    return [i for i, c in enumerate(seen) if len(c.losses) == n_rungs or c.is_running]


def gains(
    seen: Sequence[RungTrial],
    waiting: Sequence[RungTrial],
    n_rungs: int,
    *,
    is_full_only: bool = True,
) -> Floats:
    """Return the expected growth of the front's hypervolume by trials that are trained in full.

    Trials in training count with the losses that are expected of them.
    """
    mean, spread = expected_losses(seen, n_rungs)
    found = [(mean[i], *seen[i].costs) for i in on_their_way(seen, n_rungs)]
    if not is_full_only:
        found += [(each.losses[-1], *each.costs) for each in seen]
    at = {each.trial: i for i, each in enumerate(seen)}
    rows = [at[each.trial] for each in waiting]
    return _improvements(seen, rows, mean, spread, found)


def gains_when_fresh(seen: Sequence[RungTrial], n_rungs: int, *, is_full_only: bool) -> Floats:
    """Return every trial's expected gain as if only its lowest rung were finished."""
    mean, spread = expected_tops(seen, n_rungs, 0)
    tops = [i for i, c in enumerate(seen) if len(c.losses) == n_rungs or not is_full_only]
    losses = {i: (seen[i].losses[-1], *seen[i].costs) for i in tops}
    gain = _improvements(seen, range(len(seen)), mean, spread, list(losses.values()))
    # A trial does not compete with itself; leaving out dominated ones changes nothing.
    on_front = front_mask(list(losses.values())) if tops else ()
    members = [top for top, is_on_it in zip(tops, on_front, strict=True) if is_on_it]
    if len(losses) > ALL_KEPT:
        on_it = set(members)
        # What a member leaves room for is on the front of the others.
        behind = {i: values for i, values in losses.items() if i not in on_it}
        is_next = front_mask(list(behind.values())) if behind else ()
        kept = {i for i, is_kept in zip(behind, is_next, strict=True) if is_kept}.union(members)
        losses = {i: values for i, values in losses.items() if i in kept}
    for row in members:
        others = [values for i, values in losses.items() if i != row]
        gain[row] = _improvements(seen, [row], mean, spread, others)[0]
    return gain


def _improvements(
    seen: Sequence[RungTrial],
    rows: Sequence[int],
    mean: Floats,
    spread: Floats,
    found: Sequence[tuple[float, ...]],
) -> Floats:
    n_costs = len(seen[0].costs)
    costs = np.array([seen[i].costs for i in rows]).reshape(len(rows), n_costs)
    table = np.array(found).reshape(len(found), 1 + n_costs)
    chosen = list(rows)
    return expected_improvement(mean[chosen], spread[chosen], costs, table)
