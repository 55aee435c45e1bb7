"""What the workers of a study are asked to do: its jobs, made from the configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from archfront.search.config.settings import measure_settings, train_settings
from archfront.search.engine.jobs import Broken, Done, Engine, Job, Result
from archfront.search.jobs.perform import (
    TRIAL_TIMEOUT_TEXT,
    MeasureRequest,
    ProbeRequest,
    TrainRequest,
)
from archfront.search.latency.lookup import CostLookup
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Evaluation, Failed, Measurement, Trained
from archfront.search.records.events import Event, Noticed
from archfront.search.records.paths import StudyPaths
from archfront.trainers.spec import Precision, TrainSettings


class JobFactory:
    """Makes the jobs of a study.

    Args:
        prepared: The study.
        places: Its files.
        rungs: Epochs of each rung.
    """

    def __init__(self, prepared: Prepared, places: StudyPaths, rungs: tuple[int, ...]) -> None:
        self._prepared, self._config = prepared, prepared.config
        self._places, self._rungs = places, rungs
        self.precision: Precision = "fp32"

    def measure(self, index: int) -> Job:
        """Return the job of measuring a candidate's architecture."""
        request = MeasureRequest(
            self._prepared.space.at(index).architecture,
            measure_settings(self._config),
            self._places.measuring,
        )
        return self._limited(Job("measure", request, is_exclusive=True))

    def train(self, trial: int, index: int, attempt: int, below: Evaluation | None) -> Job:
        """Return the job of training a candidate to its next rung.

        Args:
            trial: Its number.
            index: The candidate.
            attempt: Counts up when a driver died during one.
            below: What the rung below gave; None for the lowest.
        """
        rung, resume = 0, None
        if below is not None:
            assert isinstance(below.outcome, Trained)
            assert below.outcome.resume is not None, "a trial below the top goes on"
            rung, resume = below.rung + 1, self._places.folder / below.outcome.resume
        request = TrainRequest(
            trial=trial,
            candidate=self._prepared.space.at(index),
            data=self._prepared.data,
            settings=self._settings(self._rungs[rung]),
            study_folder=self._places.folder,
            folder=self._places.trial(trial, attempt, rung),
            resume=resume,
        )
        return self._limited(Job("train", request))

    def measure_now(self, index: int, known: CostLookup, engine: Engine) -> Result:
        """Measure an architecture outside of a trial, unless it is known."""
        architecture = self._prepared.space.at(index).architecture
        answer = known.of(architecture)
        if isinstance(answer, Measurement):
            return Done(answer, 0.0)
        if isinstance(answer, Failed):
            return Broken(answer.kind, answer.message, 0.0)
        result = engine.submit(self.measure(index)).result()
        if isinstance(result, Done):
            known.learn(architecture, result.value)
        else:
            known.learn(architecture, Failed(result.kind, result.message))
        return result

    def choose_precision(self, engine: Engine, emit: Callable[[Event], None]) -> Precision:
        """Return the precision to train in: as asked for, or the faster one."""
        asked = self._config.engine.precision
        if asked != "auto":
            return asked
        candidate = self._prepared.space.at(self._prepared.space.size // 2)
        request = ProbeRequest(candidate, self._settings(self._rungs[-1]))
        result = engine.submit(Job("probe", request)).result()
        if isinstance(result, Broken):
            emit(Noticed(f"precision stays fp32, the probe failed: {result.message}"))
            return "fp32"
        precision: Precision = result.value
        return precision

    def _settings(self, until_epoch: int) -> TrainSettings:
        counts = list(self._prepared.dataset["splits"]["train"]["per_class"].values())
        return train_settings(self._config, self.precision, counts, until_epoch=until_epoch)

    def _limited(self, job: Job) -> Job:
        """Return a job with the time limit of a trial."""
        minutes = self._config.budget.trial_minutes
        if minutes is None:
            return job
        return replace(job, timeout_s=minutes * 60, timeout_text=TRIAL_TIMEOUT_TEXT)
