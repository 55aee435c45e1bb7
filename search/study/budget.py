"""The remaining budget of a study in trainings and minutes, and the price of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from archfront.search.config.schema import BudgetConfig
from archfront.search.errors import StudyError
from archfront.search.records.evaluation import Evaluation, Failed, Rejected, Trained
from archfront.search.records.seconds import active_seconds, full_trainings
from archfront.trainers.words import count_of

# A study may exceed its minutes by this share, so that a training that just fits is begun.
OVER = 0.02
# Safety margins of a training's time: that of a new candidate counts with this quantile of the
# candidates so far, that of a known one with this factor.
SLOW, LONGER = 0.9, 1.1
# Scoring a member on the test split and drawing its predictions, in epochs of its training: it is
# a pass over images without gradients.
SCORED_EPOCHS = 0.4
ROUNDING = 1e-9


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
    none. Minutes are wall minutes, and the members of the front are scored within them.

    Args:
        budget: The whole budget.
        rungs: Epochs of each rung.
        evaluations: Everything recorded.
        seconds: Wall seconds used.
        running: The trainings that are running.
        n_slots: Trainings at a time.
        n_members: Members of the front so far, which will be scored.
    """

    def __init__(
        self,
        budget: BudgetConfig,
        rungs: Sequence[int],
        evaluations: Sequence[Evaluation],
        *,
        seconds: float,
        running: Sequence[RungInTraining] = (),
        n_slots: int = 1,
        n_members: int = 0,
    ) -> None:
        self._budget, self._rungs, self._n_slots = budget, tuple(rungs), n_slots
        trained = [e for e in evaluations if isinstance(e.outcome, Trained)]
        self._spent = full_trainings(trained, self._rungs)
        self._committed = sum(self._trainings(one.done, one.done + 1) for one in running)
        self._times = TrainingTimes(trained, self._rungs)
        self._left_s = math.inf
        if budget.minutes is not None:
            ending = n_members * self._times.scoring()
            # Nothing is drawn while something is trained: the rest has the whole machine.
            self._left_s = budget.minutes * 60 * (1 + OVER) - seconds - ending

    @property
    def n_rungs(self) -> int:
        """Return the number of the study's rungs."""
        return len(self._rungs)

    @property
    def spent(self) -> float:
        """Return the trainings that were made, counted in full ones."""
        return self._spent

    def share(self, trial: int | None, done: int, rungs: int) -> float:
        """Return the price of training a trial from rung to rung, as a share of what is left.

        Of two limits the tighter one counts. The minutes that are left are those of all workers.

        Args:
            trial: Number of the trial; None for one that is still to be proposed.
            done: Finished rungs of the trial.
            rungs: Rungs to be finished.
        """
        shares = [ROUNDING]
        if self._budget.trials is not None:
            left = self._budget.trials - self._spent - self._committed
            shares.append(self._trainings(done, rungs) / max(left, ROUNDING))
        seconds = self._times.seconds(trial, done, rungs)
        if self._budget.minutes is not None and seconds is not None:
            shares.append(seconds / max(self._left_s * self._n_slots, ROUNDING))
        return max(shares)

    def fits(self, trial: int | None, done: int, rungs: int) -> bool:
        """Return whether such a training can be afforded and ends in time."""
        if self._budget.trials is not None:
            left = self._budget.trials - self._spent - self._committed
            if self._trainings(done, rungs) > left + ROUNDING:
                return False
        if self._left_s <= 0:
            return False
        seconds = self._times.seconds(trial, done, rungs, is_slow=True)
        return seconds is None or seconds <= self._left_s

    def reason(self, evaluations: Iterable[Evaluation]) -> str:
        """Return in words which part of the budget is used up."""
        budget = self._budget
        if budget.trials is not None and (
            self._trainings(0, self.n_rungs) > budget.trials - self._spent + ROUNDING
        ):
            n_full = sum(e.kind == "trained" and e.is_top for e in evaluations)
            words = count_of(n_full, "candidate is", "candidates are") + " trained"
            if self.n_rungs > 1:
                spent = count_of(float(f"{self._spent:.3g}"), "training")
                words += f", with those below the top {spent}"
            return f"{words} (budget.trials={budget.trials})"
        return f"the time is used up (budget.minutes={budget.minutes or 0:g})"

    def _trainings(self, done: int, rungs: int) -> float:
        """Return the share of a full training between two numbers of finished rungs."""
        return (self._epochs(rungs) - self._epochs(done)) / self._rungs[-1]

    def _epochs(self, rungs: int) -> int:
        return 0 if rungs == 0 else self._rungs[rungs - 1]


