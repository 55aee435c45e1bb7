"""One run of a study's loop: from what is recorded to what is recorded next."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from search.budget import Ledger, end_reason, exhausted
from search.control import Control
from search.costs import Costs
from search.engine.jobs import Broken, Done, Engine, Job, Result
from search.errors import StudyError
from search.evaluate import MeasureRequest, ProbeRequest, TrainRequest
from search.events import (
    Event,
    Follower,
    Noticed,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialMeasured,
    TrialProposed,
)
from search.finale import Finale
from search.front import Reference, build_front
from search.gate import exceeded
from search.interrupts import deferred
from search.known import LASTING, Known
from search.places import Places
from search.prepare import Prepared
from search.records import (
    Evaluation,
    Failed,
    Measurement,
    Outcome,
    Prediction,
    Rejected,
    Trained,
)
from search.reference import find_reference
from search.samplers import SAMPLERS
from search.samplers.proposal import OpenCandidates
from search.samplers.request import Request
from search.settings import measure_settings, train_settings
from search.storage import StudyStore
from trainers.spec import Precision, TrainSettings

logger = logging.getLogger(__name__)

# A candidate during which the driver itself died this often is given up.
MAX_ATTEMPTS = 3
# Seconds between looks at the control while jobs run.
POLL_S = 0.2


@dataclass
class _Flight:
    """A trial on its way to its outcome."""

    trial: Any
    index: int
    attempt: int
    started: float
    measurement: Measurement | None = None
    expected: Prediction | None = None


class Driver:
    """One run of the loop."""

    def __init__(
        self,
        prepared: Prepared,
        store: StudyStore,
        engine: Engine,
        known: Known,
        places: Places,
        followers: Iterable[Follower],
        clock: Callable[[], float],
    ) -> None:
        self._prepared, self._config, self._space = prepared, prepared.config, prepared.space
        self._store, self._engine, self._known = store, engine, known
        self._places, self._followers, self._clock = places, tuple(followers), clock
        self._evaluations = store.evaluations()
        self._ledger = Ledger(self._config.budget, self._evaluations, clock)
        self._open = OpenCandidates(self._space)
        self._flights: dict[Future[Result], _Flight] = {}
        self._front: list[Evaluation] = []
        self._precision: Precision = "fp32"

    def run(self, control: Control) -> tuple[str, str]:
        """Run to the end, which is recorded whatever it is; return state and reason."""
        header = self._begin()
        self._emit(
            StudyStarted(
                self._config.study, header, tuple(self._evaluations), self._engine.isolates
            )
        )
        self._store.write_state("running", "")
        state, reason = "failed", "an error in the driver"
        try:
            self._recover()
            state, reason = self._loop(control)
            if state == "finished":
                finale = Finale(
                    self._prepared, self._store, self._engine, self._places, self._emit
                )
                finale.perform(self._front)
        except KeyboardInterrupt:
            state, reason = "interrupted", "interrupted from the keyboard"
        except StudyError as error:
            reason = str(error)
            raise
        finally:
            self._store.write_state(state, reason, is_exhausted=not self._open.has_any())
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
            header["reference"] = find_reference(self._prepared, self._measure_now).as_dict()
            header["precision"] = self._choose_precision()
            self._store.write_header(header)
        self._precision = header["precision"]
        self._prepare_sampler(Reference(header["reference"]))
        return header

    def _prepare_sampler(self, reference: Reference) -> None:
        """Make what proposes, with all that is known of the costs."""
        config = self._config
        self._costs = Costs(
            self._space,
            self._known,
            self._prepared.objectives,
            asdict(config.hardware.limits),
            reference,
        )
        for evaluation in self._evaluations:
            if evaluation.measurement is not None:
                self._costs.learn(evaluation.candidate.architecture, evaluation.measurement)
        request = Request(
            candidates=self._open,
            seed=config.seed,
            startup=config.sampler.startup,
            costs=self._costs,
            reference=reference,
            is_timed=config.budget.trials is None,
        )
        self._sampler = SAMPLERS[config.sampler.name](request)

    def _recover(self) -> None:
        """Close what cannot be or was tried, and take up the trials that a dead driver left."""
        for architecture in self._prepared.holes:
            number = self._space.architecture_number(architecture)
            self._open.close_architecture(number * len(self._space.recipes))
        for evaluation in self._evaluations:
            self._close(evaluation)
            self._update_front(evaluation)
        for frozen in self._store.in_flight():
            written = self._store.recorded(frozen)
            trial = self._store.trial(frozen, self._sampler)
            if written is not None:
                self._store.tell(trial, written, self._prepared.objectives)
                continue
            index = self._space.index(self._space.suggest(trial))
            self._open.close(index)
            attempt = self._store.attempts(frozen) + 1
            self._store.begin(trial, attempt)
            flight = _Flight(trial, index, attempt, self._clock())
            if attempt >= MAX_ATTEMPTS:
                message = f"the driver died {attempt} times while this candidate was in flight"
                self._finish(flight, Failed("crash", message))
            else:
                self._start(flight)

    def _loop(self, control: Control) -> tuple[str, str]:
        """Propose and collect until there is nothing to do; return state and reason."""
        while True:
            if control.is_cancelled:
                return "interrupted", "cancelled"
            while not control.is_paused and self._may_propose():
                self._propose()
            if not self._flights:
                reason = end_reason(self._evaluations, self._config.budget, self._ledger.seconds())
                if reason is None and not self._open.has_any():
                    reason = exhausted(self._prepared.n_candidates)
                if reason is not None:
                    return "finished", reason
                time.sleep(POLL_S)  # paused
                continue
            done, _ = wait(self._flights, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                self._land(self._flights.pop(future), future.result())

    def _may_propose(self) -> bool:
        return (
            len(self._flights) < self._engine.n_slots
            and self._ledger.has_room(self._evaluations, len(self._flights))
            and self._open.has_any()
        )

    def _propose(self) -> None:
        started = self._clock()
        trial = self._store.ask(self._sampler)
        candidate = self._space.suggest(trial)
        index = self._space.index(candidate)
        self._open.close(index)
        self._emit(TrialProposed(trial.number, candidate))
        self._start(_Flight(trial, index, 0, started))

    def _start(self, flight: _Flight) -> None:
        """Go on with what is known of the architecture, or have it measured."""
        architecture = self._space.at(flight.index).architecture
        known = self._known.of(architecture)
        if known is None:
            flight.expected = self._known.expected(architecture)
            self._submit(flight, self._measure_job(flight.index))
        elif isinstance(known, Measurement):
            self._pass_gate(flight, known)
        else:
            self._finish(flight, known)

    def _land(self, flight: _Flight, result: Result) -> None:
        """Take the result of a flight's job and send it on its way."""
        architecture = self._space.at(flight.index).architecture
        if isinstance(result, Broken):
            failed = Failed(result.kind, result.message)
            if flight.measurement is None:
                self._known.learn(architecture, failed)
            self._finish(flight, failed)
        elif isinstance(result.value, Measurement):
            self._known.learn(architecture, result.value)
            self._costs.learn(architecture, result.value)
            self._pass_gate(flight, result.value)
        else:
            self._finish(flight, result.value)

    def _pass_gate(self, flight: _Flight, measurement: Measurement) -> None:
        flight.measurement = measurement
        over = exceeded(measurement, self._config.hardware.limits)
        if over:
            self._finish(flight, Rejected(over))
            return
        candidate = self._space.at(flight.index)
        self._emit(TrialMeasured(flight.trial.number, candidate, measurement))
        request = TrainRequest(
            trial=flight.trial.number,
            candidate=candidate,
            data=self._prepared.data,
            settings=self._train_settings(),
            study_folder=self._places.folder,
            folder=self._places.trial(flight.trial.number, flight.attempt),
        )
        self._submit(flight, Job("train", request, timeout_s=self._timeout_s()))

    def _finish(self, flight: _Flight, outcome: Outcome) -> None:
        """Record an outcome: the evaluation first, then the trial's end."""
        evaluation = Evaluation(
            trial=flight.trial.number,
            candidate=self._space.at(flight.index),
            rung=0,
            seed=self._config.seed,
            attempt=flight.attempt,
            measurement=flight.measurement,
            outcome=outcome,
            started=flight.started,
            seconds=self._clock() - flight.started,
            expected=flight.expected,
            proposal=self._store.proposal(flight.trial),
        )
        with deferred():
            self._store.record(flight.trial, evaluation)
            self._store.tell(flight.trial, evaluation, self._prepared.objectives)
            self._evaluations.append(evaluation)
            self._close(evaluation)
            self._update_front(evaluation)
            self._emit(TrialFinished(evaluation))
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

    def _update_front(self, evaluation: Evaluation) -> None:
        """Keep the weights of the front's members only; a dominated trial never returns to it."""
        if not isinstance(evaluation.outcome, Trained):
            return
        before = [*self._front, evaluation]
        members = {m.trial for m in build_front(before, self._prepared.objectives)}
        self._front = [e for e in before if e.trial in members]
        for left in before:
            if left.trial not in members:
                assert isinstance(left.outcome, Trained)
                (self._places.folder / left.outcome.weights).unlink(missing_ok=True)

    def _measure_now(self, index: int) -> Result:
        """Measure an architecture outside of a trial, unless it is known."""
        architecture = self._space.at(index).architecture
        known = self._known.of(architecture)
        if isinstance(known, Measurement):
            return Done(known, 0.0)
        if isinstance(known, Failed):
            return Broken(known.kind, known.message, 0.0)
        result = self._engine.submit(self._measure_job(index)).result()
        if isinstance(result, Done):
            self._known.learn(architecture, result.value)
        else:
            self._known.learn(architecture, Failed(result.kind, result.message))
        return result

    def _choose_precision(self) -> Precision:
        asked = self._config.engine.precision
        if asked != "auto":
            return asked
        candidate = self._space.at(self._space.size // 2)
        request = ProbeRequest(candidate, self._train_settings())
        result = self._engine.submit(Job("probe", request)).result()
        if isinstance(result, Broken):
            self._emit(Noticed(f"precision stays fp32, the probe failed: {result.message}"))
            return "fp32"
        precision: Precision = result.value
        return precision

    def _train_settings(self) -> TrainSettings:
        counts = list(self._prepared.dataset["splits"]["train"]["per_class"].values())
        return train_settings(self._config, self._precision, counts)

    def _submit(self, flight: _Flight, job: Job) -> None:
        self._flights[self._engine.submit(job, self._emit)] = flight

    def _measure_job(self, index: int) -> Job:
        request = MeasureRequest(
            self._space.at(index).architecture,
            measure_settings(self._config),
            self._places.folder / "measuring",
        )
        return Job("measure", request, is_exclusive=True, timeout_s=self._timeout_s())

    def _timeout_s(self) -> float | None:
        minutes = self._config.budget.trial_minutes
        return None if minutes is None else minutes * 60

    def _emit(self, event: Event) -> None:
        for follower in self._followers:
            follower(event)
