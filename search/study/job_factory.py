"""The jobs of a study, made from what it was prepared with."""

from __future__ import annotations

from dataclasses import replace

from archfront.search.engine.jobs import Broken, Done, Engine, Job, Result
from archfront.search.engine.second_try import result_of
from archfront.search.jobs.perform import FoldRequest, MeasureRequest, TrainRequest
from archfront.search.latency.lookup import CostLookup
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation, Failed, Measurement, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.study.planning import own_steps
from archfront.trainers.spec import Architecture, Precision, TrainSettings


class JobFactory:
    """The factory of a study's jobs.

    Args:
        prepared: The study.
        paths: Its files.
        precision: The precision of its trainings.

    Attributes:
        paths: The same.
        precision: The same.
    """

    def __init__(self, prepared: Prepared, paths: StudyPaths, precision: Precision) -> None:
        self._prepared, self._settings, self.paths = prepared, prepared.settings, paths
        self.precision: Precision = precision

    def measure(self, architecture: Architecture) -> Job:
        """Return the job of measuring an architecture."""
        request = MeasureRequest(architecture, self._settings.measure, self.paths.measuring)
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
        rung, full, resume = 0, None, None
        if below is not None:
            assert isinstance(below.outcome, Trained)
            assert below.outcome.resume is not None, "a trial below the top goes on"
            rung, resume = below.rung + 1, self.paths.folder / below.outcome.resume
            full = _full_epochs(below.outcome)
        request = TrainRequest(
            trial=trial,
            candidate=candidate,
            data=self._prepared.data,
            settings=self._training(candidate, rung, full),
            study_folder=self.paths.folder,
            folder=self.paths.trial(trial, attempt, rung),
            resume=resume,
            own_steps=own_steps(self._prepared, candidate) if below is None else None,
            is_full_only=self._settings.plan.is_full_only,
        )
        return self._settings.limited(Job("train", request))

    def fold(self, evaluation: Evaluation, fold: int, n_folds: int) -> Job:
        """Return the job of judging a member on a fold, trained on the others as it was.

        Args:
            evaluation: Of the member.
            fold: Number of the fold, from 0.
            n_folds: How many there are.
        """
        assert isinstance(evaluation.outcome, Trained)
        fidelity, settings = evaluation.outcome.fidelity, self._settings
        full = _full_epochs(evaluation.outcome)
        training = self._training(evaluation.candidate, evaluation.rung, full)
        if fidelity is not None and fidelity.kept_epoch == 0:
            training = replace(training, until_epoch=0)
        request = FoldRequest(
            candidate=evaluation.candidate,
            data=replace(self._prepared.data, fold=(fold, n_folds)),
            settings=training,
            study_folder=self.paths.folder,
            folder=self.paths.fold(evaluation.trial, evaluation.rung, fold),
        )
        return settings.limited(Job("fold", request))

    def _training(self, candidate: Candidate, rung: int, full: int | None) -> TrainSettings:
        """Return the settings of a candidate's training to a rung.

        Args:
            candidate: The candidate.
            rung: Number of the rung, 0 the lowest.
            full: Epochs of its full training, where they are recorded.
        """
        space = self._prepared.space
        work = space.step_s[space.architecture_number(candidate.architecture)]
        rungs = self._settings.plan.rungs_of(float(work), full)
        return self._settings.training(rungs[rung], rungs[-1], self.precision)

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


def _full_epochs(trained: Trained) -> int | None:
    """Return the epochs of a full training of the candidate; None where they are not recorded."""
    return None if trained.fidelity is None else trained.fidelity.horizon
