"""One short training of one candidate, and scores from what it saved."""

from __future__ import annotations

import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from archfront.trainers.data import DataRef, Dataset, ImageSet, load
from archfront.trainers.errors import ConfigError, DataError, unknown
from archfront.trainers.files import replacing
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.networks.checkpoint import load_trained
from archfront.trainers.seeds import derive_seed
from archfront.trainers.spec import (
    Architecture,
    EpochRow,
    Recipe,
    TrainResult,
    TrainSettings,
    Weights,
)
from archfront.trainers.tasks import task_named
from archfront.trainers.tasks.protocol import SavedPredictions, Task
from archfront.trainers.training.batches import EvalBatches, TrainBatches
from archfront.trainers.training.frozen import cached_features
from archfront.trainers.training.memory_probe import fitting_batch
from archfront.trainers.training.module import Plan, TrainingModule
from archfront.trainers.training.precision import precision_probe, takes_bf16
from archfront.trainers.training.resume import Resumed, question, read_resume, write_resume
from archfront.trainers.training.scoring import score_split
from archfront.trainers.words import count_of

__all__ = ["precision_probe", "score", "train"]

EVAL_BATCH = 64
# A decoder holds maps of the whole input: a U-Net at 512 px needs 4 GB for 64 images.
DENSE_EVAL_BATCH = 8
FEATURES_SHARE = 0.25  # of the memory, for the features of a frozen backbone
PREDICTIONS = "predictions.npz"
WEIGHTS = "weights.safetensors"
RESUME = "resume.pt"


def train(
    architecture: Architecture,
    weights: Weights,
    recipe: Recipe,
    data: DataRef,
    settings: TrainSettings,
    *,
    folder: Path,
    resume: Path | None = None,
    on_epoch: Callable[[EpochRow], None] | None = None,
    callbacks: Sequence[pl.Callback] = (),
    learned: Task | None = None,
) -> TrainResult:
    """Train a candidate, or train it further, and save its validation predictions and weights.

    Half precision is for networks that ``takes_bf16`` accepts; others are trained in full.
    The same arguments, CPU and threads give the same bits, whatever ran before in the process,
    and in one go or in several. Below its horizon a network is evaluated with norms estimated
    anew, and what it goes on from is saved beside. Torch's generator and number of threads are
    left as they were found.

    Args:
        architecture: What to build.
        weights: Its first weights.
        recipe: How to train it.
        data: What on; its train and val splits are seen, no other.
        settings: What all trainings of the study share.
        folder: Where the files are written; made if need be.
        resume: What the same training saved at an earlier epoch.
        on_epoch: Called after every epoch; what it raises ends the training.
        callbacks: Lightning's, for what a full training does beside.
        learned: The task with other losses; the architecture's own when None.

    Raises:
        BuildError: If the network cannot be built.
        WeightsError: If the first weights do not fit, or ``resume`` cannot be read.
        ConfigError: If ``resume`` is of another training, or not earlier.
        DivergedError: If the loss is no finite number.
        DataError: If the data cannot be read, or has other classes or channels.
    """
    task = learned or task_named(architecture.task)
    _check_settings(task, recipe, weights, settings)
    asked = question(architecture, weights, recipe, settings)
    start = None if resume is None else _start(resume, asked, settings)
    dataset = load(data)
    _check_data(dataset, architecture)
    preprocess = preprocess_for(architecture, weights, task.resize)
    splits = {name: ImageSet.of(dataset.splits[name], preprocess) for name in ("train", "val")}
    folder.mkdir(parents=True, exist_ok=True)
    with _own_chance(settings.seed), _threads(settings.threads):
        model = _network(task, architecture, weights, recipe, start)
        if settings.precision == "bf16" and not takes_bf16(
            model, task.example(architecture, 1, settings.seed)
        ):
            settings = replace(settings, precision="fp32")
        val = dataset.splits["val"].samples
        new_evaluator = partial(task.evaluator, val, dataset.class_names, preprocess)
        eval_batch, started = _eval_batch(task), time.perf_counter()
        cached = cached_features(
            model,
            splits,
            preprocess,
            recipe,
            settings,
            eval_batch=eval_batch,
            limit_bytes=data.memory_mb * 1e6 * FEATURES_SHARE,
        )
        cached_s = 0.0 if cached is None else time.perf_counter() - started
        normalize = preprocess.normalize if cached is None else nn.Identity()
        plan = Plan(
            task, architecture.classes, new_evaluator, recipe, settings, normalize, on_epoch
        )
        train_set = splits["train"] if cached is None else cached.train
        val_set = splits["val"] if cached is None else cached.val
        batches = TrainBatches(train_set, recipe.batch_size, settings.seed)
        module = TrainingModule(model if cached is None else cached.head, plan, batches, start)
        if torch.cuda.is_available() and cached is None:
            module.halving.size = fitting_batch(
                model, task, architecture, recipe, settings, device=torch.device("cuda")
            )
        n_epochs = settings.until_epoch - (0 if start is None else start.epoch)
        val_batches = EvalBatches(val_set, eval_batch)
        _fit(module, n_epochs, batches, val_batches, folder, callbacks)
    n_trained = len(batches) * min(recipe.batch_size, len(splits["train"])) * len(module.rows)
    curve = (*(() if start is None else start.rows), *module.rows)
    return TrainResult(
        metrics=module.rows[-1].metrics,
        curve=curve,
        seconds=cached_s + sum(row.seconds for row in module.rows),
        images_per_s=n_trained / module.trained_s,
        predictions=save_predictions(folder / PREDICTIONS, module.predictions),
        weights=_save_weights(folder / WEIGHTS, model),
        resume=_save_resume(folder / RESUME, asked, curve, module, model),
        micro_batch=_micro_batch(module),
    )


