"""One run of a study's loop: from what is recorded to what is recorded next."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace
from functools import partial

from archfront.search.engine.interrupts import deferred
from archfront.search.engine.jobs import Broken, Engine, Job, Result
from archfront.search.errors import StudyError, StudyStoppedError
from archfront.search.latency.lookup import CostLookup
from archfront.search.latency.steady import MOST_AGAIN, doubt, may_be_within, steadier
from archfront.search.prepare.gate import exceeded
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import (
    Failed,
    Measurement,
    Outcome,
    Rejected,
    Trained,
    is_below_top,
    is_passing,
)
from archfront.search.records.events import (
    Event,
    Follower,
    Noticed,
    RungFinished,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialMeasured,
    TrialPromoted,
    TrialProposed,
    TrialRemeasured,
    TrialsStopped,
)
from archfront.search.records.header import StudyHeader
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore
from archfront.search.study import machine
from archfront.search.study.begin import begin, cost_model_of, sampler_of
from archfront.search.study.budget import budget_words
from archfront.search.study.control import Control
from archfront.search.study.finalize import FrontFinalizer
from archfront.search.study.job_factory import JobFactory
from archfront.search.study.judge_folds import FoldJudge
from archfront.search.study.paused import PausedTrial
from archfront.search.study.progress import StudyProgress
from archfront.search.study.promotion import Promote
from archfront.search.study.running_trial import RunningTrial
from archfront.trainers.spec import Precision

logger = logging.getLogger(__name__)

# A candidate during which the driver itself died this often is given up.
MAX_ATTEMPTS = 3
# Seconds between looks at the control while jobs run.
POLL_S = 0.2


class Driver:
    """One run of the loop.

    Args:
        prepared: The study.
        store: Its records.
        engine: Where jobs run.
        lookup: Costs that are known, and learned.
        paths: Its files.
        precision: Numeric precision of its trainings.
        began: The clock when this run began to read its data.
        followers: Called with every event.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        prepared: Prepared,
        store: StudyStore,
        engine: Engine,
        *,
        lookup: CostLookup,
        paths: StudyPaths,
        precision: Precision,
        began: float,
        followers: Iterable[Follower],
        clock: Callable[[], float],
    ) -> None:
        self._prepared, self._config, self._space = prepared, prepared.config, prepared.space
        self._store, self._engine, self._lookup = store, engine, lookup
        self._paths, self._followers, self._clock = paths, tuple(followers), clock
        self._jobs = JobFactory(prepared, paths, precision)
        self._progress = StudyProgress(
            prepared, store, paths, n_slots=engine.n_slots, clock=clock, began=began
        )

    def run(self, control: Control) -> tuple[str, str]:
        """Run to the end, which is recorded whatever it is; return state and reason."""
        header = self._begin()
        before, waiting = tuple(self._progress.evaluations), self._store.open_trials()
        self._emit(
            StudyStarted(self._config.study, header, before, self._engine.isolates, waiting)
        )
        has_died = self._store.state["state"] in ("running", "failed")
        state, reason = "failed", "an error in the driver"
        try:
            with machine.stopped_by_machine():
                self._store.write_state("running", "")
                self._recover(has_died=has_died)
                state, reason = self._loop(control)
                if state in ("finished", "stopped"):
                    self._finalize()
        except KeyboardInterrupt:
            state, reason = "interrupted", "interrupted from the keyboard"
        except StudyStoppedError as error:
            state, reason = "stopped", str(error)
        except StudyError as error:
            reason = str(error)
            raise
        finally:
            self._end(state, reason)
        return state, reason

    def _end(self, state: str, reason: str) -> None:
        """Record how the run ended, as far as the machine lets it."""
        is_exhausted, event = self._progress.is_exhausted(), StudyFinished(state, reason)
        write = partial(self._store.write_state, budget=budget_words(self._config.budget))
        record = partial(write, state, reason, is_exhausted=is_exhausted)
        steps = [record, *(partial(follower, event) for follower in self._followers)]
        machine.record_end(steps, is_stopped=state == "stopped")

    def _begin(self) -> StudyHeader:
        """Return the study's header, and make the sampler over all that is known."""
        progress, prepared, lookup = self._progress, self._prepared, self._lookup
        given = prepared, self._store, self._paths
        header = begin(*given, jobs=self._jobs, engine=self._engine, lookup=lookup)
        progress.reference = reference = header.reference
        progress.costs = cost_model_of(prepared, lookup, reference, progress.evaluations)
        self._sampler = sampler_of(prepared, progress.open, progress.costs, reference)
        return header

    def _finalize(self) -> None:
        progress = self._progress
        # Else a larger budget can only go on with the paused trials.
        if progress.open.has_any() and progress.failing is None:
            self._stop(progress.paused.numbers())
        given = self._prepared, self._store, self._engine
        finalizer = FrontFinalizer(*given, self._paths, self._emit)
        in_doubt, left_s = progress.front.in_doubt(), progress.seconds_left()
        for architecture, found in finalizer.measure_disturbed(in_doubt, left_s).items():
            self._lookup.learn(architecture, found)
            for number, candidate in progress.remeasure(architecture, found).items():
                self._emit(TrialRemeasured(number, candidate, found))
        progress.front.settle()
        finalizer.finalize(progress.front.members)
        judge = FoldJudge(*given, self._jobs, self._emit).judge
        judge(progress.front.members, progress.evaluations, progress.seconds_left)

    def _recover(self, *, has_died: bool) -> None:
        """Take up what earlier runs recorded, and the trials that they or a dead driver left."""
        self._progress.restore()
        for frozen in self._store.in_flight():
            recorded = self._store.recorded(frozen)
            written = tuple(e for e in recorded if not is_passing(e))
            trial = self._store.trial(frozen, self._sampler)
            if written and not is_below_top(written[-1]):
                self._store.tell(trial, written, self._prepared.objectives)
                continue
            candidate = self._space.suggest(trial)
            self._progress.open.close(self._space.index(candidate))
            has_failed = len(written) < len(recorded)  # by the machine, above the lowest rung
            if written and (has_failed or self._store.begun(frozen) <= written[-1].rung):
                self._progress.paused.pause(PausedTrial(trial, candidate, written))
                continue
            attempt = self._store.attempts(frozen)
            self._paths.remove_attempt(frozen.number, attempt, len(written))
            attempt += has_died
            self._store.begin(trial, attempt)
            known = written[-1].measurement if written else None
            running = RunningTrial(trial, candidate, attempt, self._clock(), known, below=written)
            if attempt >= MAX_ATTEMPTS:
                self._finish(running, machine.driver_died(attempt, self._engine.isolates))
            elif written:
                self._train_next_rung(running)
            else:
                self._start(running)
        self._stop_surplus()

    def _loop(self, control: Control) -> tuple[str, str]:
        """Propose and collect until there is nothing to do; return state and reason."""
        progress, running = self._progress, self._progress.running
        is_idle = False  # nothing to do until a job ends: time alone only takes away
        while True:
            if control.is_cancelled:
                return "interrupted", "cancelled"
            while len(running) < progress.refresh_slots(self._engine) and not (
                is_idle or control.is_paused or progress.failing
            ):
                step = progress.next_step()
                if step is None:
                    is_idle = True
                else:
                    self._promote(step.trial) if isinstance(step, Promote) else self._propose()
            if not running:
                if progress.failing is not None:
                    return "stopped", progress.failing
                is_idle = False
                reason = progress.end_reason()
                if reason is not None and progress.next_step() is None:
                    return machine.ending(reason, progress)
                time.sleep(POLL_S)  # paused
                continue
            done, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            is_idle = is_idle and not done
            for future in done:
                self._receive(running.pop(future), future.result())

    def _promote(self, number: int) -> None:
        """Train a paused trial to its next rung."""
        paused, started = self._progress.paused.resume(number), self._clock()
        self._store.promote(paused.trial, paused.last.rung + 1)
        self._train_next_rung(
            RunningTrial(paused.trial, paused.candidate, 0, started, below=paused.evaluations)
        )

    def _train_next_rung(self, running: RunningTrial) -> None:
        last = running.below[-1]
        running.take_costs(last)
        self._emit(TrialPromoted(running.number, last.candidate, last.rung + 1))
        self._train(running)

    def _stop_surplus(self) -> None:
        """Stop the paused trials that will not be trained further."""
        self._stop(self._progress.surplus())

    def _stop(self, numbers: list[int]) -> None:
        if numbers:
            with deferred():
                self._progress.paused.stop(numbers)
            self._emit(TrialsStopped(tuple(numbers)))

    def _propose(self) -> None:
        started = self._clock()
        trial = self._store.ask(self._sampler)
        candidate = self._space.suggest(trial)
        self._progress.open.close(self._space.index(candidate))
        self._emit(TrialProposed(trial.number, candidate))
        self._start(RunningTrial(trial, candidate, 0, started))

    def _start(self, running: RunningTrial) -> None:
        """Go on with what is known of the architecture, or have it measured."""
        architecture = running.candidate.architecture
        known = self._lookup.lookup(architecture)
        if known is None:
            running.expected = self._lookup.expected(architecture)
            self._submit(running, self._jobs.measure(architecture))
        elif isinstance(known, Measurement):
            self._check_limits(running, known)
        else:
            self._finish(running, known)

    def _receive(self, running: RunningTrial, result: Result) -> None:
        """Take the result of a trial's job: a measurement, an outcome or a failure."""
        running.note_node(result)
        architecture = running.candidate.architecture
        if isinstance(result, Broken):
            self._paths.remove_attempt(running.number, running.attempt, len(running.below))
            if running.job is not None and machine.is_to_try_again(running, result):
                self._emit(Noticed(f"trial {running.number} is tried again: {result.message}"))
                self._submit(running, running.job)
                return
            failed = Failed(result.kind, result.message)
            if running.measurement is None:
                self._lookup.learn(architecture, failed)
            self._finish(running, failed)
        elif isinstance(result.value, Measurement):
            before, found = running.measurement, result.value
            found = found if before is None else steadier(before, found)
            self._lookup.learn(architecture, found)
            self._progress.costs.learn(architecture, found)
            self._check_limits(running, found)
        elif self._engine.isolates and isinstance(result.value, Trained):
            # Its own clock went on while a measurement held it up.
            seconds = min(result.value.seconds, result.seconds)
            self._finish(running, replace(result.value, seconds=seconds))
        else:
            self._finish(running, result.value)

    def _check_limits(self, running: RunningTrial, measurement: Measurement) -> None:
        """Reject a trial that is over a limit, or train it.

        A latency that other work disturbed is measured again before it rejects.
        """
        running.measurement = measurement
        over = exceeded(measurement, self._prepared.settings.limits)
        if may_be_within(measurement, over) and running.n_again < MOST_AGAIN:
            running.n_again += 1
            self._emit(Noticed(doubt(running.number, measurement)))
            self._submit(running, self._jobs.measure(running.candidate.architecture))
            return
        if over:
            self._finish(running, Rejected(over))
            return
        self._emit(TrialMeasured(running.number, running.candidate, measurement))
        self._train(running)

    def _train(self, running: RunningTrial) -> None:
        below = running.below[-1] if running.below else None
        job = self._jobs.train(
            running.number, running.candidate, attempt=running.attempt, below=below
        )
        self._submit(running, job)

    def _finish(self, running: RunningTrial, outcome: Outcome) -> None:
        """Record an outcome: the evaluation first, then the trial's end or its pause."""
        proposal, now = self._store.proposal(running.trial), self._clock()
        evaluation = running.evaluation(outcome, self._prepared, now=now, proposal=proposal)
        every, paused = (*running.below, evaluation), self._progress.paused
        goes_on = is_below_top(evaluation)
        waits_again = is_passing(evaluation) and bool(running.below)
        with deferred():
            self._store.record(running.trial, evaluation)
            if goes_on:
                paused.pause(PausedTrial(running.trial, running.candidate, every))
                if not evaluation.can_join_front:
                    paused.keep_only_state(evaluation)
            elif not waits_again:
                self._store.tell(running.trial, every, self._prepared.objectives)
            if running.below and not waits_again:
                paused.forget_state(running.below[-1])
            self._progress.add(evaluation)
            self._emit(RungFinished(evaluation) if goes_on else TrialFinished(evaluation))
        if isinstance(outcome, Trained):
            self._stop_surplus()
        logger.info("trial %d %s: %s", evaluation.trial, evaluation.kind, evaluation.candidate.id)

    def _submit(self, running: RunningTrial, job: Job) -> None:
        running.begin(job)
        self._progress.running[self._engine.submit(job, self._emit)] = running

    def _emit(self, event: Event) -> None:
        for follower in self._followers:
            follower(event)
