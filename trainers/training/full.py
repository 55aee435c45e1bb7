"""A full training of a network that a short one chose: more steps, and the best of them kept.

Averaged weights are evaluated and kept, those of the best epoch; a training that gets no better is
ended; and a better network may teach it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archfront.trainers.data import DataRef, Preprocess
from archfront.trainers.errors import ConfigError
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
from archfront.trainers.training.kept import Kept
from archfront.trainers.training.module import TrainingModule
from archfront.trainers.training.proxy import train
from archfront.trainers.training.saving import save_predictions
from archfront.trainers.training.scoring import score

# Tasks whose networks give one logit per class, of an image or of a pixel.
TAUGHT = ("classification", "multilabel", "semantic")
# Hinton et al. 2015 use 1 to 20, the lower the smaller the student.
TEMPERATURE = 2.0


@dataclass(frozen=True)
class FullSettings:
    """Settings of a full training that a short one does not have.

    Attributes:
        ema: Share of the averaged weights that a step keeps; 0 for no average. It begins lower,
            so that the average of a short training is not of its first weights.
        patience: Epochs without a better metric after which it ends; None: never.
        teaching: Share of the loss that a teacher has, where there is one.
    """

    ema: float = 0.998
    patience: int | None = None
    teaching: float = 0.5


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that gives soft targets.

    Attributes:
        architecture: What it is.
        weights: What its training saved.
        preprocess_of: Its first weights, which decide mean and deviation.
    """

    architecture: Architecture
    weights: Path
    preprocess_of: Weights


@dataclass(frozen=True, eq=False)
class FullResult:
    """Result of a full training.

    Attributes:
        training: As of a short one; its weights are those of the best epoch.
        best_epoch: Counted from 1; 0 for the probe that it began with.
        metrics: Of the kept weights, by split.
        predictions: What the evaluator saved of each split, npz by split.
    """

    training: TrainResult
    best_epoch: int
    metrics: dict[str, dict[str, float]]
    predictions: dict[str, Path]


def train_full(
    architecture: Architecture,
    weights: Weights,
    recipe: Recipe,
    data: DataRef,
    settings: TrainSettings,
    full: FullSettings,
    *,
    folder: Path,
    teacher: Teacher | None = None,
    splits: tuple[str, ...] = ("val",),
    on_epoch: Callable[[EpochRow], None] | None = None,
) -> FullResult:
    """Train a network to its horizon and score what is kept of it.

    Args:
        architecture: What to build.
        weights: Its first weights.
        recipe: How to train it.
        data: What on.
        settings: With ``until_epoch`` at the horizon.
        full: What is done beside.
        folder: Where files are written.
        teacher: Gives soft targets; None for none.
        splits: What the kept weights are scored on.
        on_epoch: Called after every epoch; what it raises ends the training.

    Raises:
        ConfigError: If the task's networks cannot be taught.
        BuildError, WeightsError, DivergedError, DataError: As ``trainers.training.proxy.train``.
    """
    _check_teacher(teacher, recipe)
    task = task_named(architecture.task)
    if teacher is not None:
        task = _taught(task, architecture, weights, teacher, full)
    keeper = BestEpoch(settings.metric, full.patience)
    training = train(
        architecture,
        weights,
        recipe,
        data,
        replace(settings, ema=full.ema),
        folder=folder,
        on_epoch=on_epoch,
        callbacks=(keeper,),
        task=task,
    )
    metrics: dict[str, dict[str, float]] = {}
    predictions: dict[str, Path] = {}
    for split in splits:
        metrics[split], predicted = score(
            architecture,
            training.weights,
            data,
            split=split,
            preprocess_of=weights,
            threads=settings.threads,
        )
        predictions[split] = save_predictions(folder / f"{split}.npz", predicted)
    return FullResult(training, keeper.best_epoch, metrics, predictions)


def _check_teacher(teacher: Teacher | None, recipe: Recipe) -> None:
    if teacher is not None and recipe.freeze:
        raise ConfigError(
            "A network whose backbone is frozen cannot be taught: its head learns from kept "
            "features, which a teacher does not see. Leave --distill out."
        )


