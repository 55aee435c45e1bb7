"""The one LightningModule: any task, any network, one recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.optim import AdamW

from archfront.trainers.data.batch_targets import Targets
from archfront.trainers.errors import DivergedError
from archfront.trainers.networks.task_network import TaskNetwork
from archfront.trainers.seeds import derive_seed
from archfront.trainers.spec import Architecture, Augment, EpochRow, Recipe, TrainSettings
from archfront.trainers.tasks.protocol import Evaluator, Task
from archfront.trainers.training.augment import augment, strength_of
from archfront.trainers.training.average import Average
from archfront.trainers.training.batch_norm import buffers_of, estimate_norms, trained_norms
from archfront.trainers.training.batches import TrainBatches
from archfront.trainers.training.kept import Kept, Probe
from archfront.trainers.training.micro_batch import (
    MicroBatcher,
    micro_batches,
    smallest_micro_batch,
)
from archfront.trainers.training.resume import Resumed
from archfront.trainers.training.schedule import PROBE_WARMUP_SHARE, WARMUP_SHARE, lr_factor

# Training images from which the norms of a network are estimated below the top rung.
NORM_IMAGES = 512
CLIP_NORM = 1.0  # Dosovitskiy et al. 2021 (ViT), appendix B; convnets do not mind


def parameter_groups(
    model: nn.Module, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Return parameter groups with weight decay (matrices, kernels) and without (norms, biases).

    Args:
        model: The network.
        weight_decay: Of those that have one.
        layer_decay: Below 1, the groups of a classifier are by timm's layers, too, and each has
            an ``lr_scale``: this to the power of the layers above it, of which a head that is not
            timm's is one. Source: Bao et al. 2022 (BEiT), appendix on fine-tuning.
    """
    if layer_decay < 1 and isinstance(model, TaskNetwork):
        backbone = model.backbone_module()
        groups = param_groups_layer_decay(backbone, weight_decay, layer_decay=layer_decay)
        own = {id(parameter) for parameter in backbone.parameters()}
        rest = [p for p in model.parameters() if id(p) not in own]
        for group in groups if rest else ():
            group["lr_scale"] *= layer_decay
        return [*groups, *_groups(rest, weight_decay)]
    return _groups(model.parameters(), weight_decay)


def _groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return with_parameters(groups)