def _start(resume: Path, asked: dict[str, Any], settings: TrainSettings) -> Resumed:
    """Return the training to go on with; ConfigError where nothing is left of it."""
    start = read_resume(resume, asked)
    if start.epoch >= settings.until_epoch:
        raise ConfigError(
            f"{resume} has {count_of(start.epoch, 'epoch')} already and until_epoch is "
            f"{settings.until_epoch}. Give a larger one."
        )
    return start


def _network(
    task: Task,
    architecture: Architecture,
    weights: Weights,
    recipe: Recipe,
    start: Resumed | None,
) -> nn.Module:
    """Return the network as it is before the first batch, or as it was saved."""
    # What was trained already needs no first weights.
    model = task.build(architecture, weights if start is None else Weights(), recipe.dropout)
    if start is not None:
        model.load_state_dict(dict(start.state))
    if recipe.freeze:
        task.freeze(model)
    return model.to(memory_format=torch.channels_last)


def score(
    architecture: Architecture,
    weights_file: Path,
    data: DataRef,
    *,
    split: str = "test",
    preprocess_of: Weights,
    threads: int,
) -> tuple[dict[str, float], dict[str, NDArray[Any]]]:
    """Return metrics of a trained network, and what the task's evaluator saves of its predictions.

    Args:
        architecture: What was trained.
        weights_file: What ``train`` saved.
        data: What it was trained on.
        split: Which images to look at.
        preprocess_of: The first weights of the training, which decide mean and deviation.
        threads: Intra-op threads.

    Raises:
        WeightsError: If the file is not there or is of another network.
        DataError: If the data has no such split.
    """
    task = task_named(architecture.task)
    dataset = load(data)
    _check_data(dataset, architecture)
    preprocess = preprocess_for(architecture, preprocess_of, task.resize)
    with _own_chance(0), _threads(threads):
        model = task.build(architecture, Weights())
        load_trained(model, weights_file)
        model = model.to(memory_format=torch.channels_last).eval()

        def predict(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            images = preprocess.normalize(pixels)
            return task.predict(model, images.contiguous(memory_format=torch.channels_last))

        with torch.inference_mode():
            scored = score_split(
                predict,
                task=task,
                dataset=dataset,
                split=split,
                preprocess=preprocess,
                batch_size=_eval_batch(task),
            )
    return scored.metrics, scored.predictions


def _fit(
    module: TrainingModule,
    n_epochs: int,
    train_batches: TrainBatches,
    val_batches: EvalBatches,
    folder: Path,
    callbacks: Sequence[pl.Callback],
) -> None:
    settings = module.plan.settings
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with _quiet():
            trainer = pl.Trainer(
                accelerator="gpu" if torch.cuda.is_available() else "cpu",
                devices=1,
                precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
                max_epochs=n_epochs,
                callbacks=list(callbacks),
                barebones=True,
                default_root_dir=folder,
            )
            trainer.fit(module, train_batches, val_batches)
    except SystemExit as stop:
        # Lightning turns Ctrl-C and termination into an exit and leaves Ctrl-C ignored.
        signal.signal(signal.SIGINT, interrupt)
        said = stop.__context__.args if isinstance(stop.__context__, KeyboardInterrupt) else ()
        raise KeyboardInterrupt(*said) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Lightning says about devices, speed and frozen layers."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _own_chance(seed: int) -> Iterator[None]:
    """Draw from the training's own seed, and put the process's generator back afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derive_seed(seed))
        yield


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _micro_batch(module: TrainingModule) -> int | None:
    size = module.halving.size
    return None if size == module.plan.recipe.batch_size else size


def _eval_batch(task: Task) -> int:
    """Return how many images are evaluated at a time."""
    return EVAL_BATCH if task.is_image_level else DENSE_EVAL_BATCH


def _check_settings(task: Task, recipe: Recipe, weights: Weights, settings: TrainSettings) -> None:
    if settings.metric not in task.metrics:
        raise unknown("metric", settings.metric, task.metrics)
    if not 1 <= settings.until_epoch <= settings.horizon:
        raise ConfigError(
            f"Epochs must satisfy 1 <= until_epoch <= horizon, got "
            f"until_epoch {settings.until_epoch} and horizon {settings.horizon}."
        )
    if recipe.freeze and weights.source == "none":
        raise ConfigError(
            "recipe.freeze trains the head on random features. Give weights, or set it to false."
        )


def _check_data(dataset: Dataset, architecture: Architecture) -> None:
    n = len(dataset.class_names)
    if n != architecture.classes:
        raise DataError(
            f"The data has {count_of(n, 'class', 'classes')} and the network "
            f"{architecture.classes}. Did the data change since the study began?"
        )


def save_predictions(path: Path, saved: SavedPredictions) -> Path:
    """Write saved predictions, whole or not at all, and return the file."""
    with replacing(path) as written, written.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **saved)
    return path


def _save_weights(path: Path, model: nn.Module) -> Path:
    # Copies, since safetensors refuses layers that share their weights.
    state = {
        name: value.cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    with replacing(path) as written:
        save_file(state, written)
    return path


def _save_resume(
    path: Path,
    asked: dict[str, Any],
    curve: tuple[EpochRow, ...],
    module: TrainingModule,
    model: nn.Module,
) -> Path | None:
    """Save what the training goes on from; None where it is at its end."""
    settings = module.plan.settings
    if settings.until_epoch == settings.horizon:
        return None
    # The evaluated network has other norms than the trained one, which may be a head alone.
    (prefix,) = (at for at, part in model.named_modules() if part is module.model)
    carried = {f"{prefix}.{name}".lstrip("."): kept for name, kept in module.carried.items()}
    state = {name: carried.get(name, value) for name, value in model.state_dict().items()}
    optimizer = module.trainer.optimizers[0].state_dict()
    with replacing(path) as written:
        write_resume(written, asked, curve, state, optimizer)
    return path
