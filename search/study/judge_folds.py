"""Cross-validation of the final front, where the validation images are too few to tell much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np

from archfront.search.engine.jobs import Broken, Engine, Result
from archfront.search.engine.second_try import found_result
from archfront.search.front.fold_interval import fold_mean
from archfront.search.front.members import distinct
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Evaluation, Trained, trained_outcome
from archfront.search.records.events import Event, Noticed
from archfront.search.records.fold_scores import FoldScore, FoldScores
from archfront.search.records.store import StudyStore
from archfront.search.study.job_factory import JobFactory

# Most of a probe's time is that of the features of its backbone, which folds find on the disk.
# What is left counts so until the first fold says how long it takes.
SOLVING = 0.25
# A mean over fewer folds says no more than the validation split.
LEAST = 2
# Share of the minutes that is kept for folds, at most.
KEPT = 0.2


class FoldJudge:
    """Trains the members of a front on all folds but one, and judges them on that one.

    Fold by fold, so that what fits into the time compares all members. What is recorded is not
    done again.

    Args:
        prepared: The study.
        store: Its records.
        engine: Where jobs run.
        jobs: Makes its jobs.
        emit: Takes the events.
    """

    def __init__(
        self,
        prepared: Prepared,
        store: StudyStore,
        engine: Engine,
        jobs: JobFactory,
        emit: Callable[[Event], None],
    ) -> None:
        self._prepared, self._store, self._engine = prepared, store, engine
        self._jobs, self._emit = jobs, emit
        self._n_folds = prepared.n_folds
        self._taken: dict[bool, list[float]] = {True: [], False: []}

    def judge(
        self,
        front: Sequence[Evaluation],
        every: Sequence[Evaluation],
        seconds_left: Callable[[], float],
    ) -> None:
        """Judge a front on as many folds as the time allows.

        Args:
            front: Its evaluations.
            every: All of the study, which say how long a training takes.
            seconds_left: Returns what is left of the budget's minutes; infinity without.
        """
        members = distinct(sorted(front, key=lambda evaluation: evaluation.trial))
        if self._n_folds < LEAST or not members:
            return
        costs = {e.trial: _seconds(e, every) for e in members}
        for fold in range(self._n_folds):
            missing = [e for e in members if fold not in self._known(e).scores]
            expected = sum(costs[e.trial] * self._factor(e) for e in missing)
            expected *= max(1, LEAST - fold)  # a single fold would be for nothing
            if missing and expected / self._engine.n_slots > seconds_left():
                self._emit(Noticed(self._cut_short(fold, expected, max(seconds_left(), 0.0))))
                break
            self._judge_on(fold, missing, costs)
        self._write_means(members)

    def _judge_on(
        self, fold: int, missing: Sequence[Evaluation], costs: Mapping[int, float]
    ) -> None:
        """Judge members on a fold, so many at a time as there are workers."""
        for start in range(0, len(missing), self._engine.n_slots):
            some = missing[start : start + self._engine.n_slots]
            jobs = [self._jobs.fold(e, fold, self._n_folds) for e in some]
            futures: list[Future[Result]] = [self._engine.submit(job) for job in jobs]
            for evaluation, job, future in zip(some, jobs, futures, strict=True):
                result = found_result(self._engine, job, future)
                if isinstance(result, Broken):
                    words = f"trial {evaluation.trial} not judged on fold {fold + 1}"
                    self._emit(Noticed(f"{words}: {result.message}"))
                    continue
                self._record(evaluation, fold, result.value)
                cost = max(costs[evaluation.trial], 1e-9)
                self._taken[_is_probe(evaluation)].append(result.value.seconds / cost)

    def _record(self, evaluation: Evaluation, fold: int, score: FoldScore) -> None:
        known = self._known(evaluation)
        mine = replace(known, scores={**known.scores, fold: score}, mean=None)
        self._store.folds.write({**self._store.folds.read(), evaluation.trial: mine})

    def _known(self, evaluation: Evaluation) -> FoldScores:
        """Return what is recorded of the evaluation of a trial, and of as many folds."""
        known = self._store.folds.read().get(evaluation.trial)
        asked = evaluation.rung, self._n_folds
        is_same = known is not None and (known.rung, known.n_folds) == asked
        return known if known is not None and is_same else FoldScores(*asked)

    def _write_means(self, members: Sequence[Evaluation]) -> None:
        """Record the means over the folds that all members have."""
        known = {e.trial: self._known(e) for e in members}
        shared = set.intersection(*(set(scores.scores) for scores in known.values()))
        if len(shared) < LEAST:
            return
        train, seeds = self._prepared.settings.train, self._prepared.config.seed
        for trial, scores in known.items():
            rng = np.random.default_rng((seeds, trial))
            chosen = [scores.scores[fold] for fold in sorted(shared)]
            task, folder = self._prepared.task, self._jobs.paths.folder
            mean = fold_mean(task, train.metric, folder, chosen, rng=rng)
            known[trial] = replace(scores, mean=mean)
        self._store.folds.write({**self._store.folds.read(), **known})

    def _factor(self, evaluation: Evaluation) -> float:
        """Return the seconds of a fold over those of the training of the member."""
        taken = self._taken[_is_probe(evaluation)]
        if taken:
            return float(np.mean(taken))
        return SOLVING if _is_probe(evaluation) else 1.0

    def _cut_short(self, fold: int, expected: float, left: float) -> str:
        what = "the next one takes" if fold else f"{LEAST} take"
        return (
            f"the front is judged on {fold} of {self._n_folds} folds: {what} about "
            f"{expected:.0f} s, and {left:.0f} s are left of budget.minutes="
            f"{self._prepared.config.budget.minutes:g}; more minutes go on with it"
        )


def _is_probe(evaluation: Evaluation) -> bool:
    """Return whether the network of an evaluation is a head solved on frozen features."""
    fidelity = trained_outcome(evaluation).fidelity
    return fidelity is not None and fidelity.kept_epoch == 0


def folds_s(
    front: Sequence[Evaluation],
    every: Sequence[Evaluation],
    *,
    n_folds: int,
    minutes: float | None,
    n_slots: int,
) -> float:
    """Return the seconds that are kept for judging a front on folds.

    Args:
        front: The members so far.
        every: All evaluations of the study.
        n_folds: Folds that are asked for.
        minutes: Of the budget; None where nothing has to be kept.
        n_slots: Trainings at a time.
    """
    if not n_folds or minutes is None:
        return 0.0
    fold_s = sum(_fold_s(e, every) for e in front) / n_slots
    if not fold_s:
        return 0.0
    n_kept = min(n_folds, int(KEPT * minutes * 60 / fold_s))
    return n_kept * fold_s if n_kept >= LEAST else 0.0


def _fold_s(evaluation: Evaluation, every: Sequence[Evaluation]) -> float:
    """Return about the seconds of one fold of a member, before any is judged."""
    return _seconds(evaluation, every) * (SOLVING if _is_probe(evaluation) else 1.0)


def _seconds(evaluation: Evaluation, every: Sequence[Evaluation]) -> float:
    """Return the seconds of a training up to the network that is kept."""
    top = 0 if _is_probe(evaluation) else evaluation.rung
    mine = {e.rung: e for e in every if e.trial == evaluation.trial and e.rung <= top}
    return sum(trained_outcome(e).seconds for e in mine.values() if isinstance(e.outcome, Trained))
