"""One label per image: its heads, loss, decoding and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.errors import unknown
from archfront.trainers.spec import Architecture, Balance, TrainSettings, Weights
from archfront.trainers.tasks.defaults import DRAWN, TaskDefaults

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.trainers.data.preprocess import Preprocess, Resize
    from archfront.trainers.data.targets import TargetKind
    from archfront.trainers.data.verify import Sample
    from archfront.trainers.tasks.protocol import Evaluator, SavedPredictions


@dataclass(frozen=True)
class Classification(TaskDefaults):
    """The task protocol for images that have one label each.

    Attributes:
        heads: ``timm`` is the network as its authors ended it; ``avg``, ``max`` and ``avgmax``
            change its pooling; ``gem``, ``mlp``, ``levels`` and ``truncated`` put a head of ours
            on it: the last two on the features of all its stages, and of all but the last stage,
            which is dropped.
        metrics: ``balanced_accuracy`` is the mean recall of the classes.
        output_names: One probability per class.
    """

    heads: tuple[str, ...] = (
        *("timm", "avg", "max", "avgmax", "gem", "mlp"),
        *("levels", "truncated"),
    )
    metrics: tuple[str, ...] = ("accuracy", "balanced_accuracy", "macro_f1")
    losses: tuple[str, ...] = ("cross_entropy",)
    balances: ClassVar[tuple[Balance, ...]] = ("plain", "class_balanced", "balanced_softmax")
    output_names: tuple[str, ...] = ("probabilities",)
    target: TargetKind = "label"
    resize: Resize = "squash"

    def heads_for(self, backbone: str, among: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the heads that the backbone can carry, without two that are the same.

        The network is built without memory for its weights, once per head and process.

        Args:
            backbone: timm model name without a tag.
            among: The heads asked for; all when None. Where two of them make the same network
                (``timm`` and ``avg`` often do), the one named first stays.

        Raises:
            ConfigError: If one of ``among`` is no head.
        """
        from archfront.trainers.networks.classifiers import head_signature

        kept: dict[str, str] = {}
        for head in self.heads if among is None else among:
            if head not in self.heads:
                raise unknown("head", head, self.heads)
            signature = head_signature(backbone, head)
            if signature is not None:
                kept.setdefault(signature, head)
        return tuple(kept.values())

    def chance(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> float:
        """Return the metric's value when every image gets the commonest class."""
        from archfront.trainers.tasks.judges.label_counts import METRICS

        self.check_metric(metric)
        true = np.asarray(class_counts, np.float64)
        answer = np.arange(len(true)) == true.argmax()
        return float(METRICS[metric](true * answer, true, true.sum() * answer))

    def baselines(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> dict[str, float]:
        """Return the metric of the commonest class, and of classes drawn by their shares.

        The latter is the metric of the expected counts: of what a class gets, its share is right.
        """
        from archfront.trainers.tasks.judges.label_counts import METRICS

        true = np.asarray(class_counts, np.float64)
        drawn = float(METRICS[metric](true * true / true.sum(), true, true))
        return {**super().baselines(metric, class_counts, n_images), DRAWN: drawn}

    def build(
        self, architecture: Architecture, weights: Weights, dropout: float = 0.0
    ) -> nn.Module:
        """Return the classifier in training mode: images in, logits ``(N, classes)`` out.

        Raises:
            BuildError: If backbone, head and input size do not make a network.
            WeightsError: If the first weights do not fit it.
        """
        from archfront.trainers.networks.classifiers import build_classifier

        self.check_architecture(architecture)
        return build_classifier(architecture, weights, dropout)

    def training_step(
        self, model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], settings: TrainSettings
    ) -> dict[str, torch.Tensor]:
        """Return the cross-entropy of labels ``(N,)`` or of mixed ones ``(N, classes)``.

        Priors of the classes shift the logits here and nowhere else: predictions are by the
        logits as they are.
        """
        from torch.nn.functional import cross_entropy

        images, targets = batch
        logits = model(images).float()
        if settings.log_priors is not None:
            logits = logits + logits.new_tensor(settings.log_priors)
        weights = settings.class_weights
        loss = cross_entropy(
            logits,
            targets,
            weight=None if weights is None else logits.new_tensor(weights),
            label_smoothing=settings.label_smoothing,
        )
        return {"cross_entropy": loss}

    def predict(self, model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``probabilities (N, classes)`` of normalized images."""
        return {"probabilities": model(images).float().softmax(dim=1)}

    def deploy_module(self, model: nn.Module) -> nn.Module:
        """Return the network to export, in evaluation mode: a copy where blocks are fused."""
        from torch import nn

        from archfront.trainers.networks.task_network import Deployed

        return Deployed(model, nn.Softmax(dim=1))

    def decode(self, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.int64]:
        """Return the label ``(N,)`` of each image; the lower one of two equal ones."""
        labels: NDArray[np.int64] = np.asarray(outputs["probabilities"]).argmax(axis=1)
        return labels

    def example_targets(
        self, architecture: Architecture, batch_size: int, seed: int
    ) -> torch.Tensor:
        """Return the classes in turn, ``(batch_size,)``."""
        import torch

        return (torch.arange(batch_size) + seed) % architecture.classes

    def evaluator(
        self, samples: Sequence[Sample], class_names: Sequence[str], preprocess: Preprocess
    ) -> Evaluator:
        """Return accuracy, mean recall and mean F1 over the classes."""
        from archfront.trainers.tasks.judges.labels import LabelEvaluator

        return LabelEvaluator([sample.target for sample in samples], len(class_names))

    def resampled(
        self, metric: str, saved: SavedPredictions
    ) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        """Return the metric as a function of how often each image counts."""
        from archfront.trainers.tasks.judges.label_counts import resampled_labels

        self.check_metric(metric)
        return resampled_labels(metric, saved["probabilities"], saved["labels"])
