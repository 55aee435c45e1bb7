"""The functions that perform a worker's jobs: pure functions of the job's payload."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from archfront.search.engine.jobs import Job
from archfront.search.engine.worker import emit, exclusive
from archfront.search.front.intervals import kept_interval
from archfront.search.jobs.step_times import OwnSteps, steps
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.measure import measure_architecture
from archfront.search.latency.tiled import of_image
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Fidelity, Measurement, Trained
from archfront.search.records.events import EpochFinished, Noticed, WeightsFetched
from archfront.search.records.fold_scores import FoldScore
from archfront.search.records.paths import DETAILS, MISTAKES
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import StateError
from archfront.trainers.networks.found_weights import Resolution
from archfront.trainers.spec import Architecture, EpochRow, TrainSettings
from archfront.trainers.tasks import TASKS


@dataclass(frozen=True)
class MeasureRequest:
    """The request to build, export and measure an architecture.

    Attributes:
        architecture: The architecture to build.
        settings: The settings of the measurement.
        folder: For files in between.
        weights: Trained weights; None for drawn ones.
    """

    architecture: Architecture
    settings: MeasureSettings
    folder: Path
    weights: Path | None = None


@dataclass(frozen=True)
class TrainRequest:
    """The request to train a candidate of a study.

    Attributes:
        trial: Number of the trial, for its events.
        candidate: The candidate to train.
        data: The data to train on.
        settings: The settings of the training.
        study_folder: Folder to which recorded paths are relative.
        folder: Folder below it for predictions and weights.
        resume: State of the rung below to resume from; None for the lowest rung.
        own_steps: What the epochs follow from where the candidate's own steps decide them; None
            for those of the settings.
        is_full_only: Whether only full trainings join the front, so that no fidelity is recorded.
    """

    trial: int
    candidate: Candidate
    data: DataRef
    settings: TrainSettings
    study_folder: Path
    folder: Path
    resume: Path | None = None
    own_steps: OwnSteps | None = None
    is_full_only: bool = False


@dataclass(frozen=True)
class FoldRequest:
    """The request to train a candidate on all folds but one, and to judge it on that one.

    Attributes:
        candidate: The candidate to train.
        data: The data, with the fold.
        settings: The settings of the training.
        study_folder: Folder to which recorded paths are relative.
        folder: Folder below it, of which only the predictions stay.
    """

    candidate: Candidate
    data: DataRef
    settings: TrainSettings
    study_folder: Path
    folder: Path


@dataclass(frozen=True)
class ScoreRequest:
    """The request to score the saved weights of a trained candidate on a split."""

    candidate: Candidate
    data: DataRef
    weights: Path
    split: str
    threads: int


@dataclass(frozen=True)
class DrawRequest:
    """The request to draw a trained candidate's predictions of some validation images.

    Attributes:
        architecture: The architecture of the candidate.
        data: The data that it was trained on.
        predictions: File of its saved predictions.
        file: Picture to write.
        seed: Decides which images; the same for a whole study, so that pictures compare.
    """

    architecture: Architecture
    data: DataRef
    predictions: Path
    file: Path
    seed: int


@dataclass(frozen=True)
class WeightsRequest:
    """The request to find the weights of backbones and to compare them with their networks.

    Attributes:
        names: The backbones.
        source: ``pretrained`` or a folder.
        channels: Channels of the images.
    """

    names: tuple[str, ...]
    source: str
    channels: int


# Of a file that is fetched, this share at a time is told.
TOLD_SHARE = 0.05
# The modules that a training and a measurement import, which takes seconds.
TRAINING_IMPORTS = ("archfront.trainers.training.proxy",)
MEASURING_IMPORTS = (
    "archfront.trainers.networks.checkpoint",
    "archfront.trainers.networks.count",
    "archfront.trainers.networks.classifiers",
)


def perform(job: Job) -> Any:
    """Return the result of a job; the engine reports any exception."""
    return JOBS[job.kind](job.payload)


def measure(request: MeasureRequest) -> Measurement:
    """Return the costs of an architecture on this device, for an image."""
    request.folder.mkdir(parents=True, exist_ok=True)
    measured = measure_architecture(
        request.architecture,
        request.settings,
        folder=request.folder,
        weights=request.weights,
        exclusive=exclusive,
    )
    return of_image(measured, request.settings.tiles)


def train(request: TrainRequest) -> Trained:
    """Return the outcome of a training, with the interval of its metric."""
    from archfront.trainers.training import proxy

    candidate, settings = request.candidate, request.settings
    if request.own_steps is not None:
        settings = request.own_steps.fitted(settings)

    def report(row: EpochRow) -> None:
        emit(EpochFinished(request.trial, row.epoch, row.metrics))

    _fetch_weights(request)
    trained = partial(
        proxy.train,
        candidate.architecture,
        candidate.weights,
        candidate.recipe,
        request.data,
        settings,
        folder=request.folder,
        on_epoch=report,
    )
    try:
        result = trained(resume=request.resume)
    except StateError as error:  # from the start the same training comes to the same bits
        emit(Noticed(f"trial {request.trial} is trained from its start: {error}"))
        result = trained(resume=None)
    resume = result.resume
    rng = np.random.default_rng([settings.seed, int(candidate.id, 16)])
    task = TASKS[candidate.architecture.task]
    value = result.metrics[settings.metric]
    low, high = kept_interval(task, settings.metric, result.predictions, value=value, rng=rng)
    return Trained(
        metric=value,
        metric_low=low,
        metric_high=high,
        metrics=result.metrics,
        curve=tuple(asdict(row) for row in result.curve),
        seconds=result.seconds,
        predictions=str(result.predictions.relative_to(request.study_folder)),
        weights=str(result.weights.relative_to(request.study_folder)),
        resume=None if resume is None else str(resume.relative_to(request.study_folder)),
        micro_batch=result.micro_batch,
        fidelity=None
        if request.is_full_only
        else Fidelity(settings.until_epoch, settings.horizon, settings.share, result.kept_epoch),
        knn=result.knn,
    )


def fold(request: FoldRequest) -> FoldScore:
    """Return the score of a candidate on a fold, trained anew on the others."""
    from archfront.trainers.data import load
    from archfront.trainers.training import proxy

    candidate, settings, started = request.candidate, request.settings, time.perf_counter()
    result = proxy.train(
        candidate.architecture,
        candidate.weights,
        candidate.recipe,
        request.data,
        settings,
        folder=request.folder,
    )
    for file in (result.weights, result.resume):
        if file is not None:
            file.unlink(missing_ok=True)
    return FoldScore(
        metric=result.metrics[settings.metric],
        n_images=len(load(request.data).splits["val"]),
        seconds=time.perf_counter() - started,
        predictions=str(result.predictions.relative_to(request.study_folder)),
    )


def _fetch_weights(request: TrainRequest) -> None:
    """Fetch the first weights that were not on this machine when the study began."""
    weights, name = request.candidate.weights, request.candidate.architecture.backbone
    if weights.source != "pretrained" or weights.path is not None:
        return
    from archfront.trainers.networks.hub_files import fetched_when_needed

    told = 0.0

    def meter(mb: float, of_mb: float) -> None:
        nonlocal told
        if mb >= of_mb or mb - told >= of_mb * TOLD_SHARE:
            told = mb
            emit(WeightsFetched(request.trial, name, mb, of_mb))

    fetched_when_needed(name, meter)


def score(request: ScoreRequest) -> dict[str, float]:
    """Return every metric of a trained candidate on a split."""
    from archfront.trainers.training.scoring import score

    metrics, _ = score(
        request.candidate.architecture,
        request.weights,
        request.data,
        split=request.split,
        preprocess_of=request.candidate.weights,
        threads=request.threads,
    )
    return metrics


def draw(request: DrawRequest) -> str:
    """Return the path of the picture that was drawn, with its worst images beside it."""
    from archfront.trainers.drawing.gallery import judged, write_gallery, write_mistakes

    said = judged(request.architecture, request.data, request.predictions)
    file = write_gallery(said, request.file, seed=request.seed)
    worst, details = (request.file.with_name(name) for name in (MISTAKES, DETAILS))
    write_mistakes(said, worst, details)
    return str(file)


def weights(request: WeightsRequest) -> Resolution:
    """Return the weights of backbones that are on this machine."""
    from archfront.trainers.networks.weights import resolve

    return resolve(request.names, request.source, channels=request.channels)


JOBS: dict[str, Callable[[Any], Any]] = {
    "measure": measure,
    "train": train,
    "fold": fold,
    "score": score,
    "draw": draw,
    "steps": steps,
    "weights": weights,
}
