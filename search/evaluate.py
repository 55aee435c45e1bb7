"""What a worker does with a job: pure functions of their payload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.candidate import Candidate
from search.engine.jobs import Job
from search.engine.worker import emit
from search.events import EpochFinished
from search.intervals import bootstrap_interval, load_predictions
from search.latency.measure import MeasureSettings, measure_architecture
from search.records import Measurement, Trained
from trainers.data.ref import DataRef
from trainers.spec import Architecture, EpochRow, TrainSettings


@dataclass(frozen=True)
class MeasureRequest:
    """Build, export and measure an architecture; ``folder`` is for files in between."""

    architecture: Architecture
    settings: MeasureSettings
    folder: Path


@dataclass(frozen=True)
class TrainRequest:
    """Train a candidate of a study.

    Attributes:
        trial: Number of the trial, for its events.
        candidate: What to train.
        data: On what.
        settings: How long and how.
        study_folder: What recorded paths are relative to.
        folder: Where predictions and weights go, below it.
    """

    trial: int
    candidate: Candidate
    data: DataRef
    settings: TrainSettings
    study_folder: Path
    folder: Path


@dataclass(frozen=True)
class ScoreRequest:
    """Score the kept weights of a trained candidate on a split."""

    candidate: Candidate
    data: DataRef
    weights: Path
    split: str
    threads: int


@dataclass(frozen=True)
class ProbeRequest:
    """Choose the precision in which trainings of a candidate are faster."""

    candidate: Candidate
    settings: TrainSettings


def perform(job: Job) -> Any:
    """Do a job; any exception is the engine's to report."""
    return JOBS[job.kind](job.payload)


def measure(request: MeasureRequest) -> Measurement:
    """Return what an architecture costs on this device."""
    request.folder.mkdir(parents=True, exist_ok=True)
    return measure_architecture(request.architecture, request.settings, folder=request.folder)


def train(request: TrainRequest) -> Trained:
    """Return the outcome of a training, with the interval of its metric."""
    from trainers import proxy

    candidate, settings = request.candidate, request.settings

    def report(row: EpochRow) -> None:
        emit(EpochFinished(request.trial, row.epoch, row.metrics))

    result = proxy.train(
        candidate.architecture,
        candidate.weights,
        candidate.recipe,
        request.data,
        settings,
        folder=request.folder,
        on_epoch=report,
    )
    labels, predicted = load_predictions(result.predictions)
    rng = np.random.default_rng([settings.seed, int(candidate.id, 16)])
    low, high = bootstrap_interval(settings.metric, labels, predicted, rng=rng)
    return Trained(
        metric=result.metrics[settings.metric],
        metric_low=low,
        metric_high=high,
        metrics=result.metrics,
        curve=tuple(asdict(row) for row in result.curve),
        seconds=result.seconds,
        predictions=str(result.predictions.relative_to(request.study_folder)),
        weights=str(result.weights.relative_to(request.study_folder)),
    )


def score(request: ScoreRequest) -> dict[str, float]:
    """Return every metric of a trained candidate on a split."""
    from trainers import proxy

    metrics, _, _ = proxy.score(
        request.candidate.architecture,
        request.weights,
        request.data,
        split=request.split,
        preprocess_of=request.candidate.weights,
        threads=request.threads,
    )
    return metrics


def probe(request: ProbeRequest) -> str:
    """Return the faster precision."""
    from trainers.precision import precision_probe

    candidate = request.candidate
    found = precision_probe(
        candidate.architecture, request.settings, batch_size=candidate.recipe.batch_size
    )
    return found.precision


JOBS: dict[str, Callable[[Any], Any]] = {
    "measure": measure,
    "train": train,
    "score": score,
    "probe": probe,
}
