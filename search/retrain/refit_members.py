"""The refit of a front's members: every (member, seed) is trained in full, one after the other."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from archfront.search.errors import ConfigError
from archfront.search.front.intervals import kept_interval
from archfront.search.prepare.recorded import Study, dataset_of
from archfront.search.records.evaluation import Trained
from archfront.search.records.plan import Plan
from archfront.search.records.refit_records import TIMES, Refit
from archfront.search.results.refit_results import RECORD, folder_of
from archfront.search.results.results import Results
from archfront.search.results.select_members import aliases, evaluation_of
from archfront.trainers.errors import DamagedError
from archfront.trainers.sums import check_sum
from archfront.trainers.tasks import TASKS

if TYPE_CHECKING:
    from archfront.trainers.spec import EpochRow
    from archfront.trainers.training.full import FullSettings, Teacher

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefitRequest:
    """The request of a refit.

    Attributes:
        trials: Trials of the members.
        epochs: Epochs of each full training; ``TIMES`` those of its own search when None.
        seeds: Number of the full trainings of each member.
        full: Average, patience, share of the teacher.
        is_taught: Whether the best member teaches the others.
    """

    trials: tuple[int, ...]
    epochs: int | None
    seeds: int
    full: FullSettings
    is_taught: bool = False


@dataclass(frozen=True)
class FullTraining:
    """One full training of a refit.

    Attributes:
        trial: Number of the trial.
        seed: Seed of the training.
        question: Its settings, by which a record of the same training is recognized.
        done: The record, if the training was made already.
        teacher: Trial of the member that teaches; None for none.
    """

    trial: int
    seed: int
    question: dict[str, Any] = field(hash=False)
    done: Refit | None
    teacher: int | None

    @property
    def epochs(self) -> int:
        """Return the epochs of the training."""
        return int(self.question["epochs"])


def searched_epochs(results: Results, plan: Plan, trial: int) -> int:
    """Return the passes over all training images that a full training of the search makes.

    Args:
        results: The study's records.
        plan: Its plan.
        trial: The trial, whose network may have epochs of its own.
    """
    outcome = evaluation_of(results, trial).outcome
    assert isinstance(outcome, Trained)
    horizon = plan.horizon if outcome.fidelity is None else outcome.fidelity.horizon
    return math.ceil(horizon * plan.share)


def steps_of(results: Results, study: Study, request: RefitRequest) -> list[FullTraining]:
    """Return every full training of a request, those of a teacher first.

    A training with a record of the same settings is done, unless its weights are damaged.

    Raises:
        ConfigError: If networks of this task cannot be taught.
    """
    from archfront.trainers.training.full import TAUGHT

    best = aliases(results.front())["best"] if request.is_taught else None
    if best is not None and study.config.task.name not in TAUGHT:
        raise ConfigError(
            "--distill: only networks with a logit per class can be taught "
            f"({', '.join(TAUGHT)}); the study's task is {study.config.task.name}. Leave it out."
        )
    trials = list(request.trials)
    if best is not None:
        trials = [best, *(trial for trial in trials if trial != best)]
    steps = []
    for trial in trials:
        # A head over features that are computed once has nothing to learn from other outputs.
        is_frozen = evaluation_of(results, trial).candidate.recipe.freeze
        teacher = None if best is None or trial == best or is_frozen else best
        for k in range(request.seeds):
            seed = study.config.seed + k
            epochs = request.epochs or TIMES * searched_epochs(
                results, study.header.trainings, trial
            )
            question = _question(results, request, epochs, teacher)
            found = Refit.read(folder_of(results, trial, seed) / RECORD)
            done = found if found is not None and found.question == question else None
            if done is not None and not _is_kept(results, done):
                done = None
            steps.append(FullTraining(trial, seed, question, done, teacher))
    return steps


def refit(
    results: Results,
    study: Study,
    request: RefitRequest,
    on_epoch: Callable[[FullTraining, EpochRow], None] = lambda step, row: None,
) -> Iterator[tuple[FullTraining, Refit]]:
    """Yield every full training of a request with its record, once it is made.

    After an interruption the same call goes on with the one that was not finished.

    Args:
        results: The study's records.
        study: The recorded study.
        request: The request.
        on_epoch: Called after every epoch.

    Raises:
        StudyError: If the dataset is no longer that of the study.
        ConfigError: Like ``steps_of``.
        DivergedError: If a loss is no finite number.
    """
    steps = steps_of(results, study, request)
    if any(step.done is None for step in steps):
        dataset_of(study)
    for step in steps:
        if step.done is not None:
            yield step, step.done
            continue
        yield step, _trained(results, study, request, step, on_epoch)


def _is_kept(results: Results, refit: Refit) -> bool:
    """Return whether the weights of a full training are there as they were written."""
    weights = results.paths.folder / refit.weights
    try:
        check_sum(weights)
    except DamagedError as error:
        logger.warning("Trial %d is trained again: %s", refit.trial, error)
        return False
    return weights.is_file()


def _question(
    results: Results, request: RefitRequest, epochs: int, teacher: int | None
) -> dict[str, Any]:
    full = asdict(request.full)
    if teacher is None:
        del full["teaching"]
        return {"epochs": epochs, **full, "teacher": None}
    taught_by = evaluation_of(results, teacher).candidate.id
    return {"epochs": epochs, **full, "teacher": taught_by}


def _trained(
    results: Results,
    study: Study,
    request: RefitRequest,
    step: FullTraining,
    on_epoch: Callable[[FullTraining, EpochRow], None],
) -> Refit:
    from archfront.trainers.training.full import train_full

    candidate = evaluation_of(results, step.trial).candidate
    settings = replace(
        study.train_settings,
        until_epoch=step.epochs,
        horizon=step.epochs,
        seed=step.seed,
        share=1.0,
    )
    splits = ("val", "test") if "test" in study.header.dataset.splits else ("val",)
    folder = folder_of(results, step.trial, step.seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    found = train_full(
        candidate.architecture,
        candidate.weights,
        candidate.recipe,
        study.data,
        settings,
        request.full,
        folder=folder,
        teacher=None if step.teacher is None else _teacher(results, study, step.teacher),
        splits=splits,
        on_epoch=lambda row: on_epoch(step, row),
    )
    task, metric = TASKS[study.config.task.name], settings.metric
    intervals = {
        split: kept_interval(
            task,
            metric,
            file,
            value=found.metrics[split][metric],
            rng=np.random.default_rng([step.seed, step.trial]),
        )
        for split, file in found.predictions.items()
    }
    base = results.paths.folder
    record = Refit(
        trial=step.trial,
        candidate_id=candidate.id,
        seed=step.seed,
        question=step.question,
        metrics=found.metrics,
        intervals=intervals,
        best_epoch=found.best_epoch,
        curve=tuple(asdict(row) for row in found.training.curve),
        seconds=found.training.seconds,
        weights=str(found.training.weights.relative_to(base)),
        predictions={s: str(file.relative_to(base)) for s, file in found.predictions.items()},
    )
    record.write(folder / RECORD)
    return record


def _teacher(results: Results, study: Study, trial: int) -> Teacher:
    from archfront.trainers.training.full import Teacher

    candidate = evaluation_of(results, trial).candidate
    record = Refit.read(folder_of(results, trial, study.config.seed) / RECORD)
    assert record is not None, "the teacher's steps come first"
    return Teacher(
        candidate.architecture, results.paths.folder / record.weights, candidate.weights
    )
