"""A trial at work in a run of a study."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from archfront.search.engine.jobs import Job, Result
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation, Measurement, Outcome, Prediction
from archfront.search.records.proposal import Proposal


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
        n_again: Measurements after the first one, which other work disturbed.
        job: The job that runs for it.
        is_second_try: Whether this job is done once more, after the machine failed.
        n_lost: Nodes that were lost while they ran this job.
        trained_on: Node of the cluster that trained it; None on this machine.
        measured_on: The same of its measurement.
    """

    trial: Any
    candidate: Candidate
    attempt: int
    started: float
    measurement: Measurement | None = None
    expected: Prediction | None = None
    below: tuple[Evaluation, ...] = ()
    n_again: int = 0
    job: Job | None = None
    is_second_try: bool = False
    n_lost: int = 0
    trained_on: str | None = None
    measured_on: str | None = None

    @cached_property
    def number(self) -> int:
        """Return the number of the trial, for which the storage is asked once."""
        number: int = self.trial.number
        return number

    def take_costs(self, last: Evaluation) -> None:
        """Take over what was measured for the rung below."""
        self.measurement, self.expected = last.measurement, last.expected
        self.measured_on = last.measured_on

    def begin(self, job: Job) -> None:
        """Take down the job that runs from now on, which may be the same once more."""
        if job is not self.job:
            self.is_second_try, self.n_lost = False, 0
        self.job = job

    def note_node(self, result: Result) -> None:
        """Take down on which node of a cluster the job ran."""
        if self.job is not None and self.job.is_exclusive:
            self.measured_on = result.node
        else:
            self.trained_on = result.node

    def evaluation(
        self, outcome: Outcome, prepared: Prepared, *, now: float, proposal: Proposal | None
    ) -> Evaluation:
        """Return the record of an outcome of the trial.

        Args:
            outcome: The outcome.
            prepared: The study.
            now: Seconds since the epoch.
            proposal: Why the candidate was proposed.
        """
        return Evaluation(
            trial=self.number,
            candidate=self.candidate,
            rung=len(self.below),
            seed=prepared.config.seed,
            attempt=self.attempt,
            measurement=self.measurement,
            outcome=outcome,
            started=self.started,
            seconds=now - self.started,
            expected=self.expected,
            proposal=proposal,
            n_rungs=len(prepared.settings.rungs),
            trained_on=self.trained_on,
            measured_on=self.measured_on,
        )