class BestEpoch(pl.Callback):  # type: ignore[misc]  # Lightning's types are not read
    """Keeps the evaluated weights of the best epoch, and ends what gets no better.

    A training that begins with a probe has it as its first best.

    Attributes:
        best_epoch: Counted from 1; 0 before the first one.
    """

    def __init__(self, metric: str, patience: int | None) -> None:
        self.best_epoch = 0
        self._metric, self._patience = metric, patience
        self._best: Kept | None = None
        self._state: dict[str, Tensor] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Keep the network that the training begins with, where it is a probe."""
        if pl_module.kept is not None:
            self._keep(pl_module.kept, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Keep the evaluated weights if they are the best."""
        row, best = pl_module.rows[-1], self._best
        if best is None or row.metrics[self._metric] > best.row.metrics[self._metric]:
            self._keep(Kept(row, pl_module.evaluator.saved_predictions()), pl_module)
        if self._patience is not None and row.epoch - self.best_epoch >= self._patience:
            trainer.should_stop = True

    def _keep(self, best: Kept, pl_module: TrainingModule) -> None:
        self._best, self.best_epoch = best, best.row.epoch
        self._state = copy.deepcopy(dict(pl_module.evaluated.state_dict()))

    def on_train_end(self, trainer: pl.Trainer, pl_module: TrainingModule) -> None:
        """Leave the best weights in the network, which are then saved."""
        if self._best is not None:
            pl_module.kept = self._best
            pl_module.evaluated.load_state_dict(self._state)


class _Taught:
    """A task whose loss has a part that compares with a teacher; all else is the task's own."""

    def __init__(
        self, task: Task, teacher: nn.Module, turned: Callable[[Tensor], Tensor], share: float
    ) -> None:
        self._task, self._teacher, self._turned, self._share = task, teacher, turned, share

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def training_step(
        self, model: nn.Module, batch: tuple[Tensor, Any], settings: TrainSettings
    ) -> dict[str, Tensor]:
        """Return the task's losses and that of the teacher, weighed by their shares.

        The teacher sees the same augmented images. Source: Hinton et al. 2015 (Distilling the
        knowledge), section 2, with their factor of the squared temperature; Beyer et al. 2022 (A
        good teacher is patient and consistent) for the same view.
        """
        given: list[Tensor] = []
        hook = model.register_forward_hook(lambda _, __, logits: given.append(logits))
        try:
            losses = self._task.training_step(model, batch, settings)
        finally:
            hook.remove()
        with torch.no_grad():
            wanted = self._teacher.to(batch[0].device)(self._turned(batch[0]))
        if wanted.shape != given[0].shape:  # maps of logits, of another input size
            wanted = F.interpolate(wanted, size=given[0].shape[2:], mode="bilinear")
        soft = soft_loss(given[0].float(), wanted.float(), self._task.output_names[0], self._task)
        mixed = {name: value * (1 - self._share) for name, value in losses.items()}
        return {**mixed, "teacher": soft * self._share}


def soft_loss(logits: Tensor, wanted: Tensor, output: str, task: Task) -> Tensor:
    """Return the loss of a student's softened answers against its teacher's, over all places."""
    t = TEMPERATURE
    if task.target == "labels":  # each class is a question of its own
        return F.binary_cross_entropy_with_logits(logits / t, (wanted / t).sigmoid()) * t**2
    student, teacher = (x.movedim(1, -1).flatten(0, -2) / t for x in (logits, wanted))
    divergence = F.kl_div(
        student.log_softmax(dim=1),
        teacher.log_softmax(dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return divergence * t**2


def _taught(
    task: Task, architecture: Architecture, weights: Weights, teacher: Teacher, full: FullSettings
) -> Any:
    """Return the task with a teacher.

    Raises:
        ConfigError: If its networks cannot be taught.
    """
    from archfront.trainers.networks.backbone import preprocess_for
    from archfront.trainers.networks.checkpoint import load_trained

    if architecture.task not in TAUGHT:
        raise ConfigError(
            f"Only networks with a logit per class can be taught ({', '.join(TAUGHT)}); the task "
            f"is {architecture.task}. Leave --distill out."
        )
    with torch.random.fork_rng(devices=[]):
        network = task.build(teacher.architecture, Weights())
    load_trained(network, teacher.weights)
    network.eval().requires_grad_(False)
    mine = preprocess_for(architecture, weights, task.resize)
    others = preprocess_for(teacher.architecture, teacher.preprocess_of, task.resize)
    return _Taught(task, network, turning(mine, others), full.teaching)


def turning(mine: Preprocess, others: Preprocess) -> Callable[[Tensor], Tensor]:
    """Return the function from one network's input to another's: size and normalization."""
    shape = (1, mine.channels, 1, 1)
    mean, std = torch.tensor(mine.mean).view(shape), torch.tensor(mine.std).view(shape)
    other_mean, other_std = (torch.tensor(v).view(shape) for v in (others.mean, others.std))

    def turned(images: Tensor) -> Tensor:
        scale, shift = (std / other_std).to(images), ((mean - other_mean) / other_std).to(images)
        values = images * scale + shift
        side = others.input_size
        if values.shape[-1] == side:
            return values
        return F.interpolate(
            values, size=(side, side), mode="bilinear", align_corners=False, antialias=True
        )

    return turned
