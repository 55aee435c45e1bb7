"""One short training of one candidate."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from archfront.trainers.data import DataRef
from archfront.trainers.errors import ConfigError, unknown
from archfront.trainers.networks.task_network import TaskNetwork
from archfront.trainers.spec import (
    Architecture,
    EpochRow,
    Recipe,
    TrainResult,
    TrainSettings,
    Weights,
)
from archfront.trainers.tasks import task_named
from archfront.trainers.tasks.protocol import Task
from archfront.trainers.training.batches import EvalBatches, TrainBatches
from archfront.trainers.training.class_balance import with_loss
from archfront.trainers.training.frozen import cached_features
from archfront.trainers.training.kept import Probe
from archfront.trainers.training.memory_probe import fitting_batch
from archfront.trainers.training.module import TrainingModule, TrainingPlan
from archfront.trainers.training.precision import takes_bf16
from archfront.trainers.training.probe import probed
from archfront.trainers.training.process_state import (
    intra_op_threads,
    quiet_lightning,
    seeded_torch,
)
from archfront.trainers.training.resume import Resumed, identity_of, read_resume
from archfront.trainers.training.saving import save_predictions, save_resume, save_weights
from archfront.trainers.training.scoring import eval_batch
from archfront.trainers.training.training_data import TrainingData
from archfront.trainers.words import count_of

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
    task: Task | None = None,
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
        task: The task with other losses; the architecture's own when None.

    Raises:
        BuildError: If the network cannot be built.
        WeightsError: If the first weights do not fit, or ``resume`` cannot be read.
        ConfigError: If ``resume`` is of another training, or not earlier.
        DivergedError: If the loss is no finite number.
        DataError: If the data cannot be read, or has other classes or channels.
    """
    task = task or task_named(architecture.task)
    _check_settings(task, recipe, weights, settings)
    settings = with_loss(settings, recipe)
    identity = identity_of(architecture, weights, recipe, settings)
    start = None if resume is None else _start(resume, identity, settings)
    seen = TrainingData.of(data, architecture, weights, task)
    folder.mkdir(parents=True, exist_ok=True)
    with seeded_torch(settings.seed), intra_op_threads(settings.threads):
        model = _network(task, architecture, weights, recipe, settings, start)
        settings = _supported(settings, model, task.example(architecture, 1, settings.seed))
        normalize, judge = seen.preprocess.normalize, seen.new_evaluator(task)
        plan = TrainingPlan(task, architecture, judge, recipe, settings, normalize, on_epoch)
        probe = None if start is None else start.probe
        if settings.init == "probe" and start is None:
            probe = probed(model, plan, weights, seen)
        run = _assembled(model, plan, seen, start, probe)
        run.fit(folder, callbacks)
        first = partial(_network, task, architecture, weights, recipe, settings, None)
        return run.result(folder, identity, first)


def _supported(settings: TrainSettings, model: nn.Module, example: torch.Tensor) -> TrainSettings:
    """Return the settings, in full precision where the network does not take half of it."""
    if settings.precision == "bf16" and not takes_bf16(model, example):
        return replace(settings, precision="fp32")
    return settings


@dataclass(frozen=True, eq=False)
class _Run:
    """A training that is ready to begin.

    Attributes:
        model: The whole network.
        module: Trains it, or its head alone where the features of a frozen backbone are cached.
        train: Batches of the training split.
        val: Batches of the validation split.
        n_images: Images of the training split.
        start: The training that is resumed.
        cached_s: Seconds spent on features.
        probe: What the training began with, where that was a probe.
    """

    model: nn.Module
    module: TrainingModule
    train: TrainBatches
    val: EvalBatches
    n_images: int
    start: Resumed | None
    cached_s: float
    probe: Probe | None

    def fit(self, folder: Path, callbacks: Sequence[pl.Callback]) -> None:
        """Train from the start's epoch to ``until_epoch``; not at all for a probe alone."""
        n_epochs = self.module.plan.settings.until_epoch
        n_epochs -= 0 if self.start is None else self.start.epoch
        if n_epochs > 0:
            _fit(self.module, n_epochs, self.train, self.val, folder, callbacks)

    def result(
        self, folder: Path, identity: Mapping[str, Any], first: Callable[[], nn.Module]
    ) -> TrainResult:
        """Return the result of the finished training, its files saved.

        Args:
            folder: Of the files.
            identity: Of the training.
            first: Returns the network with its first weights.
        """
        module, kept, probe = self.module, self.module.kept, self.probe
        assert kept is not None, "the last epoch sets it"
        curve = (*(() if self.start is None else self.start.rows), *module.rows)
        resume = save_resume(folder / RESUME, identity, curve, module, self.model, probe)
        metric, size = module.plan.settings.metric, module.micro_batcher.size
        if probe is not None and kept.row.metrics[metric] < probe.kept.row.metrics[metric]:
            kept = probe.kept
            with seeded_torch(module.plan.settings.seed):
                self.model.load_state_dict({**first().state_dict(), **probe.head})
        elif module.average is not None:
            module.model.load_state_dict(module.average.network.state_dict())
        return TrainResult(
            metrics=kept.row.metrics,
            curve=curve,
            seconds=self.cached_s + sum(row.seconds for row in module.rows),
            images_per_s=self._images_per_s(),
            predictions=save_predictions(folder / PREDICTIONS, kept.predictions),
            weights=save_weights(folder / WEIGHTS, self.model),
            kept_epoch=kept.row.epoch,
            resume=resume,
            micro_batch=None if size == module.plan.recipe.batch_size else size,
            knn=None if probe is None else probe.knn,
        )

    def _images_per_s(self) -> float:
        rows = [row for row in self.module.rows if row.epoch > 0]
        if not rows:
            return self.n_images / self.module.rows[-1].seconds
        n_per_epoch = len(self.train) * min(self.module.plan.recipe.batch_size, self.n_images)
        return n_per_epoch * len(rows) / self.module.trained_s


