"""The jobs of a study, made from what it was prepared with."""

from __future__ import annotations

from archfront.search.engine.jobs import Broken, Done, Engine, Job, Result
from archfront.search.engine.second_try import result_of
from archfront.search.jobs.perform import MeasureRequest, TrainRequest
from archfront.search.latency.lookup import CostLookup
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation, Failed, Measurement, Trained
from archfront.search.records.paths import StudyPaths
from archfront.trainers.spec import Architecture, Precision


class JobFactory:
    """The factory of a study's jobs.

    Args:
        prepared: The study.
        paths: Its files.
        precision: The precision of its trainings.
    """

    def __init__(self, prepared: Prepared, paths: StudyPaths, precision: Precision) -> None:
        self._prepared, self._settings, self._paths = prepared, prepared.settings, paths
        self._precision: Precision = precision

    def measure(self, architecture: Architecture) -> Job:
        """Return the job of measuring an architecture."""
        request = MeasureRequest(architecture, self._settings.measure, self._paths.measuring)
        return self._settings.limited(Job("measure", request, is_exclusive=True))

    def train(
        self, trial: int, candidate: Candidate, *, attempt: int, below: Evaluation | None
    ) -> Job:
        """Return the job of training a candidate to its next rung.

        Args:
            trial: Number of the trial.
            candidate: The candidate of the trial.
            attempt: Number of earlier attempts, during which a driver died.
            below: Evaluation of the rung below; None for the lowest.
        """
        rung, resume = 0, None
        if below is not None:
            assert isinstance(below.outcome, Trained)
            assert below.outcome.resume is not None, "a trial below the top goes on"
            rung, resume = below.rung + 1, self._paths.folder / below.outcome.resume
        request = TrainRequest(
            trial=trial,
            candidate=candidate,
            data=self._prepared.data,
            settings=self._settings.training(rung, self._precision),
            study_folder=self._paths.folder,
            folder=self._paths.trial(trial, attempt, rung),
            resume=resume,
            is_full_only=self._settings.plan.is_full_only,
        )
        return self._settings.limited(Job("train", request))

    def measure_now(self, architecture: Architecture, known: CostLookup, engine: Engine) -> Result:
        """Measure an architecture outside of a trial, unless it is known.

        Raises:
            StudyStoppedError: If the machine fails twice.
        """
        answer = known.lookup(architecture)
        if isinstance(answer, Measurement):
            return Done(answer, 0.0)
        if isinstance(answer, Failed):
            return Broken(answer.kind, answer.message, 0.0)
        result = result_of(engine, self.measure(architecture))
        if isinstance(result, Done):
            known.learn(architecture, result.value)
        else:
            known.learn(architecture, Failed(result.kind, result.message))
        return result
