"""The remaining budget of a study in trainings and minutes, and the price of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from archfront.search.config.schema import BudgetConfig
from archfront.search.records.evaluation import Evaluation, Failed
from archfront.search.records.plan import Plan
from archfront.search.records.seconds import active_seconds, rung_costs
from archfront.search.study.rejections import (
    is_too_strict,
    over_limits,
    too_strict,
    trailing_rejections,
)
from archfront.search.study.sums import TrainedSoFar
from archfront.search.study.training_times import TrainingTimes
from archfront.trainers.words import count_of

Floats = NDArray[np.float64]

# A study may exceed its minutes by this share, so that a training that just fits is begun.
OVER = 0.02
ROUNDING = 1e-9
# Share of the open architectures that may be proposed whatever is still to be seen.
CHEAPEST = 0.25
# Share of the minutes that are left that the first full training takes at most, where it is what
# tells a candidate's worth: of boxes, outlines and masks.
WHOLE = 0.7
# Margin of that training's time, which is expected from a trial or two. Work leaves more than that
# unexplained, 1.4 at its 0.9 quantile; by that margin the time is not used, and one that takes
# longer still fits (benchmarks/LOG.md, "Dense studies of eight minutes").
UNEXPLAINED = 1.2
# Epochs of a full training as long as others, of a network that is worth it: of fewer, the lowest
# rung is no small part (benchmarks/LOG.md, "Trainings of equal time"; of 5, "Schedules of
# trainings from scratch").
FEWEST_EPOCHS = 5
ONE = np.ones(1)


@dataclass(frozen=True)
class RungInTraining:
    """A training to a rung that is running.

    Attributes:
        trial: Number of the trial.
        done: Finished rungs of the trial.
    """

    trial: int
    done: int


class RemainingBudget:
    """The trainings and minutes that are left at one moment.

    Trainings are counted in full ones, a rung by its epochs; rejected and failed candidates cost
    none. Minutes are wall minutes, and the members of the front are finished within them.

    Args:
        budget: The whole budget.
        plan: The plan of the study's trainings.
        evaluations: Everything recorded.
        seconds: Wall seconds used.
        running: The trainings that are running.
        n_slots: Trainings at a time.
        n_scored: Members of the front so far that will be scored.
        ending_s: Seconds of what else is done at the end.
        works: Work of the architectures by trial; all alike where none is given.
        so_far: Sums over the evaluations, where somebody keeps them; made when None.
        open_works: Work of the architectures that may be proposed.
    """

    def __init__(
        self,
        budget: BudgetConfig,
        plan: Plan,
        evaluations: Sequence[Evaluation],
        *,
        seconds: float,
        running: Sequence[RungInTraining] = (),
        n_slots: int = 1,
        n_scored: int = 0,
        ending_s: float = 0.0,
        works: Mapping[int, float] = MappingProxyType({}),
        so_far: TrainedSoFar | None = None,
        open_works: Floats = ONE,
    ) -> None:
        self._budget, self._plan, self._n_slots = budget, plan, n_slots
        self._ends = (0.0, *rung_costs(plan.rungs))
        so_far = so_far or TrainedSoFar(evaluations, plan, works)
        self._spent, self._times, self._has_full = so_far.spent, so_far.times, so_far.has_full
        self._committed = sum(self._trainings(one.done, one.done + 1) for one in running)
        self._new_works = open_works
        self._left_s = math.inf
        if budget.minutes is not None:
            ending = n_scored * self._times.scoring() + ending_s
            # Nothing is drawn while something is trained: the rest has the whole machine.
            self._left_s = budget.minutes * 60 * (1 + OVER) - seconds - ending

    @property
    def n_rungs(self) -> int:
        """Return the number of the study's rungs."""
        return len(self._plan.rungs)

    @property
    def reach(self) -> int:
        """Return the rungs after which a new candidate may join the front."""
        return self.n_rungs if self._plan.is_full_only else 1

    @property
    def spent(self) -> float:
        """Return the trainings that were made, counted in full ones."""
        return self._spent

    def share(self, trial: int | None, done: int, rungs: int, *, of_one: bool = False) -> float:
        """Return the price of training a trial from rung to rung, as a share of what is left.

        Of two limits the tighter one counts. The minutes that are left are those of all workers.

        Args:
            trial: Number of the trial; None for one that is still to be proposed.
            done: Finished rungs of the trial.
            rungs: Rungs to be finished.
            of_one: Return the share of the minutes that are left for one worker.
        """
        shares, n_slots = [ROUNDING], 1 if of_one else self._n_slots
        if self._budget.trials is not None:
            left = self._budget.trials - self._spent - self._committed
            shares.append(self._trainings(done, rungs) / max(left, ROUNDING))
        if self._budget.minutes is not None:
            seconds = self._times.seconds(trial, done, rungs, work=self._usual_work)
            if seconds is not None:
                shares.append(seconds / max(self._left_s * n_slots, ROUNDING))
        return max(shares)

    def fits(self, trial: int | None, done: int, rungs: int) -> bool:
        """Return whether such a training can be afforded and ends in time."""
        if not self._has_trainings(done, rungs):
            return False
        if self._budget.minutes is None:
            return True
        if self._left_s <= 0:
            return False
        seconds = self._times.seconds(trial, done, rungs, work=self._least_work, is_slow=True)
        return seconds is None or seconds <= self._left_s

    def affordable(self, n_more: int) -> NDArray[np.bool_]:
        """Return which of the open architectures may be proposed next, by their lowest rung.

        The time that is left has to hold it, and while candidates are still to be seen, its share
        of the time: at first nothing is proposed that takes the time of many. Without probes,
        whose metric is that of a network to use, the first full training has to fit too, and
        beside the candidates still to be seen where all take as long. Of those, networks so heavy
        that a full training has very few epochs are left out. The cheapest are allowed in any
        case, so that there is a choice.

        Args:
            n_more: Candidates that are still to be seen.
        """
        every = np.ones(len(self._new_works), dtype=bool)
        if self._budget.minutes is None or len(every) == 0:
            return every
        seconds = self._times.of_new(self._new_works, 1)
        if seconds is None:  # nobody knows what a training takes: one of the cheapest tells it
            cheap: NDArray[np.bool_] = self._new_works <= np.quantile(self._new_works, CHEAPEST)
            return cheap
        if self._plan.is_full_only:
            return every
        is_cheap = seconds <= np.quantile(seconds, CHEAPEST)
        is_equal = self._plan.work is not None
        # Where heavy networks come first, those that follow take less.
        n_alike = max(n_more, 0) / (2 if is_equal else 1)
        is_fair = seconds <= self._left_s / (n_alike + 1)
        if is_equal:
            full = self._plan.epochs_of(self._new_works)[:, -1]
            is_fair &= full >= FEWEST_EPOCHS
        if not (self._plan.has_probe or self._has_full):
            found = [
                times.of_new(self._new_works, self.n_rungs, is_slow=not is_equal)
                for times in (self._times, TrainingTimes((), self._plan))
            ]
            whole = np.max([seconds for seconds in found if seconds is not None], axis=0)
            if is_equal:  # one that takes longer is seen, and another one is trained in full
                rest = max(n_more, 0) * np.quantile(seconds, CHEAPEST)
                is_fair &= whole <= self._left_s - rest
            else:
                is_fair &= whole * UNEXPLAINED <= WHOLE * self._left_s
        return (seconds <= self._left_s) & (is_fair | is_cheap)

    @cached_property
    def _usual_work(self) -> float:
        return float(np.median(self._new_works)) if len(self._new_works) else 1.0

    @cached_property
    def _least_work(self) -> float:
        return float(self._new_works.min(initial=np.inf))

    def reason(self, evaluations: Iterable[Evaluation]) -> str:
        """Return in words which part of the budget is used up."""
        budget = self._budget
        if not self._has_trainings(0, self.reach):
            n_full = sum(e.kind == "trained" and e.is_top for e in evaluations)
            words = count_of(n_full, "candidate is", "candidates are") + " trained"
            if self.n_rungs > 1:
                spent = count_of(float(f"{self._spent:.3g}"), "training")
                words += f", with those below the top {spent}"
            return f"{words} (budget.trials={budget.trials})"
        return f"the time is used up (budget.minutes={budget.minutes or 0:g})"

    def _has_trainings(self, done: int, rungs: int) -> bool:
        """Return whether the trainings that are left hold one between two numbers of rungs."""
        if self._budget.trials is None:
            return True
        left = self._budget.trials - self._spent - self._committed
        return self._trainings(done, rungs) <= left + ROUNDING

    def _trainings(self, done: int, rungs: int) -> float:
        """Return the share of a full training between two numbers of finished rungs."""
        return (self._ends[rungs] - self._ends[done]) / self._ends[-1]


