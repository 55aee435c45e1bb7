"""What a study may still spend, in trainings and in minutes, and what each of its steps costs."""

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

# A study may run over its minutes by this share, so that a step that just fits is begun.
OVER = 0.02
# What a step takes longer than it was seen to take before: a new candidate's training is that of
# the slowest tenth of candidates; that of a known one differs by little.
SLOW, LONGER = 0.9, 1.1
# Scoring a member on the test split and drawing its predictions, in epochs of its training: it is
# a pass over images without gradients.
SCORED_EPOCHS = 0.4
ROUNDING = 1e-9


@dataclass(frozen=True)
class Work:
    """A step that is being done.

    Attributes:
        trial: Number of the trial.
        done: Its finished rungs.
    """

    trial: int
    done: int


class Purse:
    """What is left at one moment.

    Trainings are counted in full ones, a rung by its epochs; what was rejected or failed costs
    none. Minutes are wall minutes, and the front's last scores are made within them.

    Args:
        budget: What may be used.
        rungs: Epochs of each rung.
        evaluations: Everything recorded.
        seconds: Wall seconds used; None for those of the evaluations.
        running: What is being done.
        n_slots: Steps at a time.
        n_members: Members of the front so far, which will be scored.
    """

    def __init__(
        self,
        budget: BudgetConfig,
        rungs: Sequence[int],
        evaluations: Sequence[Evaluation],
        *,
        seconds: float,
        running: Sequence[Work] = (),
        n_slots: int = 1,
        n_members: int = 0,
    ) -> None:
        self._budget, self._rungs, self._n_slots = budget, tuple(rungs), n_slots
        trained = [e for e in evaluations if isinstance(e.outcome, Trained)]
        self._spent = full_trainings(trained, self._rungs)
        self._promised = sum(self._trainings(work.done, work.done + 1) for work in running)
        self._pace = Pace(trained, self._rungs)
        self._left_s = math.inf
        if budget.minutes is not None:
            ending = n_members * self._pace.scoring()
            # Nothing is drawn while something is trained: the rest has the whole machine.
            self._left_s = budget.minutes * 60 * (1 + OVER) - seconds - ending

    @property
    def n_rungs(self) -> int:
        """Return how many rungs the study has."""
        return len(self._rungs)

    @property
    def spent(self) -> float:
        """Return what was trained, in full trainings."""
        return self._spent

    def share(self, trial: int | None, done: int, rungs: int) -> float:
        """Return the cost of training a trial from so many rungs to so many, over what is left.

        Of two limits the tighter one counts. None is a trial that is still to be proposed. What
        is left of minutes is that of all workers.
        """
        shares = [ROUNDING]
        if self._budget.trials is not None:
            left = self._budget.trials - self._spent - self._promised
            shares.append(self._trainings(done, rungs) / max(left, ROUNDING))
        seconds = self._pace.seconds(trial, done, rungs)
        if self._budget.minutes is not None and seconds is not None:
            shares.append(seconds / max(self._left_s * self._n_slots, ROUNDING))
        return max(shares)

    def fits(self, trial: int | None, done: int, rungs: int) -> bool:
        """Return whether that can be afforded and ends in time."""
        if self._budget.trials is not None:
            left = self._budget.trials - self._spent - self._promised
            if self._trainings(done, rungs) > left + ROUNDING:
                return False
        if self._left_s <= 0:
            return False
        seconds = self._pace.seconds(trial, done, rungs, is_slow=True)
        return seconds is None or seconds <= self._left_s

    def reason(self, evaluations: Iterable[Evaluation]) -> str:
        """Return in words what is used up."""
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
        """Return the part of a full training from so many rungs to so many."""
        return (self._epochs(rungs) - self._epochs(done)) / self._rungs[-1]

    def _epochs(self, rungs: int) -> int:
        return 0 if rungs == 0 else self._rungs[rungs - 1]


class Pace:
    """How long trainings take, by those that were seen.

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
        """Return the seconds of training a trial from so many rungs to so many.

        None where nothing was trained yet.

        Args:
            trial: Number of the trial; None for one that is still to be proposed.
            done: Its finished rungs.
            rungs: Rungs to be finished.
            is_slow: How long it may take at worst, not usually.
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
    purse: Purse,
) -> str | None:
    """Return why a study has nothing more to propose, or None when it has.

    Args:
        evaluations: Everything recorded, in order of recording.
        budget: What it may use.
        purse: What of it is left.
    """
    if not purse.fits(None, 0, purse.n_rungs):
        return purse.reason(evaluations)
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


class Ledger:
    """What one run of a study has used, on top of the runs before it."""

    def __init__(
        self, budget: BudgetConfig, earlier: Sequence[Evaluation], clock: Callable[[], float]
    ) -> None:
        self._budget, self._clock = budget, clock
        self._earlier_s = active_seconds(earlier)
        self._started = clock()
        self._failures = 0

    def seconds(self) -> float:
        """Return the wall seconds used by all runs."""
        return self._earlier_s + self._clock() - self._started

    def check_failures(self, evaluation: Evaluation) -> None:
        """Count failures in a row.

        Raises:
            StudyError: When ``budget.max_failures`` of them came in this run.
        """
        if not isinstance(evaluation.outcome, Failed):
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= self._budget.max_failures:
            raise StudyError(
                f"{count_of(self._failures, 'candidate')} failed in a row (budget.max_failures="
                f"{self._budget.max_failures}). The last one, {evaluation.candidate.label}: "
                f"{evaluation.outcome}\nEverything finished is recorded; resume with the same "
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
