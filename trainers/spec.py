"""Architectures, recipes and results as plain records that travel between processes."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal

Precision = Literal["fp32", "bf16"]
Schedule = Literal["one_cycle", "cosine"]
Augment = Literal["none", "light", "light_if_long", "strong"]
# Which flips an augmentation draws from: those of its strength, or of these alone. ``all`` has
# quarter turns, too.
Flips = Literal["usual", "none", "horizontal", "vertical", "both", "all"]
USUAL_FLIPS: Flips = "usual"
# What a training begins with: a drawn head, or the head solved on the frozen backbone's features.
Init = Literal["random", "probe"]
Norms = Literal["train", "frozen"]
# How a loss treats classes of unequal size: not at all, by weights, or by what the logits mean.
Balance = Literal["plain", "class_balanced", "balanced_softmax"]
PLAIN_LOSS: Balance = "plain"


# Objects of an image that a detector finds at most, and that COCO counts.
DETECTIONS = 100


@dataclass(frozen=True)
class Architecture:
    """Everything about a network that can change its latency, and nothing else.

    Attributes:
        task: Key of ``trainers.tasks.TASKS``.
        backbone: timm model name without a pretrained tag, such as ``resnet18``.
        head: Key of the task's ``heads``.
        input_size: Side of the square input in pixels.
        classes: Number of classes.
        channels: Channels of the input image, 1 or 3.
        fused: Whether re-parameterizable blocks are merged before use.
        neck: What mixes the feature maps before the head, such as ``fpn``; ``none`` where the
            head does without or has its own.
        width: Channels of neck and head; 0 where the head has a width of its own.
        depth: Stages of a decoder, or convolutions of a head; 0 as above.
        finest: Stride of the finest feature map that is used; 0 where that is not a choice.
        detections: Objects of an image that a detector finds at most.
    """

    task: str
    backbone: str
    head: str
    input_size: int
    classes: int
    channels: int
    fused: bool = False
    neck: str = "none"
    width: int = 0
    depth: int = 0
    finest: int = 0
    detections: int = DETECTIONS

    @property
    def top(self) -> str:
        """Return neck, head and shape for people, such as ``avg`` or ``fpn yolo w64 d2``."""
        parts = [self.head if self.neck == "none" else f"{self.neck} {self.head}"]
        parts += [f"w{self.width}"] if self.width else []
        parts += [f"d{self.depth}"] if self.depth else []
        return " ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Return plain content, without the fields that do not apply to this network.

        So that the ids of networks do not change when there is more to say of others.
        """
        plain = {"neck": "none", "width": 0, "depth": 0, "finest": 0, "detections": DETECTIONS}
        return {k: v for k, v in vars(self).items() if k not in plain or v != plain[k]}


@dataclass(frozen=True)
class Weights:
    """Where the backbone's first weights come from.

    Attributes:
        source: ``none`` (random), ``pretrained`` (timm's own files) or ``folder``.
        tag: timm's pretrained tag, such as ``a1_in1k``; None without weights or tag.
        sha256: Hash of the file that is loaded, as the hub publishes it where the file was not on
            this machine; None when random.
        path: The file itself; None when random, and for pretrained weights that were not on this
            machine when the study began: they are fetched when they are needed.
    """

    source: Literal["none", "pretrained", "folder"] = "none"
    tag: str | None = None
    sha256: str | None = None
    path: str | None = None


