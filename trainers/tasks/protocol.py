"""The contract of tasks and evaluators; ``defaults.py`` has what most tasks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.trainers.data.preprocess import Preprocess, Resize
    from archfront.trainers.data.targets import TargetKind
    from archfront.trainers.data.verify import Sample
    from archfront.trainers.spec import Architecture, Balance, TrainSettings, Weights
    from archfront.trainers.tasks.grid import Grid


# What an evaluator saves, by name; an npz file of it when it is read again.
SavedPredictions = Mapping[str, NDArray[Any]]


class Evaluator(Protocol):
    """Compares the predictions of a split, given in its order, with what is true."""

    def update(self, outputs: Mapping[str, torch.Tensor]) -> None:
        """Take in the named outputs for the next images."""

    def metrics(self) -> dict[str, float]:
        """Return every metric of the task, and further ones by class, such as ``iou/road``.

        Raises:
            ValueError: If not all images were taken in.
        """

    def least_score(self) -> float:
        """Return the score from which on an answer counts: of labels and objects; 0 of the rest.

        That of objects is the one that the predictions have their largest F1 with.
        """

    def saved_predictions(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that intervals and metrics can be computed from without images."""


class Task(Protocol):
    """Everything that training, measuring and export ask of a task.

    Attributes:
        heads: Names of the heads, the first of them the default.
        metrics: Names of the metrics; for each of them higher is better.
        losses: Names of the losses, the first of them the default.
        balances: Ways in which a loss can treat classes of unequal size, the plain one first.
        output_names: Names of what the deployed network gives, in its order.
        compared: Those of them that an export is compared by with eager PyTorch; the others
            follow from them.
        target: What it learns from.
        is_image_level: Whether that is labels of whole images.
        resize: How an image becomes a square.
    """

    @property
    def heads(self) -> tuple[str, ...]:
        """Return the names of the heads."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics."""

    @property
    def losses(self) -> tuple[str, ...]:
        """Return the names of the losses."""

    @property
    def balances(self) -> tuple[Balance, ...]:
        """Return the ways in which a loss can treat classes of unequal size."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Return the names of the deployed network's outputs."""

    @property
    def compared(self) -> tuple[str, ...]:
        """Return the names of the outputs that an export is compared by."""

    @property
    def target(self) -> TargetKind:
        """Return the kind of target that the task learns from."""

    @property
    def is_image_level(self) -> bool:
        """Return whether its targets are labels of whole images."""

    @property
    def resize(self) -> Resize:
        """Return the way in which an image becomes a square."""

    def heads_for(self, backbone: str, among: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the heads that the backbone can carry, without two that are the same."""

    def misfit(self, head: str, family: str, strides: Sequence[int]) -> str | None:
        """Return why a head cannot sit on a backbone, by the backbone's rules; None if it can."""

    def depends_on_weights(self, head: str) -> bool:
        """Return whether the time of a prediction depends on what the network has learned."""

    def grid(self, head: str) -> Grid:
        """Return the grid of choices that the head leaves open."""

    def chance(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> float:
        """Return the metric's value without looking at the images.

        Args:
            metric: One of ``metrics``.
            class_counts: Images, objects or pixels of each class.
            n_images: Images of the split.
        """

    def baselines(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> dict[str, float]:
        """Return the metric's value of each answer that needs no image, by its name in words.

        Args:
            metric: One of ``metrics``.
            class_counts: Images, objects or pixels of each class.
            n_images: Images of the split.
        """

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

    def aligned(
        self, expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """Return all outputs of an export in the order of eager's, where order says nothing.

        Rows that are sorted by a score change places by a rounding error, though both networks
        are right. What differs by more than that has to differ after it too.

        Args:
            expected: Outputs ``(N, ...)`` of eager PyTorch, by the places of ``output_names``.
            found: Those of its export, of the same shapes.
        """

    def example(self, architecture: Architecture, batch_size: int, seed: int) -> torch.Tensor:
        """Return seeded input of the deployed network."""

    def example_targets(self, architecture: Architecture, batch_size: int, seed: int) -> Any:
        """Return seeded targets for such input, as a batch of training has them."""

    def decode(self, outputs: Mapping[str, NDArray[Any]]) -> Any:
        """Return the answers, one entry an image, from the outputs by their names."""

    def evaluator(
        self, samples: Sequence[Sample], class_names: Sequence[str], preprocess: Preprocess
    ) -> Evaluator:
        """Return the evaluator of predictions for a split."""

    def resampled(
        self, metric: str, saved: SavedPredictions
    ) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        """Return the metric as a function of how often each image counts.

        Args:
            metric: One of ``metrics``.
            saved: Saved predictions of a split.

        Returns:
            From weights ``(R, n_images)`` to values ``(R,)``.
        """
