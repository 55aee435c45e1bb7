"""Any number of labels per image: sigmoid outputs of the classifiers, loss, decoding, metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.errors import unknown
from archfront.trainers.spec import Architecture, Balance, TrainSettings
from archfront.trainers.tasks.classification import Classification
from archfront.trainers.tasks.defaults import DRAWN, TaskDefaults
from archfront.trainers.tasks.judges.weighted import THRESHOLD, label_set_metric

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.trainers.data.preprocess import Preprocess
    from archfront.trainers.data.targets import TargetKind
    from archfront.trainers.data.verify import Sample
    from archfront.trainers.tasks.protocol import Evaluator, SavedPredictions

# Lin et al. 2017 (RetinaNet), section 4.1; without their alpha, whose best value goes with the
# share of what is shown, and that differs by class.
FOCAL_GAMMA = 2.0


@dataclass(frozen=True)
class Multilabel(Classification):
    """The task protocol for images that show any number of classes.

    Attributes:
        metrics: ``map`` is the mean of the classes' average precisions, those left out that no
            image shows; ``macro_f1`` and ``micro_f1`` are of the classes whose probability is
            over one half.
        output_names: One probability per class; they do not add up to 1.
    """

    metrics: tuple[str, ...] = ("map", "macro_f1", "micro_f1")
    losses: tuple[str, ...] = ("bce", "focal")
    balances: ClassVar[tuple[Balance, ...]] = ("plain", "class_balanced")
    target: TargetKind = "labels"
    baseline: ClassVar[str] = "the best constant answer"

    def chance(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> float:
        """Return the most that one constant answer reaches.

        Without the number of images, every image is taken to show one class.
        """
        n = n_images or sum(class_counts)
        match metric:
            case "map":  # the precision of all images is the share of those that show the class
                shown = [count for count in class_counts if count]  # others have no precision
                return sum(count / n for count in shown) / max(1, len(shown))
            case "macro_f1":
                return sum(2 * count / (count + n) for count in class_counts) / len(class_counts)
            case "micro_f1":  # naming the k commonest classes on every image
                hits = np.cumsum(sorted(class_counts, reverse=True))
                named = n * np.arange(1, len(hits) + 1)
                return float((2 * hits / (hits[-1] + named)).max())
        raise unknown("metric", metric, self.metrics)

    def baselines(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> dict[str, float]:
        """Return the best constant answer, and labels drawn by the shares of images they are on.

        The latter is the metric of the expected counts: ``n`` times the share is named, and of it
        the share is right.
        """
        constant = TaskDefaults.baselines(self, metric, class_counts, n_images)
        shares = np.asarray(class_counts) / (n_images or sum(class_counts))
        shares = shares[shares > 0] if metric == "map" else shares
        drawn = (shares**2).sum() / shares.sum() if metric == "micro_f1" else shares.mean()
        return {**constant, DRAWN: float(drawn)}

    def training_step(
        self, model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], settings: TrainSettings
    ) -> dict[str, torch.Tensor]:
        """Return the mean binary cross-entropy over images and classes, or its focal variant.

        Targets are ``(N, classes)`` from 0 to 1; smoothing moves them towards one half.
        """
        from torch.nn.functional import binary_cross_entropy_with_logits as bce

        images, targets = batch
        logits = model(images).float()
        share = settings.label_smoothing
        smooth = targets * (1 - share) + share / 2
        name = settings.loss or self.losses[0]
        losses = bce(logits, smooth, reduction="none")
        if name == "focal":
            chances = logits.sigmoid()
            right = chances * targets + (1 - chances) * (1 - targets)
            losses = losses * (1 - right) ** FOCAL_GAMMA
        if settings.class_weights is not None:
            losses = losses * logits.new_tensor(settings.class_weights)
        return {name: losses.mean()}

    def predict(self, model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``probabilities (N, classes)`` of normalized images."""
        return {"probabilities": model(images).float().sigmoid()}

    def deploy_module(self, model: nn.Module) -> nn.Module:
        """Return the network to export, in evaluation mode: a copy where blocks are fused."""
        from torch import nn

        from archfront.trainers.networks.task_network import Deployed

        return Deployed(model, nn.Sigmoid())

    def decode(self, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.int64]:
        """Return 1 for every class that an image shows, else 0: ``(N, classes)``."""
        return (np.asarray(outputs["probabilities"]) > THRESHOLD).astype(np.int64)

    def example_targets(
        self, architecture: Architecture, batch_size: int, seed: int
    ) -> torch.Tensor:
        """Return a class and its next one for each image, ``(batch_size, classes)``."""
        import torch

        first = (torch.arange(batch_size) + seed) % architecture.classes
        shown = torch.eye(architecture.classes)
        return torch.maximum(shown[first], shown[(first + 1) % architecture.classes])

    def evaluator(
        self, samples: Sequence[Sample], class_names: Sequence[str], preprocess: Preprocess
    ) -> Evaluator:
        """Return mean average precision and F1, and ``ap/<class>`` of every class."""
        from archfront.trainers.tasks.judges.label_sets import LabelSetEvaluator

        return LabelSetEvaluator([sample.target for sample in samples], class_names)

    def resampled(
        self, metric: str, saved: SavedPredictions
    ) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        """Return the metric as a function of how often each image counts."""
        return label_set_metric(metric, saved["probabilities"], saved["labels"])
