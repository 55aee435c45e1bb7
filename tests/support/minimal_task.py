"""A task as short as one can be: whether an image shows a class with an odd number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.verify import Sample
from archfront.trainers.networks.backbone import build_backbone
from archfront.trainers.networks.task_network import TaskNetwork
from archfront.trainers.spec import Architecture, TrainSettings, Weights
from archfront.trainers.tasks.defaults import TaskDefaults
from archfront.trainers.tasks.protocol import SavedPredictions


class OddNetwork(TaskNetwork):
    def __init__(self, a: Architecture, weights: Weights, dropout: float) -> None:
        super().__init__(a)
        self.pyramid = build_backbone(
            a.backbone, channels=a.channels, input_size=a.input_size, weights=weights
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.pyramid.channels[-1], 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        odds: torch.Tensor = self.head(self.pyramid(images)[-1].mean(dim=(2, 3)))
        return odds[:, 0].sigmoid()


class OddEvaluator:
    def __init__(self, samples: Sequence[Sample]) -> None:
        self.labels = np.array([sample.target for sample in samples])
        self.seen: list[NDArray[Any]] = []

    def update(self, outputs: Mapping[str, torch.Tensor]) -> None:
        self.seen += list(outputs["odd"].numpy())

    def metrics(self) -> dict[str, float]:
        if len(self.seen) != len(self.labels):
            raise ValueError(f"{len(self.seen)} of {len(self.labels)} images were evaluated")
        return {"odd_accuracy": float(self.saved_predictions()["right"].mean())}

    def least_score(self) -> float:
        return 0.5

    def saved_predictions(self) -> dict[str, NDArray[Any]]:
        right = (np.array(self.seen) > 0.5) == (self.labels % 2 == 1)
        return {"images": np.arange(len(right)), "right": right}


class Odd(TaskDefaults):
    heads = ("mean",)
    metrics = ("odd_accuracy",)
    output_names = ("odd",)
    target = "label"

    def chance(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> float:
        odd = sum(class_counts[1::2]) / sum(class_counts)
        return max(odd, 1 - odd)

    def build(
        self, architecture: Architecture, weights: Weights, dropout: float = 0.0
    ) -> nn.Module:
        self.check_architecture(architecture)
        return OddNetwork(architecture, weights, dropout)

    def training_step(
        self, model: nn.Module, batch: tuple[torch.Tensor, Any], settings: TrainSettings
    ) -> dict[str, torch.Tensor]:
        return {"own": F.binary_cross_entropy(model(batch[0]), (batch[1] % 2).float())}

    def example_targets(
        self, architecture: Architecture, batch_size: int, seed: int
    ) -> torch.Tensor:
        return (torch.arange(batch_size) + seed) % architecture.classes

    def decode(self, outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        return np.asarray(outputs["odd"] > 0.5)

    def evaluator(
        self, samples: Sequence[Sample], class_names: Sequence[str], preprocess: Preprocess
    ) -> OddEvaluator:
        return OddEvaluator(samples)

    def resampled(
        self, metric: str, saved: SavedPredictions
    ) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        self.check_metric(metric)
        right = saved["right"]
        return lambda weights: weights @ right / weights.sum(axis=1)