def with_parameters(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups that have parameters: of a head alone and of its network the same ones."""
    return [group for group in groups if group["params"]]


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the generator that dropout and stochastic depth draw from on this device.

    ``torch.manual_seed`` would do, but without a GPU it stores a stack trace per kind of
    accelerator at every call, 5% of a small network's step.
    """
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def channels_last(images: Tensor) -> Tensor:
    """Return images ``(N, C, H, W)`` in the order that convolutions like; others as they are."""
    return images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images


@dataclass(frozen=True)
class TrainingPlan:
    """The task, recipe and settings of a training, without its network and images.

    Attributes:
        task: What is learned.
        architecture: What is trained.
        new_evaluator: Returns a new evaluator of the validation split for each epoch.
        recipe: How.
        settings: What all trainings of the study share.
        normalize: Turns what a batch holds, uint8 pixels as a rule, into the network's input.
        on_epoch: Called after every epoch.
    """

    task: Task
    architecture: Architecture
    new_evaluator: Callable[[], Evaluator]
    recipe: Recipe
    settings: TrainSettings
    normalize: Callable[[Tensor], Tensor]
    on_epoch: Callable[[EpochRow], None] | None = None

    @property
    def strength(self) -> Augment:
        """Return the strength of the augmentation."""
        return strength_of(self.recipe.augment, self.settings.horizon * self.settings.share)


class TrainingModule(pl.LightningModule):  # type: ignore[misc]  # Lightning's types are not read
    """Trains a network by a plan; all chance in a step comes from (seed, epoch, step).

    A batch for which there is not enough memory is halved, and halved again; the gradients of the
    micro-batches add up to that of the batch. That is the same training where the loss is a mean
    over images and nothing in the network depends on the other images of a batch; with norms over
    the batch it is another recipe. Dropout is drawn for each micro-batch.

    Attributes:
        rows: One per epoch that was finished here, with that of the probe.
        evaluator: Of the current epoch.
        kept: The epoch that the evaluated weights are of at the end; before that the probe that
            the training begins with, or None.
        average: The averaged weights, where the settings want some.
        carried: Buffers that a training, or its average, goes on from, where the network was
            evaluated with others.
        trained_s: Seconds spent in training steps.
        micro_batcher: Knows how many images go through the network at a time.

    Args:
        model: The network, as it was left where a training is resumed.
        plan: What it needs.
        batches: The training split.
        start: The training that is resumed.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: TrainingPlan,
        batches: TrainBatches,
        start: Resumed | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # a step may need several backward passes
        self.model = model
        self.plan = plan
        self.micro_batcher = MicroBatcher(plan.recipe.batch_size)
        self.rows: list[EpochRow] = []
        self.kept: Kept | None = None
        self.carried: dict[str, Tensor] = {}
        self.trained_s = 0.0
        self.average: Average | None = None
        if plan.settings.ema > 0:
            self.average = Average(model, plan.settings.ema)
            if start is not None and start.average:
                self.average.network.load_state_dict(dict(start.average))
        self._start = start
        self._batches = batches
        # Lightning begins to read the first epoch before it says that it starts.
        batches.epoch = 0 if start is None else start.epoch
        self._n_steps = len(batches)
        self._losses: list[float] = []
        self.evaluator = plan.new_evaluator()
        self._started = 0.0
        self._validated = 0.0

    def begin_at(self, probe: Probe) -> None:
        """Take in the epoch that comes before the first, and tell it."""
        self.kept = probe.kept
        self.rows.append(probe.kept.row)
        if self.plan.on_epoch is not None:
            self.plan.on_epoch(probe.kept.row)

    def configure_optimizers(self) -> AdamW:
        """Return AdamW in its fused form: one pass over the weights instead of several."""
        recipe = self.plan.recipe
        groups = parameter_groups(self.model, recipe.weight_decay, recipe.layer_decay)
        optimizer = AdamW(groups, lr=recipe.lr, fused=True)
        if self._start is not None and self._start.optimizer:
            left = dict(self._start.optimizer)
            left["param_groups"] = with_parameters(left["param_groups"])
            optimizer.load_state_dict(left)
        return optimizer

    @property
    def epoch(self) -> int:
        """Return the place of the current epoch in the whole training, counted from 0."""
        done = 0 if self._start is None else self._start.epoch
        return done + int(self.current_epoch)

    @property
    def evaluated(self) -> nn.Module:
        """Return the network that is evaluated and kept: the average where there is one."""
        return self.model if self.average is None else self.average.network

    def on_train_epoch_start(self) -> None:
        """Start the clock and draw the epoch's order."""
        self._started = time.perf_counter()
        self._batches.epoch = self.epoch
        self._losses = []

    def training_step(self, batch: tuple[Tensor, Targets], index: int) -> None:
        """Change the weights by the gradient of a batch.

        Raises:
            DivergedError: If its loss is not a finite number.
        """
        plan = self.plan
        seed = derive_seed(plan.settings.seed, self.epoch, index)
        self._set_lr(self.epoch * self._n_steps + index)
        images, targets = self._augmented(batch, seed)

        def learn(size: int) -> float:
            return self._gradients(images, targets, size, seed=seed, step=index + 1)

        smallest = partial(smallest_micro_batch, self.model)
        self._losses.append(self.micro_batcher.run(learn, smallest=smallest))
        self.optimizers().step()
        if self.average is not None:
            self.average.update(self.model, self.epoch * self._n_steps + index)

    def _gradients(
        self, images: Tensor, targets: Targets, size: int, *, seed: int, step: int
    ) -> float:
        """Leave the gradient of the loss at the weights, by micro-batch, and return the loss."""
        seed_dropout(seed, images.device)
        self.optimizers().zero_grad()
        values = []
        least = smallest_micro_batch(self.model)
        for part, wanted, share in micro_batches(images, targets, size, least=least):
            losses = self.plan.task.training_step(self.model, (part, wanted), self.plan.settings)
            loss = torch.stack(tuple(losses.values())).sum()
            if share < 1:
                loss = loss * share
            values.append(float(loss.detach()))
            if not math.isfinite(values[-1]):
                raise self._diverged(f"loss is {values[-1]}", step=step)
            with torch.autocast(images.device.type, enabled=False):
                self.manual_backward(loss)
        return math.fsum(values)

    def _augmented(self, batch: tuple[Tensor, Targets], seed: int) -> tuple[Tensor, Targets]:
        images, targets = augment(
            self.plan.normalize(batch[0]),
            batch[1],
            strength=self.plan.strength,
            flips=self.plan.recipe.flips,
            classes=self.plan.architecture.classes,
            rng=np.random.default_rng(seed),
        )
        return channels_last(images), targets

    def on_before_optimizer_step(self, optimizer: AdamW) -> None:
        """Clip the gradient (Lightning's own clipping refuses fused optimizers)."""
        nn.utils.clip_grad_norm_(
            [p for group in optimizer.param_groups for p in group["params"]], CLIP_NORM
        )

    def on_validation_epoch_start(self) -> None:
        """Stop the clock of training; below the top rung, estimate the norms of the network."""
        self._validated = time.perf_counter()
        self.trained_s += self._validated - self._started
        self.evaluator = self.plan.new_evaluator()
        settings = self.plan.settings
        if self.epoch + 1 == settings.until_epoch < settings.horizon:
            self._estimate_norms()

    def _estimate_norms(self) -> None:
        norms = trained_norms(self.evaluated)
        self.carried = buffers_of(norms)
        n_batches = min(self._n_steps, -(-NORM_IMAGES // self.plan.recipe.batch_size))

        def shown() -> Iterator[Tensor]:
            for index, batch in zip(range(n_batches), self._batches, strict=False):
                # A fourth part, so that it is no place of the training itself.
                seed = derive_seed(self.plan.settings.seed, self.epoch, index, 1)
                here = self.transfer_batch_to_device(batch, self.device, 0)
                yield self._augmented(here, seed)[0]

        if norms:
            with torch.autocast(self.device.type, enabled=False):
                estimate_norms(
                    norms.values(), shown(), partial(self.plan.task.predict, self.evaluated)
                )

    def validation_step(self, batch: tuple[Tensor, Targets], index: int) -> None:
        """Evaluate the outputs of a batch, computed without autocast, as when deployed.

        Raises:
            DivergedError: If the last step spoiled the network.
        """
        images = channels_last(self.plan.normalize(batch[0]))
        with torch.autocast(images.device.type, enabled=False):
            outputs = self.plan.task.predict(self.evaluated, images)
        if not all(bool(torch.isfinite(output).all()) for output in outputs.values()):
            raise self._diverged("predictions are not finite", step=self._n_steps)
        self.evaluator.update({name: output.cpu() for name, output in outputs.items()})

    def on_validation_epoch_end(self) -> None:
        """Compute the metrics, close the epoch's row and tell it."""
        metrics = self.evaluator.metrics()
        row = EpochRow(
            epoch=self.epoch + 1,
            train_loss=math.fsum(self._losses) / len(self._losses),
            lr=max(group["lr"] for group in self.optimizers().param_groups),
            seconds=time.perf_counter() - self._started,
            metrics=metrics,
        )
        self.rows.append(row)
        if row.epoch == self.plan.settings.until_epoch:
            self.kept = Kept(row, self.evaluator.saved_predictions())
        if self.plan.on_epoch is not None:
            self.plan.on_epoch(row)

    def _diverged(self, what: str, *, step: int) -> DivergedError:
        return DivergedError(
            f"The {what} in epoch {self.epoch + 1}, step {step}, at lr "
            f"{self.plan.recipe.lr:g}. Lower learning rates train more calmly."
        )

    def _set_lr(self, step: int) -> None:
        settings = self.plan.settings
        total = settings.horizon * self._n_steps
        warmup = PROBE_WARMUP_SHARE if settings.init == "probe" else WARMUP_SHARE
        factor = lr_factor(settings.schedule, step, total, warmup=warmup)
        lr = self.plan.recipe.lr * factor
        for group in self.optimizers().param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
