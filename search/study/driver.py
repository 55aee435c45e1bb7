"""One run of a study's loop: from what is recorded to what is recorded next."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, replace
from typing import Any

import yaml

from archfront.search.engine.interrupts import deferred
from archfront.search.engine.jobs import Broken, Engine, Job, Result
from archfront.search.errors import StudyError
from archfront.search.front.extrapolation import RungTrial
from archfront.search.latency.lookup import CostLookup
from archfront.search.prepare.gate import exceeded
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import (
    LASTING,
    Evaluation,
    Failed,
    Measurement,
    Outcome,
    Prediction,
    Rejected,
    Trained,
    is_below_top,
)
from archfront.search.records.events import (
    Event,
    Follower,
    RungFinished,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialMeasured,
    TrialPromoted,
    TrialProposed,
    TrialsStopped,
)
from archfront.search.records.objectives import Reference
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore
from archfront.search.samplers import SAMPLERS
from archfront.search.samplers.base import OpenCandidates
from archfront.search.samplers.request import Request
from archfront.search.space.cost_model import Costs
from archfront.search.study.budget import Ledger, Purse, Work, end_reason, exhausted, is_too_strict
from archfront.search.study.control import Control
from archfront.search.study.finalize import Finale
from archfront.search.study.job_factory import JobFactory
from archfront.search.study.paused import KeptFront, PausedTrials, Waiting
from archfront.search.study.promotion import Promote, Step, next_step, rung_trials, to_stop
from archfront.search.study.reference import find_reference

logger = logging.getLogger(__name__)

# A candidate during which the driver itself died this often is given up.
MAX_ATTEMPTS = 3
# Seconds between looks at the control while jobs run.
POLL_S = 0.2


@dataclass
class RunningTrial:
    """A trial on its way to its outcome at a rung.

    Attributes:
        trial: The trial of the storage.
        candidate: The candidate of the trial.
        attempt: Number of earlier attempts, during which a driver died.
        started: Seconds since the epoch at which this attempt began.
        measurement: The costs of the candidate, once they are known.
        expected: The latency that was expected before the measurement.
        below: Evaluations of the rungs below, the lowest first.
    """

    trial: Any
    candidate: Candidate
    attempt: int
    started: float
    measurement: Measurement | None = None
    expected: Prediction | None = None
    below: tuple[Evaluation, ...] = ()


class Driver:
    """One run of the loop."""

    def __init__(
        self,
        prepared: Prepared,
        store: StudyStore,
        engine: Engine,
        known: CostLookup,
        places: StudyPaths,
        followers: Iterable[Follower],
        clock: Callable[[], float],
    ) -> None:
        self._prepared, self._config, self._space = prepared, prepared.config, prepared.space
        self._store, self._engine, self._known = store, engine, known
        self._places, self._followers, self._clock = places, tuple(followers), clock
        self._evaluations = store.evaluations()
        self._ledger = Ledger(self._config.budget, self._evaluations, clock)
        self._open = OpenCandidates(self._space)
        self._flights: dict[Future[Result], RunningTrial] = {}
        self._front = KeptFront(places, prepared.objectives)
        self._rungs = prepared.settings.rungs
        self._jobs = JobFactory(prepared, places)
        self._ladder = PausedTrials(store, places, prepared.objectives)

    def run(self, control: Control) -> tuple[str, str]:
        """Run to the end, which is recorded whatever it is; return state and reason."""
        header = self._begin()
        study, isolates = self._config.study, self._engine.isolates
        before, waiting = tuple(self._evaluations), self._store.open_trials()
        self._emit(StudyStarted(study, header, before, isolates, waiting))
        self._store.write_state("running", "")
        state, reason = "failed", "an error in the driver"
        try:
            self._recover()
            state, reason = self._loop(control)
            if state == "finished":
                if self._open.has_any():  # else a larger budget has only these to go on with
                    self._stop(self._ladder.numbers())
                finale = Finale(
                    self._prepared, self._store, self._engine, self._places, self._emit
                )
                finale.perform(self._front.members)
        except KeyboardInterrupt:
            state, reason = "interrupted", "interrupted from the keyboard"
        except StudyError as error:
            reason = str(error)
            raise
        finally:
            has_any = self._open.has_any() or bool(self._ladder.numbers())
            self._store.write_state(state, reason, is_exhausted=not has_any)
            self._emit(StudyFinished(state, reason))
        return state, reason

    def _begin(self) -> dict[str, Any]:
        """Return the study's header, written first if this is its first run."""
        header = self._store.header
        is_new = header is None
        header = self._prepared.header() if header is None else header
        stored = {**header["config"], "budget": asdict(self._config.budget)}
        self._places.config.write_text(yaml.safe_dump(stored, sort_keys=False), encoding="utf-8")
        if is_new:
            found = find_reference(
                self._prepared, lambda a: self._jobs.measure_now(a, self._known, self._engine)
            )
            header["reference"] = dict(found.values)
            header["precision"] = self._jobs.choose_precision(self._engine, self._emit)
            self._store.write_header(header)
        self._jobs.precision = header["precision"]
        self._reference = Reference(header["reference"])
        self._prepare_sampler()
        return header

    def _prepare_sampler(self) -> None:
        """Make what proposes, with all that is known of the costs."""
        config = self._config
        self._costs = Costs(
            self._space,
            self._known,
            self._prepared.objectives,
            asdict(self._prepared.settings.limits),
            self._reference,
        )
        for evaluation in self._evaluations:
            if evaluation.measurement is not None:
                self._costs.learn(evaluation.candidate.architecture, evaluation.measurement)
        request = Request(
            candidates=self._open,
            seed=config.seed,
            startup=config.sampler.startup,
            costs=self._costs,
            reference=self._reference,
            is_timed=config.budget.trials is None,
            rung_costs=tuple(epochs / self._rungs[-1] for epochs in self._rungs),
        )
        self._sampler = SAMPLERS[config.sampler.name](request)

    def _recover(self) -> None:
        """Close what cannot be or was tried, and take up the trials that a dead driver left."""
        for architecture in self._prepared.holes:
            number = self._space.architecture_number(architecture)
            self._open.close_architecture(self._space.first_index(number))
        for evaluation in self._evaluations:
            self._close(evaluation)
            self._front.add(evaluation)
        self._ladder.clear(self._evaluations)
        for frozen in self._store.in_flight():
            written = tuple(self._store.recorded(frozen))
            trial = self._store.trial(frozen, self._sampler)
            if written and not is_below_top(written[-1]):
                self._store.tell(trial, written, self._prepared.objectives)
                continue
            candidate = self._space.suggest(trial)
            self._open.close(self._space.index(candidate))
            if written and self._store.begun(frozen) <= written[-1].rung:
                self._ladder.wait(Waiting(trial, candidate, written))
                continue
            attempt = self._store.attempts(frozen)
            self._places.remove_attempt(frozen.number, attempt, len(written))
            attempt += 1
            self._store.begin(trial, attempt)
            known = written[-1].measurement if written else None
            flight = RunningTrial(trial, candidate, attempt, self._clock(), known, below=written)
            if attempt >= MAX_ATTEMPTS:
                message = f"the driver died {attempt} times while this candidate was in flight"
                self._finish(flight, Failed("crash", message))
            elif written:
                self._train_further(flight)
            else:
                self._start(flight)
        self._stop_hopeless()

    def _loop(self, control: Control) -> tuple[str, str]:
        """Propose and collect until there is nothing to do; return state and reason."""
        is_idle = False  # nothing to do until something lands: time alone only takes away
        while True:
            if control.is_cancelled:
                return "interrupted", "cancelled"
            while not (is_idle or control.is_paused) and len(self._flights) < self._engine.n_slots:
                step = self._next_step()
                if step is None:
                    is_idle = True
                else:
                    self._climb(step.trial) if isinstance(step, Promote) else self._propose()
            if not self._flights:
                is_idle = False
                reason = end_reason(self._evaluations, self._config.budget, self._purse())
                if reason is None and not self._open.has_any():
                    reason = exhausted(self._prepared.n_candidates)
                if reason is not None and self._next_step() is None:
                    return "finished", reason
                time.sleep(POLL_S)  # paused
                continue
            done, _ = wait(self._flights, timeout=POLL_S, return_when=FIRST_COMPLETED)
            is_idle = is_idle and not done
            for future in done:
                self._land(self._flights.pop(future), future.result())

    def _next_step(self) -> Step | None:
        """Return what a free worker does next; None when there is nothing."""
        may_propose = self._open.has_any() and not is_too_strict(
            self._evaluations, self._config.budget
        )
        n_rungs = len(self._rungs)
        return next_step(self._climbers(), n_rungs, self._purse(), may_propose=may_propose)

    def _climbers(self) -> list[RungTrial]:
        if len(self._rungs) == 1:  # nobody climbs
            return []
        return rung_trials(
            self._evaluations,
            self._prepared.objectives,
            self._reference,
            waiting=self._ladder.numbers(),
            running=[f.trial.number for f in self._flights.values() if f.below],
        )

    def _purse(self) -> Purse:
        return Purse(
            self._config.budget,
            self._rungs,
            self._evaluations,
            seconds=self._ledger.seconds(),
            running=[Work(f.trial.number, len(f.below)) for f in self._flights.values()],
            n_slots=self._engine.n_slots,
            n_members=len(self._front.members),
        )

    def _climb(self, number: int) -> None:
        """Train a trial that waits to its next rung."""
        w, started = self._ladder.take(number), self._clock()
        self._store.climb(w.trial, w.last.rung + 1)
        self._train_further(RunningTrial(w.trial, w.candidate, 0, started, below=w.evaluations))

    def _train_further(self, flight: RunningTrial) -> None:
        last = flight.below[-1]
        flight.measurement, flight.expected = last.measurement, last.expected
        self._emit(TrialPromoted(flight.trial.number, last.candidate, last.rung + 1))
        self._train(flight)

    def _stop_hopeless(self) -> None:
        """Stop those that wait and will not be trained further."""
        if len(self._rungs) > 1:
            self._stop(to_stop(self._climbers(), len(self._rungs), self._purse()))

    def _stop(self, numbers: list[int]) -> None:
        if numbers:
            with deferred():
                self._ladder.stop(numbers)
            self._emit(TrialsStopped(tuple(numbers)))

    def _propose(self) -> None:
        started = self._clock()
        trial = self._store.ask(self._sampler)
        candidate = self._space.suggest(trial)
        self._open.close(self._space.index(candidate))
        self._emit(TrialProposed(trial.number, candidate))
        self._start(RunningTrial(trial, candidate, 0, started))

    def _start(self, flight: RunningTrial) -> None:
        """Go on with what is known of the architecture, or have it measured."""
        architecture = flight.candidate.architecture
        known = self._known.of(architecture)
        if known is None:
            flight.expected = self._known.expected(architecture)
            self._submit(flight, self._jobs.measure(architecture))
        elif isinstance(known, Measurement):
            self._pass_gate(flight, known)
        else:
            self._finish(flight, known)

    def _land(self, flight: RunningTrial, result: Result) -> None:
        """Take the result of a flight's job and send it on its way."""
        architecture = flight.candidate.architecture
        if isinstance(result, Broken):
            failed = Failed(result.kind, result.message)
            if flight.measurement is None:
                self._known.learn(architecture, failed)
            self._finish(flight, failed)
        elif isinstance(result.value, Measurement):
            self._known.learn(architecture, result.value)
            self._costs.learn(architecture, result.value)
            self._pass_gate(flight, result.value)
        elif self._engine.isolates and isinstance(result.value, Trained):
            # Its own clock went on while a measurement held it up.
            seconds = min(result.value.seconds, result.seconds)
            self._finish(flight, replace(result.value, seconds=seconds))
        else:
            self._finish(flight, result.value)

    def _pass_gate(self, flight: RunningTrial, measurement: Measurement) -> None:
        flight.measurement = measurement
        over = exceeded(measurement, self._prepared.settings.limits)
        if over:
            self._finish(flight, Rejected(over))
            return
        self._emit(TrialMeasured(flight.trial.number, flight.candidate, measurement))
        self._train(flight)

    def _train(self, flight: RunningTrial) -> None:
        below = flight.below[-1] if flight.below else None
        job = self._jobs.train(
            flight.trial.number, flight.candidate, attempt=flight.attempt, below=below
        )
        self._submit(flight, job)

    def _finish(self, flight: RunningTrial, outcome: Outcome) -> None:
        """Record an outcome: the evaluation first, then the trial's end or its wait."""
        evaluation = Evaluation(
            trial=flight.trial.number,
            candidate=flight.candidate,
            rung=len(flight.below),
            seed=self._config.seed,
            attempt=flight.attempt,
            measurement=flight.measurement,
            outcome=outcome,
            started=flight.started,
            seconds=self._clock() - flight.started,
            expected=flight.expected,
            proposal=self._store.proposal(flight.trial),
            n_rungs=len(self._rungs),
        )
        every = (*flight.below, evaluation)
        goes_on = is_below_top(evaluation)
        with deferred():
            self._store.record(flight.trial, evaluation)
            if goes_on:
                self._ladder.wait(Waiting(flight.trial, flight.candidate, every))
                self._ladder.keep_only_state(evaluation)
            else:
                self._store.tell(flight.trial, every, self._prepared.objectives)
            if flight.below:
                self._ladder.forget_state(flight.below[-1])
            self._evaluations.append(evaluation)
            self._close(evaluation)
            self._front.add(evaluation)
            self._emit(RungFinished(evaluation) if goes_on else TrialFinished(evaluation))
        if isinstance(outcome, Trained):
            self._stop_hopeless()
        logger.info("trial %d %s: %s", evaluation.trial, evaluation.kind, evaluation.candidate.id)
        if not (isinstance(outcome, Failed) and outcome.is_remembered):
            self._ledger.check_failures(evaluation)

    def _close(self, evaluation: Evaluation) -> None:
        """Take a tried candidate, and an architecture that cannot be used, out of the space."""
        index = self._space.index(evaluation.candidate)
        self._open.close(index)
        outcome = evaluation.outcome
        is_hopeless = isinstance(outcome, Rejected) or (
            isinstance(outcome, Failed) and (outcome.is_remembered or outcome.kind in LASTING)
        )
        if is_hopeless:
            self._open.close_architecture(index)

    def _submit(self, flight: RunningTrial, job: Job) -> None:
        self._flights[self._engine.submit(job, self._emit)] = flight

    def _emit(self, event: Event) -> None:
        for follower in self._followers:
            follower(event)
