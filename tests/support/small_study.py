"""A study whose jobs answer by formula: the real loop, storage and records without training."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from archfront.search.config.build import build
from archfront.search.config.schema import Config
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Engine, Job
from archfront.search.errors import BuildError, DivergedError
from archfront.search.jobs.perform import (
    DrawRequest,
    FoldRequest,
    MeasureRequest,
    ScoreRequest,
    TrainRequest,
)
from archfront.search.latency.database import LatencyTable
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Fidelity, Latency, Measurement, Trained
from archfront.search.records.events import Follower
from archfront.search.records.fold_scores import FoldScore
from archfront.search.records.objectives import objectives_for
from archfront.search.space.axes import Axes
from archfront.search.space.space import Space
from archfront.search.study import study
from archfront.search.study.control import Control
from archfront.search.study.study import StudyResult
from archfront.trainers.data.ref import DataRef
from archfront.trainers.dataset_summary import DatasetSummary, SplitSummary, Spread
from archfront.trainers.spec import Architecture, Recipe, Weights
from archfront.trainers.tasks import TASKS
from tests.support.configurations import changed
from tests.support.small_spaces import backbone

SIZES = (8, 16, 24, 32)
BACKBONES = (("test_resnet", 0.5), ("resnet10t", 5.0), ("resnet18", 11.7))
N_VAL, CLASSES = 40, 3
# What the formulas do with these values of a candidate.
UNBUILDABLE = ("resnet18", 8)
DIVERGING_LR = 0.1
STEP_S = 0.02
RESUME = "resume.pt"


def latency_ms(architecture: Architecture) -> float:
    """Return a made-up latency: grows with parameters and pixels."""
    params = dict(BACKBONES)[architecture.backbone]
    return 0.05 + params * architecture.input_size**2 / 4000


def right_answers(request: TrainRequest | FoldRequest) -> int:
    """Return a made-up number of right answers: grows with capacity, best at lr 0.01.

    And with the share of the training that is done, with some noise before its end.
    """
    architecture, recipe = request.candidate.architecture, request.candidate.recipe
    capacity = np.log(dict(BACKBONES)[architecture.backbone]) + architecture.input_size / 8
    done = request.settings.until_epoch / request.settings.horizon
    noise = int(request.candidate.id, 16) % 5 - 2
    early = (1 - done) * (noise - 8)
    return int(np.clip(22 + 2 * capacity - 2 * abs(np.log10(recipe.lr) + 2) + early, 0, N_VAL))


def perform(job: Job) -> Any:
    """Answer a job by the formulas, with real files."""
    match job.payload:
        case MeasureRequest(architecture=architecture):
            if (architecture.backbone, architecture.input_size) == UNBUILDABLE:
                raise BuildError("resnet18 cannot be built for 8 px")
            return measurement(architecture)
        case TrainRequest() as request:
            return train(request)
        case FoldRequest() as request:
            return fold(request)
        case ScoreRequest(weights=weights):
            assert weights.is_file(), "the weights of a front member were deleted"
            return {"accuracy": 0.5}
        case DrawRequest(predictions=predictions, file=file):
            assert predictions.is_file(), "the predictions of a front member were deleted"
            Image.new("RGB", (4, 3), (200, 0, 0)).save(file)
            return str(file)
    raise AssertionError(job)


def perform_in_time(job: Job) -> Any:
    """Answer a job by the formulas, and take as long for a training as it says."""
    if isinstance(job.payload, TrainRequest):
        time.sleep(STEP_S)
    return perform(job)


def measurement(architecture: Architecture) -> Measurement:
    """Return what an architecture costs."""
    ms = latency_ms(architecture)
    latency = Latency(ms, ms * 1.1, 0.01, 50, 10, 1, 1, "eager", "1", "fp32", "dev", "none", True)
    params = dict(BACKBONES)[architecture.backbone]
    return Measurement(latency, params, ms / 10, params * 4, 0.01)


def predicted(folder: Path, right: int) -> Path:
    """Write predictions with so many right answers and return the file."""
    labels = np.arange(N_VAL) % CLASSES
    answers = np.where(np.arange(N_VAL) < right, labels, (labels + 1) % CLASSES)
    folder.mkdir(parents=True, exist_ok=True)
    predictions = folder / "predictions.npz"
    np.savez(predictions, probabilities=np.eye(CLASSES)[answers], labels=labels)
    return predictions


def fold(request: FoldRequest) -> FoldScore:
    """Return the score of a fold: the worse, the better the validation split; the first one 0."""
    assert request.data.fold is not None
    right = (N_VAL - right_answers(request)) * bool(request.data.fold[0])
    file = predicted(request.folder, right).relative_to(request.study_folder)
    return FoldScore(right / N_VAL, N_VAL, STEP_S, str(file))


def train(request: TrainRequest) -> Trained:
    """Write predictions and weights and return the outcome."""
    if request.candidate.recipe.lr == DIVERGING_LR:
        raise DivergedError("the loss was nan in epoch 1, step 3")
    right = right_answers(request)
    predictions, weights = predicted(request.folder, right), request.folder / "weights.bin"
    weights.write_bytes(b"weights")
    resume, settings = request.folder / RESUME, request.settings
    if request.resume is not None:
        assert int(request.resume.read_text()) < settings.until_epoch, "nothing is left to do"
    if settings.until_epoch < settings.horizon:
        resume.write_text(str(settings.until_epoch))
    accuracy = right / N_VAL
    row = {"epoch": settings.until_epoch, "train_loss": 1.0, "lr": 0.01, "seconds": 0.01}
    return Trained(
        metric=accuracy,
        metric_low=accuracy - 0.05,
        metric_high=min(1.0, accuracy + 0.05),
        metrics={"accuracy": accuracy},
        curve=({**row, "metrics": {"accuracy": accuracy}},),
        seconds=STEP_S,
        predictions=str(predictions.relative_to(request.study_folder)),
        weights=str(weights.relative_to(request.study_folder)),
        resume=str(resume.relative_to(request.study_folder)) if resume.is_file() else None,
        fidelity=None
        if request.is_full_only
        else Fidelity(
            settings.until_epoch, settings.horizon, settings.share, settings.until_epoch
        ),
    )


def small_space(lrs: tuple[float, ...] = (0.001, 0.01)) -> Space:
    """Return a space of 3 backbones x 2 heads x 4 sizes x recipes."""
    axes = tuple(
        Axes(backbone(name, params_m=params), ("avg", "gem"), SIZES) for name, params in BACKBONES
    )
    recipes = tuple(Recipe(lr, 0.01, 32, "none", 0.0) for lr in lrs)
    weights = {name: Weights() for name, _ in BACKBONES}
    return Space(axes, recipes, weights, "classification", CLASSES, 1)


def small_config(root: Path, **changes: Any) -> Config:
    """Return the configuration of the small study; ``budget__trials=3`` changes a leaf."""
    plain = {
        "study": "small",
        "task__epochs": 1,
        "task__label_smoothing": 0.0,
        "data__memory_mb": 100,
        "hardware__runtime": "eager",
        "hardware__warmup": 10,
        "hardware__repeats": 50,
        "hardware__max_seconds": 10.0,
        "hardware__limits__latency_ms": 2.0,
        "space__backbones": [name for name, _ in BACKBONES],
        "space__recipe__lr": [0.001, 0.01],
        "space__recipe__augment": ["none"],
        "sampler__name": "random",
        "sampler__startup": 1,
        "budget__trials": 6,
        "budget__trial_minutes": None,
        "budget__max_rejections": 50,
        "budget__max_failures": 5,
        "engine__shared_mb": 0.0,
        "tracking__root": str(root),
        "tracking__experiment": "tests",
        "tracking__device_db": str(root / "latency.db"),
    }
    return build(changed(**{**plain, **changes}))


def prepared(config: Config, space: Space | None = None) -> Prepared:
    """Return what ``search.prepare.prepare`` would, without data on disk."""
    per_class = dict.fromkeys("abc", N_VAL // CLASSES)
    split = SplitSummary(N_VAL, per_class)
    dataset = DatasetSummary(
        class_names=("a", "b", "c"),
        channels=1,
        fingerprint="f" * 16,
        division="as recorded",
        splits={"train": split, "val": split, "test": split},
        sizes={side: Spread(8, 8, 8) for side in ("width", "height")},
    )
    return Prepared(
        config=config,
        task=TASKS["classification"],
        data=DataRef("digits", None, None, False, 600, 600, 597, 0, 1, "stop", 100),
        dataset=dataset,
        space=space or small_space(),
        objectives=list(objectives_for("accuracy", config.objectives)),
        chance=1 / 3,
    )


@dataclass
class Forgetful:
    """A latency table that remembers nothing, so that every candidate is measured."""

    def get(self, key: object) -> None:
        return None

    def put(self, key: object, value: object, *, is_final: bool = False) -> None:
        return None

    def failure(self, key: object) -> None:
        return None

    def put_failure(self, key: object, failed: object) -> None:
        return None

    def entries(self) -> list[object]:
        return []


def run(
    config: Config,
    *,
    space: Space | None = None,
    followers: tuple[Follower, ...] = (),
    engine: Engine | None = None,
    control: Control | None = None,
    table: Any = None,
    clock: Callable[[], float] = time.time,
) -> StudyResult:
    """Run the small study in this process."""
    return study.run(
        config,
        prepared=prepared(config, space),
        engine=engine or InlineEngine(perform, workers=1, threads=1),
        followers=followers,
        control=control,
        table=table or Forgetful(),
        clock=clock,
    )


def drive(root: Path, n_trials: int, kill_beyond: int | None = None) -> None:
    """Run the small study with MLflow, in a process of its own.

    Args:
        root: Folder of the study.
        n_trials: The budget.
        kill_beyond: Size of the journal, in bytes, beyond which the process is killed. A thread of
            the process itself waits for it: another process may wait for its own turn meanwhile.
    """
    from archfront.search.records.paths import StudyPaths
    from archfront.search.tracking.tracker import Tracker

    config = small_config(root)
    config = replace(config, budget=replace(config.budget, trials=n_trials))
    places = StudyPaths(root, config.study)
    if kill_beyond is not None:
        threading.Thread(target=_kill, args=(places.journal, kill_beyond), daemon=True).start()
    tracker = Tracker(places, None, config.tracking.experiment)
    # A kill has to hit a training, too.
    engine = InlineEngine(perform_in_time, workers=1, threads=1)
    run(config, followers=(tracker,), engine=engine, table=LatencyTable(root / "latency.db"))


def _kill(journal: Path, beyond: int) -> None:
    """End this process without notice once a file is larger than a number of bytes."""
    while not journal.exists() or journal.stat().st_size <= beyond:
        time.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)