def budget_words(budget: BudgetConfig) -> str:
    """Return what decides the end of a study, as a command line has it."""
    names = ("trials", "minutes", "max_rejections")
    return " ".join(f"budget.{name}={getattr(budget, name)}" for name in names)


def end_reason(
    evaluations: Sequence[Evaluation],
    budget: BudgetConfig,
    left: RemainingBudget,
    chance: Callable[[], float] = lambda: 1.0,
) -> str | None:
    """Return the reason why a study proposes nothing more, or None if it does.

    Args:
        evaluations: Everything recorded, in order of recording.
        budget: The whole budget.
        left: The part of the budget that is left.
        chance: As in ``is_too_strict``; certain where nobody has looked.
    """
    if not left.fits(None, 0, left.reach):
        return left.reason(evaluations) + over_limits(evaluations)
    if is_too_strict(evaluations, budget, chance):
        rejected = trailing_rejections(evaluations)
        is_by_number = len(rejected) >= budget.max_rejections
        rest = "" if is_by_number else ", and so is probably every other one"
        return too_strict(rejected, " in a row", rest)
    return None


def exhausted(size: int, evaluations: Sequence[Evaluation] = ()) -> str:
    """Return the reason of a study whose space has nothing left, and whether by its limits."""
    tried = f"all {size:,} candidates of the space were tried"
    if size == 1:
        tried = "the one candidate of the space was tried"
    return tried + over_limits(evaluations)