def _assembled(
    model: nn.Module,
    plan: TrainingPlan,
    seen: TrainingData,
    start: Resumed | None,
    probe: Probe | None,
) -> _Run:
    """Return the run of a built network, on images or on the cached features of them."""
    recipe, settings, began = plan.recipe, plan.settings, time.perf_counter()
    splits, trains = seen.splits, settings.until_epoch > 0
    cached = (
        None
        if not trains
        else cached_features(
            model,
            splits,
            seen.preprocess,
            recipe,
            settings,
            eval_batch=eval_batch(plan.task),
            limit_bytes=seen.features_bytes,
        )
    )
    cached_s = 0.0 if cached is None else time.perf_counter() - began
    if cached is not None:
        plan = replace(plan, normalize=nn.Identity())
    train_set = splits["train"] if cached is None else cached.train
    val_set = splits["val"] if cached is None else cached.val
    batches = TrainBatches(
        train_set,
        recipe.batch_size,
        settings.seed,
        share=settings.share,
        labels=seen.labels(plan.task),
    )
    trained = model if cached is None else cached.head
    if start is not None and start.average:
        start = replace(start, average=start.average_of(trained, model))
    module = TrainingModule(trained, plan, batches, start)
    if probe is not None and start is None:
        module.begin_at(probe)
    if torch.cuda.is_available() and cached is None and trains:
        module.micro_batcher.size = fitting_batch(
            model, plan.task, plan.architecture, recipe, settings, device=torch.device("cuda")
        )
    val_batches = EvalBatches(val_set, eval_batch(plan.task))
    return _Run(model, module, batches, val_batches, len(splits["train"]), start, cached_s, probe)


def _start(resume: Path, identity: Mapping[str, Any], settings: TrainSettings) -> Resumed:
    """Return the training to go on with; ConfigError where nothing is left of it."""
    start = read_resume(resume, identity)
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
    settings: TrainSettings,
    start: Resumed | None,
) -> nn.Module:
    """Return the network as it is before the first batch, or as it was saved."""
    # What was trained already needs no first weights.
    model = task.build(architecture, weights if start is None else Weights(), recipe.dropout)
    if start is not None:
        model.load_state_dict(dict(start.state))
    if recipe.freeze:
        task.freeze(model)
    if settings.norms == "frozen" and isinstance(model, TaskNetwork):
        model.freeze_norms()
    return model.to(memory_format=torch.channels_last)


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
        with quiet_lightning():
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


def _check_settings(task: Task, recipe: Recipe, weights: Weights, settings: TrainSettings) -> None:
    if settings.metric not in task.metrics:
        raise unknown("metric", settings.metric, task.metrics)
    if recipe.loss not in task.balances:
        raise unknown("loss of a recipe", recipe.loss, task.balances)
    lowest = 0 if settings.init == "probe" else 1
    if not lowest <= settings.until_epoch <= settings.horizon:
        raise ConfigError(
            f"Epochs must satisfy {lowest} <= until_epoch <= horizon, got "
            f"until_epoch {settings.until_epoch} and horizon {settings.horizon}."
        )
    if not (0 <= settings.ema < 1 and 0 < settings.share <= 1):
        raise ConfigError(
            f"Averages need 0 <= ema < 1 and epochs 0 < share <= 1, got ema {settings.ema:g} and "
            f"share {settings.share:g}."
        )
    if settings.init == "probe" and weights.source == "none":
        raise ConfigError(
            "init probe solves the head on random features. Give weights, or set it to random."
        )
    if recipe.freeze and weights.source == "none":
        raise ConfigError(
            "recipe.freeze trains the head on random features. Give weights, or set it to false."
        )