@dataclass(frozen=True)
class Recipe:
    """How a candidate is trained; every value comes from a grid.

    Attributes:
        lr: Peak learning rate of AdamW.
        weight_decay: Weight decay of AdamW, not applied to norms and biases.
        batch_size: Images per step.
        augment: Strength of the augmentation; ``light_if_long`` is ``light`` in full trainings
            that see each image often enough, and else ``none``.
        dropout: Dropout before the classifier.
        freeze: Train the head only; needs weights.
        loss: How the loss treats classes of unequal size; one of the task's ``balances``.
        flips: Which flips the augmentation draws from, where there is one.
        layer_decay: Learning rate of a layer over that of the layer above it; 1 for equal ones.
    """

    lr: float
    weight_decay: float
    batch_size: int
    augment: Augment
    dropout: float
    freeze: bool = False
    loss: Balance = PLAIN_LOSS
    flips: Flips = USUAL_FLIPS
    layer_decay: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain content, without what earlier recipes do not have where it is as it was."""
        plain = {"loss": PLAIN_LOSS, "flips": USUAL_FLIPS, "layer_decay": 1.0}
        return {k: v for k, v in vars(self).items() if k not in plain or v != plain[k]}


@dataclass(frozen=True)
class TrainSettings:
    """Settings that every training of a study shares.

    Attributes:
        metric: The metric that the study maximizes; a key of the task's ``metrics``.
        until_epoch: Train up to and including this epoch.
        horizon: Epochs that the learning-rate schedule spans, at least ``until_epoch``.
        seed: All randomness derives from (seed, epoch, step).
        label_smoothing: Share of the target spread over the other classes.
        loss: One of the task's ``losses``.
        class_weights: Weight of each class in the loss; None for equal ones.
        schedule: Learning-rate schedule.
        precision: ``bf16`` runs under autocast.
        threads: Intra-op threads of the training process.
        init: ``probe`` solves the head on the features of the frozen backbone, which is epoch 0
            of the curve; with ``until_epoch`` 0 there is nothing else.
        norms: ``frozen`` keeps the statistics of batch norms as the first weights have them, while
            their scales and shifts are trained.
        ema: Share of the averaged weights that a step keeps; 0 for no average. The average is what
            is evaluated and saved.
        share: Share of the training images that one epoch sees. Epochs go on through one order,
            so that all images come before any comes again.
        class_sizes: Examples of each class in the training split, for recipes whose loss asks:
            images, or objects, or as many images as the pixels of the class fill.
        log_priors: Logarithm of each class's share, which the loss adds to the logits; None for
            a loss of the logits as they are. ``class_balance.py`` sets it.
    """

    metric: str
    until_epoch: int
    horizon: int
    seed: int
    label_smoothing: float
    schedule: Schedule
    precision: Precision
    threads: int
    loss: str = ""
    class_weights: tuple[float, ...] | None = None
    _: KW_ONLY
    init: Init = "random"
    norms: Norms = "train"
    ema: float = 0.0
    share: float = 1.0
    class_sizes: tuple[float, ...] | None = None
    log_priors: tuple[float, ...] | None = None


@dataclass(frozen=True)
class EpochRow:
    """One epoch of a learning curve; ``metrics`` are on the validation split.

    Epoch 0 is a probe's; its ``train_loss`` is that of the solved head, and its ``lr`` 0.
    """

    epoch: int
    train_loss: float
    lr: float
    seconds: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class TrainResult:
    """Result of one training.

    Attributes:
        metrics: Every metric of the task on the validation split at ``kept_epoch``.
        curve: One row per epoch, with those of the rungs below.
        seconds: Wall seconds of training and validation, without building, loading and what was
            spent on the rungs below. With the features of a frozen backbone, which no epoch's
            row has.
        images_per_s: Training images per second of training time.
        predictions: npz file with the saved predictions for the validation split, from which every
            metric can be computed again.
        weights: safetensors file of the trained network, as it was evaluated.
        kept_epoch: The epoch that metrics, predictions and weights are of: the last one, or 0
            where the probe is better than what fine-tuning made of it.
        resume: What a training goes on from; None where it reached its horizon.
        micro_batch: Images that went through the network at a time at the end, where memory did
            not hold a whole batch; None where it did.
        knn: Share of the training images that their nearest neighbor's label fits, by the features
            of a probe; None where none was solved.
    """

    metrics: dict[str, float]
    curve: tuple[EpochRow, ...]
    seconds: float
    images_per_s: float
    predictions: Path
    weights: Path
    kept_epoch: int
    resume: Path | None = None
    micro_batch: int | None = None
    knn: float | None = None
