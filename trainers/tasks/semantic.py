"""A class for every pixel: heads, losses, decoding and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.spec import Architecture, Balance, TrainSettings, Weights
from archfront.trainers.tasks.defaults import DRAWN, TaskDefaults
from archfront.trainers.tasks.grid import Grid
from archfront.trainers.tasks.pyramids import DILATING, no_pyramid

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.trainers.data.preprocess import Preprocess
    from archfront.trainers.data.targets import TargetKind
    from archfront.trainers.data.verify import Sample
    from archfront.trainers.tasks.protocol import Evaluator, SavedPredictions

# The decoders halve and double maps down to stride 32.
_PLAIN = Grid(size_step=32)
_UNET = replace(
    _PLAIN,
    width=True,
    width_step=4,
    depth=True,
    depths=(3, 5),
    convs=-19.0,
    convs_of_depth=7.3,
)
GRIDS: Mapping[str, Grid] = {
    "unet": _UNET,
    "unetplusplus": replace(_UNET, convs=-39.0, convs_of_depth=14.5),
    # Its norms have 32 groups of channels, and need more than one value in each.
    "fpn": replace(_PLAIN, width=True, width_step=32, size_min=64, convs=3.0),
    "deeplabv3plus": replace(_PLAIN, width=True, convs=2.9, channels=64),
    # It pools the map of stride 16 to an eighth.
    "pan": replace(_PLAIN, width=True, size_min=128, convs=3.1, channels=64),
    # Its channels are those of the backbone.
    "linknet": replace(_PLAIN, depth=True, depths=(3, 5)),
    "manet": _UNET,
    "segformer": replace(_PLAIN, width=True, depth=True, depths=(3, 5)),
}
NEEDED_STRIDES = (4, 8, 16, 32)
# Heads over a last map of stride 16, which the backbone must be able to give.
DILATED = frozenset({"deeplabv3plus", "pan"})
# Side of the squares of one class in drawn masks, in pixels.
PATCH = 8


@dataclass(frozen=True)
class Semantic(TaskDefaults):
    """The task protocol for images in which every pixel has a class.

    Attributes:
        heads: Decoders of segmentation_models.pytorch.
        metrics: ``miou`` and ``dice`` are means over the classes that are true or predicted,
            ``class_accuracy`` is the mean recall.
        losses: ``ce_dice`` is the sum of both.
        output_names: Logits of the size of the input.
    """

    heads: tuple[str, ...] = tuple(GRIDS)
    metrics: tuple[str, ...] = ("miou", "dice", "pixel_accuracy", "class_accuracy")
    losses: tuple[str, ...] = ("cross_entropy", "dice", "focal", "ce_dice")
    balances: ClassVar[tuple[Balance, ...]] = ("plain", "class_balanced")
    output_names: tuple[str, ...] = ("logits",)
    target: TargetKind = "mask"

    def misfit(self, head: str, family: str, strides: Sequence[int]) -> str | None:
        """Return why a head cannot sit on a backbone; None if it can."""
        reason = no_pyramid(family, strides, NEEDED_STRIDES)
        if reason is not None:
            return reason
        if head in DILATED and family not in DILATING:
            return f"needs a dilated last stage, which timm's {family} does not have"
        return None

    def grid(self, head: str) -> Grid:
        """Return the grid of choices that the head leaves open."""
        return GRIDS[head]

    def chance(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> float:
        """Return the metric's value when every pixel gets the commonest class."""
        from archfront.trainers.tasks.judges.overlap import METRICS

        self.check_metric(metric)
        true = np.asarray(class_counts, np.float64)
        answer = np.arange(len(true)) == true.argmax()
        return float(METRICS[metric](true * answer, true, true.sum() * answer))

    def baselines(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> dict[str, float]:
        """Return the metric of the commonest class, and of classes drawn by their shares.

        The latter is the metric of the expected counts. Where classes have similar shares it is
        the higher one of overlaps: with two halves, an IoU of 1/3 against 1/4.
        """
        from archfront.trainers.tasks.judges.overlap import METRICS

        true = np.asarray(class_counts, np.float64)
        constant = super().baselines(metric, class_counts, n_images)
        drawn = float(METRICS[metric](true * true / true.sum(), true, true))
        return {**constant, DRAWN: drawn}

    def build(
        self, architecture: Architecture, weights: Weights, dropout: float = 0.0
    ) -> nn.Module:
        """Return the network in training mode: images in, logits ``(N, classes, S, S)`` out.

        Raises:
            BuildError: If backbone, head, width, depth and input size do not make a network.
            WeightsError: If the first weights do not fit it.
        """
        self.check_architecture(architecture)
        from archfront.trainers.networks.segmenters.network import build_segmenter

        return build_segmenter(architecture, weights, dropout)

    def training_step(
        self, model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], settings: TrainSettings
    ) -> dict[str, torch.Tensor]:
        """Return the losses of masks ``(N, S, S)``; ignored pixels have no part in them."""
        from archfront.trainers.networks.segmenters.losses import losses_of

        images, masks = batch
        return losses_of(model(images), masks, settings)

    def example_targets(
        self, architecture: Architecture, batch_size: int, seed: int
    ) -> torch.Tensor:
        """Return masks ``(batch_size, S, S)`` of small squares, the last row ignored."""
        import torch

        from archfront.trainers.data.targets import IGNORED

        n = -(-architecture.input_size // PATCH)
        generator = torch.Generator().manual_seed(seed)
        shape = (batch_size, n, n)
        squares = torch.randint(architecture.classes, shape, generator=generator)
        masks = squares.repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2).to(torch.uint8)
        masks = masks[:, : architecture.input_size, : architecture.input_size].clone()
        masks[:, -1] = IGNORED
        return masks

    def decode(self, outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.uint8]:
        """Return the class of each pixel, ``(N, S, S)``; the lower one of two equal ones."""
        labels: NDArray[np.uint8] = outputs["logits"].argmax(axis=1).astype(np.uint8)
        return labels

    def evaluator(
        self, samples: Sequence[Sample], class_names: Sequence[str], preprocess: Preprocess
    ) -> Evaluator:
        """Return the evaluator of masks at the size of their images."""
        from archfront.trainers.tasks.judges.masks import MaskEvaluator

        return MaskEvaluator(samples, class_names, preprocess)

    def resampled(
        self, metric: str, saved: SavedPredictions
    ) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        """Return the metric of the images' confusion matrices, each by its weight."""
        from archfront.trainers.tasks.judges.overlap import resampled_metric

        self.check_metric(metric)
        return resampled_metric(metric, saved["confusion"])
