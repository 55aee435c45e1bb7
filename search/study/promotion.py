"""Which trials are trained further: decided from what was found and what is left, by nothing else.

A study's candidates compete at rungs, epochs at which each is judged; the top one is a full
training. Whenever a worker is free, either a trial that waits at its rung is trained to the next
one, or a new candidate is proposed: no worker waits for a rung to fill. So far this is
asynchronous successive halving for several objectives (Schmucker, Donini, Zafar, Salinas and
Archambeau 2021, Multi-objective Asynchronous Successive Halving). There, trials of a rung are
ranked by domination and a fixed share of them goes on. Here a trial goes on for what it is
expected to add to the front:

- Its costs do not change with training, so only its metric at the top is uncertain. It is told
  from its highest rung by a line that is fitted to the trials that reached the top, drawn towards
  what is usual while there are few (``expected_tops``).
- With it comes the expected growth of the front's hypervolume, which is exact since the costs are
  certain (``expected_improvement``), and is divided by what the way to the top costs.
- A new candidate is worth its price while it can be expected to be better than the least of the
  trials that what is left would bring to the top, by more than the share of such a trial that is
  paid for it. Source: the rule by which Weitzman 1979 (Optimal Search for the Best Alternative)
  opens one more box, with what was screened so far as the distribution of what is inside.
- Lowest rungs never take more than the full trainings do, the next one included: a study that is
  stopped early has a front, and where lowest rungs are dear, as beside slow measurements, few are
  worth it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from search.front.ehvi import expected_improvement
from search.front.members import Objective, Reference
from search.front.pareto import front_mask
from search.records.evaluation import Evaluation, Trained

Floats = NDArray[np.float64]

# Spread of a slope around 1, and of what a line does not explain, in spreads of the lower rung;
# the latter counts as much as so many pairs.
SLOPE_SPREAD, UNEXPLAINED, PRIOR_PAIRS = 0.5, 0.5, 3.0
# Of the usual growth of a loss from a rung to the top, in the same unit.
GROWTH_SPREAD = 3.0
# Residuals further out than so many spreads count less. Source: Huber 1964, with 95 % efficiency.
HUBER = 1.345
# Spreads below this are no spreads.
FLAT = 1e-3
# What a new candidate is expected to add is taken for so many times less. Gains do not add up,
# since each that joins the front takes from the others, and the best of many expected gains is
# partly the best of their errors. On tables of known trainings 8 was better than 1, 2 and 4.
CAUTION = 8.0
# Trials that may go on are kept on disk: so many, or this many times what can still be afforded.
KEPT, KEPT_TIMES = 16, 2


@dataclass(frozen=True)
class Climber:
    """A trial with what it gave so far.

    Attributes:
        trial: Its number.
        losses: Of the metric after each finished rung, measured from the reference point.
        costs: Losses of its costs.
        is_waiting: It may be trained further now.
        is_running: It is being trained further.
    """

    trial: int
    losses: tuple[float, ...]
    costs: tuple[float, ...]
    is_waiting: bool = False
    is_running: bool = False


@dataclass(frozen=True)
class Climb:
    """The step of training a trial to its next rung."""

    trial: int


@dataclass(frozen=True)
class Propose:
    """The step of proposing a new candidate."""


Step = Climb | Propose


class Purse(Protocol):
    """What may still be spent."""

    def share(self, trial: int | None, done: int, rungs: int) -> float:
        """Return the cost of training a trial from so many rungs to so many, over what is left.

        None is a trial that is still to be proposed.
        """

    def fits(self, trial: int | None, done: int, rungs: int) -> bool:
        """Return whether that can be afforded."""


def climbers(
    evaluations: Iterable[Evaluation],
    objectives: Sequence[Objective],
    reference: Reference,
    *,
    waiting: Iterable[int] = (),
    running: Iterable[int] = (),
) -> list[Climber]:
    """Return the trials that were trained, by number, whatever the order of the records."""
    found: dict[int, dict[int, Evaluation]] = {}
    for evaluation in evaluations:
        if isinstance(evaluation.outcome, Trained):
            found.setdefault(evaluation.trial, {})[evaluation.rung] = evaluation
    is_waiting, is_running = set(waiting), set(running)
    climbing = []
    for trial in sorted(found):
        rungs = [found[trial][rung] for rung in sorted(found[trial])]
        table = reference.losses([[o.value(e) for o in objectives] for e in rungs], objectives)
        climbing.append(
            Climber(
                trial,
                tuple(table[:, 0].tolist()),
                tuple(table[-1, 1:].tolist()),
                trial in is_waiting,
                trial in is_running,
            )
        )
    return climbing


def expected_tops(seen: Sequence[Climber], n_rungs: int, rung: int) -> tuple[Floats, Floats]:
    """Return mean and spread of the top rung's loss of trials, told from one of their rungs.

    A line from the losses at the rung to those at the top, over all trials that have both. Its
    slope is drawn towards 1; residuals far out count less; their spread, of all trials together,
    is drawn towards a usual one. Source: Bishop 2006 (Pattern Recognition and Machine Learning),
    equations 3.49 to 3.51 and 3.59, with weights as Huber 1964 (Robust Estimation of a Location
    Parameter).

    Args:
        seen: All trials that finished the rung.
        n_rungs: Of the study.
        rung: Where to tell from, 0 the lowest.
    """
    low = np.array([climber.losses[rung] for climber in seen])
    has_top = np.array([len(climber.losses) == n_rungs for climber in seen])
    top = np.array([c.losses[-1] for c, has in zip(seen, has_top, strict=True) if has])
    scale = max(float(low.std()), FLAT)
    middle = float(low[has_top].mean()) if has_top.any() else float(low.mean())
    design = np.column_stack([np.ones(len(low)), (low - middle) / scale])
    pairs, growth = design[has_top], (top - low[has_top]) / scale
    # Of growth over the lower loss, so that a slope of 1 is 0 here.
    precision = np.diag([GROWTH_SPREAD**-2, SLOPE_SPREAD**-2])
    noise, weights = UNEXPLAINED**2, np.ones(len(pairs))
    for _ in range(3 if len(pairs) else 1):
        inverse = np.linalg.inv(precision + (pairs.T * weights) @ pairs / noise)
        line = inverse @ (pairs.T @ (weights * growth)) / noise
        residuals = growth - pairs @ line
        weights = np.minimum(1.0, HUBER * noise**0.5 / np.maximum(np.abs(residuals), FLAT))
        whole = PRIOR_PAIRS * UNEXPLAINED**2 + float((weights * residuals**2).sum())
        noise = whole / (PRIOR_PAIRS + len(pairs))
    # What is not known of the line itself is common to all trials, but for its slope.
    own = inverse[1, 1] * design[:, 1] ** 2 if len(pairs) else np.zeros(len(low))
    mean: Floats = low + scale * (design @ line)
    spread: Floats = scale * np.sqrt(noise + own)
    return mean, spread


def next_step(
    seen: Sequence[Climber], n_rungs: int, purse: Purse, *, may_propose: bool
) -> Step | None:
    """Return what a free worker does next; None when nothing can be afforded.

    Nothing is begun whose whole way to the top cannot be afforded, so that what is begun last
    can still reach the front.

    Args:
        seen: What ``climbers`` gives.
        n_rungs: Of the study.
        purse: What may still be spent.
        may_propose: Whether there is anything left to propose.
    """
    can_propose = may_propose and purse.fits(None, 0, n_rungs)
    waiting = [c for c in seen if c.is_waiting and purse.fits(c.trial, len(c.losses), n_rungs)]
    if not waiting:
        return Propose() if can_propose else None
    gain = gains(seen, waiting, n_rungs)
    shares = np.array([purse.share(c.trial, len(c.losses), n_rungs) for c in waiting])
    if can_propose and _is_worth_a_new_one(seen, gain, shares, n_rungs, purse):
        return Propose()
    return Climb(waiting[int(np.argmax(gain / shares))].trial)


def _is_worth_a_new_one(
    seen: Sequence[Climber], gain: Floats, shares: Floats, n_rungs: int, purse: Purse
) -> bool:
    """Return whether a new candidate is worth more than what its price takes from the waiting."""
    price, usual = purse.share(None, 0, 1), float(np.median(shares))
    # No more goes into lowest rungs than into full trainings: the front grows all the while.
    n_tops = sum(len(c.losses) == n_rungs or c.is_running for c in seen)
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
    fresh = _gains_when_fresh(seen, n_rungs)
    excess = float(np.maximum(fresh - least, 0.0).mean())
    return excess > 0 if is_free else excess / price > CAUTION * least / usual


def gains(seen: Sequence[Climber], waiting: Sequence[Climber], n_rungs: int) -> Floats:
    """Return the expected growth of the front's hypervolume by trials that go to the top.

    Trials that are being trained are taken to give what is expected of them.
    """
    mean, spread = expected_losses(seen, n_rungs)
    found = [
        (mean[i], *climber.costs)
        for i, climber in enumerate(seen)
        if len(climber.losses) == n_rungs or climber.is_running
    ]
    at = {climber.trial: i for i, climber in enumerate(seen)}
    rows = [at[climber.trial] for climber in waiting]
    return _improvements(seen, rows, mean, spread, found)


def _gains_when_fresh(seen: Sequence[Climber], n_rungs: int) -> Floats:
    """Return what every trial would be expected to add had it finished its lowest rung only."""
    mean, spread = expected_tops(seen, n_rungs, 0)
    tops = [i for i, climber in enumerate(seen) if len(climber.losses) == n_rungs]
    losses = {i: (seen[i].losses[-1], *seen[i].costs) for i in tops}
    gain = _improvements(seen, range(len(seen)), mean, spread, list(losses.values()))
    # Without itself; to leave out what others dominate changes nothing.
    on_front = front_mask(list(losses.values())) if tops else ()
    for row in (top for top, is_on_it in zip(tops, on_front, strict=True) if is_on_it):
        others = [values for i, values in losses.items() if i != row]
        gain[row] = _improvements(seen, [row], mean, spread, others)[0]
    return gain


def expected_losses(seen: Sequence[Climber], n_rungs: int) -> tuple[Floats, Floats]:
    """Return mean and spread of the top rung's loss of every trial, told from its highest rung.

    What was trained in full has its own loss, and hardly any spread.
    """
    mean, spread = np.empty(len(seen)), np.full(len(seen), FLAT)
    for rung in range(n_rungs):
        rows = [i for i, climber in enumerate(seen) if len(climber.losses) > rung]
        if not rows:
            break
        if rung == n_rungs - 1:
            mean[rows], spread[rows] = [seen[i].losses[-1] for i in rows], FLAT
        else:
            mean[rows], spread[rows] = expected_tops([seen[i] for i in rows], n_rungs, rung)
    return mean, spread


def _improvements(
    seen: Sequence[Climber],
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


def hopeless(seen: Sequence[Climber], n_rungs: int, purse: Purse) -> list[int]:
    """Return the waiting trials that are stopped for good, since better ones will use the budget.

    What they would go on from takes room on the disk.
    """
    waiting = [c for c in seen if c.is_waiting]
    if len(waiting) <= KEPT:
        return []
    shares = np.array([purse.share(c.trial, len(c.losses), n_rungs) for c in waiting])
    kept = max(KEPT, KEPT_TIMES * int(1 / float(np.median(shares))))
    worst_first = np.argsort(gains(seen, waiting, n_rungs) / shares, kind="stable")
    return [waiting[i].trial for i in worst_first[: max(0, len(waiting) - kept)]]