class RunTimer:
    """The wall seconds that a run of a study uses, added to those of earlier runs.

    Args:
        earlier: Evaluations of the earlier runs.
        clock: Seconds since any fixed point.
        began: The clock when the run began; None for now.
    """

    def __init__(
        self,
        earlier: Sequence[Evaluation],
        clock: Callable[[], float],
        began: float | None = None,
    ) -> None:
        self._clock, self._earlier_s = clock, active_seconds(earlier)
        self._started = clock() if began is None else began

    def seconds(self) -> float:
        """Return the wall seconds used by all runs."""
        return self._earlier_s + self._clock() - self._started


def failures_in_a_row(evaluations: Sequence[Evaluation], budget: BudgetConfig) -> str | None:
    """Return why a run stops where the last ``budget.max_failures`` candidates failed, else None.

    Remembered failures do not count.

    Args:
        evaluations: Those of one run, in order of recording.
        budget: The whole budget.
    """
    failed: list[Evaluation] = []
    for evaluation in reversed(evaluations):
        if not isinstance(evaluation.outcome, Failed):
            break
        if not evaluation.outcome.is_remembered:
            failed.append(evaluation)
    if len(failed) < budget.max_failures:
        return None
    return (
        f"{count_of(len(failed), 'candidate')} failed in a row (budget.max_failures="
        f"{budget.max_failures}). The last one, {failed[0].candidate.label}: "
        f"{str(failed[0].outcome).rstrip('.')}. The same command goes on when the cause is gone"
    )
