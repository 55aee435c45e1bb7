"""Which trials are promoted to the next rung: decided by the records and the remaining budget.

A study's candidates compete at rungs, epochs at which each is judged; the top one is a full
training. Whenever a worker is free, either a trial that waits at its rung is trained to the next
one, or a new candidate is proposed: no worker waits for a rung to fill. So far this is
asynchronous successive halving for several objectives (Schmucker, Donini, Zafar, Salinas and
Archambeau 2021, Multi-objective Asynchronous Successive Halving). There, trials of a rung are
ranked by domination and a fixed share of them goes on. Here a trial goes on for what it is
expected to add to the front:

- Its costs do not change with training, so only its metric at the top is uncertain. It is
  extrapolated from its highest rung by a line that is fitted to the trials that reached the top,
  drawn towards what is usual while there are few (``expected_tops``).
- From it follows the expected growth of the front's hypervolume, which is exact since the costs
  are certain (``expected_improvement``), and is divided by the price of the way to the top.
- A new candidate is worth its price while it can be expected to be better than the last of the
  trials that the remaining budget would bring to the top, by more than the share of such a trial
  that is paid for it. Source: the rule by which Weitzman 1979 (Optimal Search for the Best
  Alternative) opens one more box, with the trials so far as the distribution of what is inside.
- None goes on after which fewer than three full trainings fit, where cheaper ones leave time for
  them; not where a first full training is planned to have most of the time.
- Lowest rungs never take more than the full trainings do, the next one included: a study that is
  stopped early has a front, and where lowest rungs are expensive, like those after slow
  measurements, few are worth it.

Where networks of every rung may join the front, the first few candidates are seen before any is
trained further, more of them where several full trainings fit beside them, and what is left in the
end goes to lower rungs. Where minutes are the budget and the lowest rung is a short training, one
is trained in full before any other goes on, since until one has ended there is nothing to learn
from how lower rungs tell the top. For labels it is the best of those that are seen first, where
several of them tie the best of these at the next rung; while others are seen, the time of the best
so far is kept. How detectors and decoders begin says too little of how they end, and the dearest
of the first two is taken (benchmarks/LOG.md, "Dense studies of eight minutes", "Studies from
scratch of six minutes").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from archfront.search.front.extrapolation import UNEXPLAINED, Floats, RungTrial
from archfront.search.study.expected_gains import gains, gains_when_fresh, on_their_way
from archfront.search.study.training_times import LONGER

# The expected gain of a new candidate is divided by this. Gains do not add up,
# since each that joins the front takes from the others, and the best of many expected gains is
# partly the best of their errors. On replay tables 8 was better than 2, 4 and 16
# (benchmarks/LOG.md, "Rungs on replay tables").
CAUTION = 8.0
# Candidates that are seen first, where one costs at most this share of the budget that is left;
# candidates that are seen where as many full trainings of the cheapest fit beside them.
SEEN_FIRST, FIRST_PRICE = 4, 0.25
SEEN_LEAST, FULL_LEAST = 8, 3
# Candidates of which the most expensive is the first to be trained in full.
SEEN_BEFORE_FULL = 2
# Candidates that tie at a rung and go to the next one together, before the best of them goes on.
TIED = 3
# Paused trials that are kept on disk: this many, or this multiple of what can still be afforded.
KEPT, KEPT_TIMES = 16, 2


@dataclass(frozen=True)
class Promote:
    """The step of training a trial to its next rung."""

    trial: int


@dataclass(frozen=True)
class Propose:
    """The step of proposing a new candidate."""


Step = Promote | Propose
FirstFull = Literal["best", "dearest"]


class Remaining(Protocol):
    """The part of the budget that is left."""

    def share(self, trial: int | None, done: int, rungs: int, *, of_one: bool = False) -> float:
        """Return the price of training a trial from rung to rung, as a share of what is left.

        Of what is left for one worker where so asked. None is a trial still to be proposed.
        """

    def fits(self, trial: int | None, done: int, rungs: int) -> bool:
        """Return whether such a training can be afforded."""


def next_step(
    seen: Sequence[RungTrial],
    n_rungs: int,
    left: Remaining,
    *,
    may_propose: bool,
    is_full_only: bool = True,
    first_full: FirstFull | None = None,
) -> Step | None:
    """Return what a free worker does next; None when nothing can be afforded.

    Where only full trainings join the front, nothing is begun whose whole way to the top cannot
    be afforded, so that what is begun last can still reach the front. Else the budget is used to
    its end: what cannot reach the top goes to the next rung, and a new candidate to its lowest.

    Args:
        seen: The trials that ``SeenRungs.trials`` returns.
        n_rungs: Of the study.
        left: The part of the budget that is left.
        may_propose: Whether there is anything left to propose.
        is_full_only: Whether only full trainings join the front.
        first_full: Which candidate is trained in full before others go on.
    """
    can_propose = may_propose and left.fits(None, 0, n_rungs if is_full_only else 1)
    if first_full is not None and not on_their_way(seen, n_rungs):
        first = _first_full(seen, n_rungs, left, first_full, can_propose=can_propose)
        if first is not None:
            return first
    waiting = [c for c in seen if c.is_waiting and left.fits(c.trial, len(c.losses), n_rungs)]
    if not waiting:
        if is_full_only:
            return Propose() if can_propose else None
        return _last_step(seen, n_rungs, left, can_propose=can_propose)
    shares = np.array([left.share(c.trial, len(c.losses), n_rungs) for c in waiting])
    gain = gains(seen, waiting, n_rungs, is_full_only=is_full_only)
    if can_propose:
        if not is_full_only and _is_early(seen, float(shares.min()), n_rungs, left):
            return Propose()
        if _is_worth_a_new_one(seen, gain, shares, n_rungs, left, is_full_only=is_full_only):
            return Propose()
    n_after = FULL_LEAST - 1 - len(on_their_way(seen, n_rungs)) if first_full is None else 0
    chosen = _worth_most(gain, shares, n_after=n_after, is_full_only=is_full_only)
    return Promote(waiting[chosen].trial)


def _worth_most(gain: Floats, shares: Floats, *, n_after: int, is_full_only: bool) -> int:
    """Return the place of the paused trial that is trained further.

    Args:
        gain: Expected growth of the front's hypervolume by each.
        shares: Price of each, as a share of what is left.
        n_after: Further full trainings that are to fit beside it, if the cheapest do.
        is_full_only: Whether only full trainings join the front.
    """
    if 0 < n_after < len(shares):
        cheapest = np.sort(shares)[: n_after + 1]
        leaves_enough = np.maximum(shares, cheapest[-1]) + cheapest[:-1].sum() <= 1
        gain = np.where(leaves_enough, gain, -1.0) if leaves_enough.any() else gain
    chosen, largest = int(np.argmax(gain / shares)), int(np.argmax(gain))
    if not is_full_only and shares[chosen] + shares[largest] > 1:
        return largest  # else it would not fit any more
    return chosen


def _first_full(
    seen: Sequence[RungTrial],
    n_rungs: int,
    left: Remaining,
    which: FirstFull,
    *,
    can_propose: bool,
) -> Step | None:
    """Return the step towards the first full training; None where the usual one does.

    The best is trained although it may end a little late: what fits in its place is worse.
    """
    waiting = [c for c in seen if c.is_waiting]
    if which == "dearest":
        waiting = [c for c in waiting if left.fits(c.trial, len(c.losses), n_rungs)]
    priced = [(c, left.share(c.trial, len(c.losses), n_rungs, of_one=True)) for c in waiting]
    if which == "best":
        priced = [(c, share) for c, share in priced if share <= LONGER]
    if not priced:
        return None
    begun = max(len(c.losses) for c, _ in priced)
    furthest = [(c, share) for c, share in priced if len(c.losses) == begun]
    if which == "best":
        best, share = min(furthest, key=lambda pair: pair[0].losses[-1])
        kept = share * LONGER
        if begun == 1 and can_propose and _is_early(seen, kept, n_rungs, left, is_first=True):
            return Propose()
        tied = _tied(seen, priced, begun, left)
        return Promote(best.trial if tied is None else tied)
    if len(seen) < SEEN_BEFORE_FULL:
        return None
    return Promote(max(furthest, key=lambda pair: pair[1])[0].trial)


def _tied(
    seen: Sequence[RungTrial],
    priced: Sequence[tuple[RungTrial, float]],
    begun: int,
    left: Remaining,
) -> int | None:
    """Return the number of a trial that follows those that are furthest to their rung, or None.

    Its loss at the rung below is not further from the best one there than the top is uncertain,
    and a full training of any of them still fits.

    Args:
        seen: All trials.
        priced: Those that are paused and can be trained in full, with the price of that.
        begun: Finished rungs of those that are furthest.
        left: The part of the budget that is left.
    """
    behind = [(c, share) for c, share in priced if len(c.losses) == begun - 1]
    ahead = [share for c, share in priced if len(c.losses) == begun]
    if not behind or len(ahead) >= TIED:
        return None
    below = [c.losses[begun - 2] for c in seen if len(c.losses) >= begun - 1]
    best, share = min(behind, key=lambda pair: pair[0].losses[-1])
    price = left.share(best.trial, begun - 1, begun, of_one=True)
    is_tie = best.losses[-1] - min(below) <= UNEXPLAINED * float(np.std(below))
    is_affordable = price + max(*ahead, share) * LONGER <= 1
    return best.trial if is_tie and is_affordable else None


def _is_early(
    seen: Sequence[RungTrial],
    full: float,
    n_rungs: int,
    left: Remaining,
    *,
    is_first: bool = False,
) -> bool:
    """Return whether few were seen, and another one costs little.

    The first few come where they are cheap and leave what a first full training needs, the others
    where this number of full trainings fits beside them.

    Args:
        seen: All trials.
        full: The share of what is left that is kept for a full training.
        n_rungs: Of the study.
        left: The part of the budget that is left.
        is_first: Whether the first one alone has to fit, and on the worker that is free.
    """
    price, n_tops = left.share(None, 0, 1, of_one=is_first), len(on_their_way(seen, n_rungs))
    if len(seen) < SEEN_FIRST:
        reserved = 0.0 if n_tops else full
        return price <= FIRST_PRICE and price + reserved <= 1
    reserved = (1 if is_first else max(1, FULL_LEAST - n_tops)) * full
    return len(seen) < SEEN_LEAST and price + reserved <= 1


def _last_step(
    seen: Sequence[RungTrial], n_rungs: int, left: Remaining, *, can_propose: bool
) -> Step | None:
    """Return the step of a budget that no way to the top fits into."""
    waiting = [
        c for c in seen if c.is_waiting and left.fits(c.trial, len(c.losses), len(c.losses) + 1)
    ]
    if waiting and not (can_propose and len(seen) < SEEN_LEAST):
        gain = gains(seen, waiting, n_rungs, is_full_only=False)
        return Promote(waiting[int(np.argmax(gain))].trial)
    return Propose() if can_propose else None


def _is_worth_a_new_one(
    seen: Sequence[RungTrial],
    gain: Floats,
    shares: Floats,
    n_rungs: int,
    left: Remaining,
    *,
    is_full_only: bool,
) -> bool:
    """Return whether a new candidate is worth more than its price takes from the paused trials."""
    price, usual = left.share(None, 0, 1), float(np.median(shares))
    # Lowest rungs take no more than full trainings, so that the front grows all the time.
    n_tops = len(on_their_way(seen, n_rungs))
    if n_tops < int(len(seen) * price / usual + 1e-9):
        return False
    affordable = 1 / usual
    n = int(affordable + 1e-9)
    is_free = int(affordable - price / usual + 1e-9) == n
    if n < 2 and not is_free:
        return False
    if len(gain) < n:
        return True
    least = float(np.sort(gain)[::-1][n - 1])
    fresh = gains_when_fresh(seen, n_rungs, is_full_only=is_full_only)
    excess = float(np.maximum(fresh - least, 0.0).mean())
    return excess > 0 if is_free else excess / price > CAUTION * least / usual


def to_stop(seen: Sequence[RungTrial], n_rungs: int, left: Remaining) -> list[int]:
    """Return the paused trials to stop for good, since better ones will use the budget.

    The states from which they would be resumed take room on the disk.
    """
    waiting = [c for c in seen if c.is_waiting]
    if len(waiting) <= KEPT:
        return []
    shares = np.array([left.share(c.trial, len(c.losses), n_rungs) for c in waiting])
    kept = max(KEPT, KEPT_TIMES * int(1 / float(np.median(shares))))
    worst_first = np.argsort(gains(seen, waiting, n_rungs) / shares, kind="stable")
    return [waiting[i].trial for i in worst_first[: max(0, len(waiting) - kept)]]
