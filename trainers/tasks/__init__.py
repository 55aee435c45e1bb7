"""What can be learned, by name. Nothing here imports torch before a network is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from trainers.errors import unknown
from trainers.tasks.classification import Classification

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn
    from torchmetrics import MetricCollection

    from trainers.spec import Architecture, TrainSettings, Weights

__all__ = ["TASKS", "Task", "task_named"]


class Task(Protocol):
    """Everything that training, measuring and export ask of a task.

    Attributes:
        heads: Names of the heads, the first of them the default.
        metrics: Names of the metrics; for each of them higher is better.
        output_names: Names of what the deployed network gives, in its order.
    """

    @property
    def heads(self) -> tuple[str, ...]:
        """Return the names of the heads."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Return the names of the deployed network's outputs."""

    def heads_for(self, backbone: str, among: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the heads that the backbone can carry, without two that are the same."""

    def chance(self, metric: str, class_counts: Sequence[int]) -> float:
        """Return what the metric gives without looking at the images."""

    def build(
        self, architecture: Architecture, weights: Weights, dropout: float = 0.0
    ) -> nn.Module:
        """Return the network in training mode; what has no weights is drawn from torch's seed."""

    def freeze(self, model: nn.Module) -> None:
        """Leave only the head of a built network to be trained."""

    def training_step(
        self, model: nn.Module, batch: tuple[torch.Tensor, Any], settings: TrainSettings
    ) -> dict[str, torch.Tensor]:
        """Return the named losses of a batch; their sum is what is minimized."""

    def predict(self, model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the named outputs for normalized images, as the deployed network gives them."""

    def deploy_module(self, model: nn.Module) -> nn.Module:
        """Return the network to export: normalized float images in, a tuple of outputs."""

    def example(self, architecture: Architecture, batch_size: int, seed: int) -> torch.Tensor:
        """Return seeded input of the deployed network."""

    def decode(self, outputs: Mapping[str, NDArray[np.float32]]) -> Any:
        """Return what a person asks for, from the outputs by their names."""

    def new_metrics(self, classes: int) -> MetricCollection:
        """Return fresh metrics by their names."""

    def update(
        self, metrics: MetricCollection, outputs: Mapping[str, torch.Tensor], targets: Any
    ) -> None:
        """Count predictions with their targets."""


TASKS: dict[str, Task] = {"classification": Classification()}


def task_named(name: str) -> Task:
    """Return the task of this name.

    Raises:
        ConfigError: If there is no such task.
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]