class TrainingTimes:
    """The times that trainings take, estimated from those that were made.

    Args:
        trained: Evaluations whose outcome is ``Trained``.
        rungs: Epochs of each rung.
    """

    def __init__(self, trained: Sequence[Evaluation], rungs: Sequence[int]) -> None:
        self._rungs = (0, *rungs)
        self._own: dict[int, float] = {}
        before, between = [], []
        for evaluation in sorted(trained, key=lambda e: (e.trial, e.rung)):
            assert isinstance(evaluation.outcome, Trained)
            epochs = self._rungs[evaluation.rung + 1] - self._rungs[evaluation.rung]
            self._own[evaluation.trial] = evaluation.outcome.seconds / epochs
            around = max(0.0, evaluation.seconds - evaluation.outcome.seconds)
            if evaluation.rung == 0:
                before.append(around)
                measured = evaluation.measurement
                if measured is not None and measured.latency.source == "measured":
                    around = max(0.0, around - measured.seconds)
            between.append(around)
        self._before = median(before) if before else 0.0
        self._between = median(between) if between else 0.0
        self._usual = sorted(self._own.values())

    def seconds(
        self, trial: int | None, done: int, rungs: int, *, is_slow: bool = False
    ) -> float | None:
        """Return the seconds of training a trial from rung to rung; None before any training.

        Args:
            trial: Number of the trial; None for one that is still to be proposed.
            done: Its finished rungs.
            rungs: Rungs to be finished.
            is_slow: Return the time at worst instead of the usual one.
        """
        if not self._usual:
            return None
        if trial in self._own:
            epoch_s = self._own[trial] * (LONGER if is_slow else 1.0)
        elif is_slow:
            epoch_s = self._usual[min(int(SLOW * len(self._usual)), len(self._usual) - 1)]
        else:
            epoch_s = median(self._usual)
        around = self._between * (rungs - done)
        if done == 0:
            around += self._before - self._between
        return around + epoch_s * (self._rungs[rungs] - self._rungs[done])

    def scoring(self) -> float:
        """Return the seconds after the last training for one member of the front."""
        if not self._usual:
            return 0.0
        return self._between + SCORED_EPOCHS * median(self._usual)


def end_reason(
    evaluations: Sequence[Evaluation],
    budget: BudgetConfig,
    left: RemainingBudget,
) -> str | None:
    """Return the reason why a study proposes nothing more, or None if it does.

    Args:
        evaluations: Everything recorded, in order of recording.
        budget: The whole budget.
        left: The part of the budget that is left.
    """
    if not left.fits(None, 0, left.n_rungs):
        return left.reason(evaluations)
    if is_too_strict(evaluations, budget):
        return _too_strict(_trailing_rejections(evaluations))
    return None


def is_too_strict(evaluations: Sequence[Evaluation], budget: BudgetConfig) -> bool:
    """Return whether too many candidates in a row were over a limit."""
    return len(_trailing_rejections(evaluations)) >= budget.max_rejections


def exhausted(size: int) -> str:
    """Return the reason of a study whose space has nothing left."""
    if size == 1:
        return "the one candidate of the space was tried"
    return f"all {size:,} candidates of the space were tried"


class RunTimer:
    """The wall seconds that a run of a study uses, added to those of earlier runs.

    Args:
        earlier: Evaluations of the earlier runs.
        clock: Seconds since any fixed point.
    """

    def __init__(self, earlier: Sequence[Evaluation], clock: Callable[[], float]) -> None:
        self._clock, self._earlier_s = clock, active_seconds(earlier)
        self._started = clock()

    def seconds(self) -> float:
        """Return the wall seconds used by all runs."""
        return self._earlier_s + self._clock() - self._started


def check_failures(evaluations: Sequence[Evaluation], budget: BudgetConfig) -> None:
    """Check that not too many candidates failed in a row; remembered failures do not count.

    Args:
        evaluations: Those of one run, in order of recording.
        budget: The whole budget.

    Raises:
        StudyError: If the last ``budget.max_failures`` of them failed.
    """
    failed: list[Evaluation] = []
    for evaluation in reversed(evaluations):
        if not isinstance(evaluation.outcome, Failed):
            break
        if not evaluation.outcome.is_remembered:
            failed.append(evaluation)
    if len(failed) >= budget.max_failures:
        raise StudyError(
            f"{count_of(len(failed), 'candidate')} failed in a row (budget.max_failures="
            f"{budget.max_failures}). The last one, {failed[0].candidate.label}: "
            f"{failed[0].outcome}\nEverything finished is recorded; resume with the same "
            "command when the cause is gone."
        )


def _trailing_rejections(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    streak: list[Evaluation] = []
    for evaluation in reversed([e for e in evaluations if e.rung == 0]):
        if not isinstance(evaluation.outcome, Rejected):
            break
        streak.append(evaluation)
    return streak


def _too_strict(streak: Sequence[Evaluation]) -> str:
    times = [e.measurement.latency.p50_ms for e in streak if e.measurement is not None]
    were = "was" if len(streak) == 1 else "were"
    fastest = f"; the fastest of them takes {min(times):.3g} ms" if times else ""
    return (
        f"{count_of(len(streak), 'candidate')} in a row {were} over a limit{fastest}. Raise the "
        "limits, or give the space smaller backbones and input sizes"
    )
