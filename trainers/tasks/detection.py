"""The objects of an image as boxes: heads, losses, decoding and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.spec import Architecture, TrainSettings, Weights
from archfront.trainers.tasks.defaults import TaskDefaults
from archfront.trainers.tasks.grid import Grid
from archfront.trainers.tasks.pyramids import no_pyramid

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.trainers.data.preprocess import Preprocess
    from archfront.trainers.data.targets import TargetKind
    from archfront.trainers.data.verify import Sample
    from archfront.trainers.tasks.protocol import Evaluator, SavedPredictions

# Levels are halved down to stride 32.
_ONE_STAGE = Grid(
    neck=("pan", "fpn", "none"),
    width=True,
    depth=True,
    depths=(1, 4),
    finest=(8, 4),
    size_step=32,
    convs=1.3,
    convs_of_depth=2.6,
)
# torchvision's heads come with norms over 32 groups.
_TORCHVISION = replace(_ONE_STAGE, neck=("fpn", "pan", "none"), width_step=32)
_TWO_STAGE = replace(_TORCHVISION, depth=False, convs=8.0, convs_of_depth=0.0)
GRIDS: Mapping[str, Grid] = {
    "yolo": _ONE_STAGE,
    "fcos": _TORCHVISION,
    "retinanet": _TORCHVISION,
    "faster_rcnn": _TWO_STAGE,
    "yolo_mask": _ONE_STAGE,
    "mask_rcnn": _TWO_STAGE,
}
TWO_STAGE = ("faster_rcnn", "mask_rcnn")
# Coarser levels are made where the backbone has none.
NEEDED_STRIDES = (8, 16)
# Objects of a drawn image.
N_DRAWN = 3


@dataclass(frozen=True)
class Detection(TaskDefaults):
    """The task protocol for images whose objects have boxes.

    Attributes:
        heads: ``yolo`` is ours, the others are torchvision's.
        metrics: COCO's average precision, over IoU thresholds from 0.5 to 0.95, at 0.5 and at
            0.75.
        output_names: Boxes and scores of all places, before any is chosen; and detections
            ``(N, D, 6)``: x1, y1, x2, y2 in pixels of the input, score, label.
    """

    heads: tuple[str, ...] = ("yolo", "fcos", "retinanet", "faster_rcnn")
    metrics: tuple[str, ...] = ("map", "map50", "map75")
    output_names: tuple[str, ...] = ("boxes", "scores", "detections")
    target: TargetKind = "boxes"
    baseline: ClassVar[str] = "finding nothing"

    def misfit(self, head: str, family: str, strides: Sequence[int]) -> str | None:
        """Return why a head cannot sit on a backbone; None if it can."""
        return no_pyramid(family, strides, NEEDED_STRIDES)

    def grid(self, head: str) -> Grid:
        """Return the grid of choices that the head leaves open."""
        return GRIDS[head]

    def depends_on_weights(self, head: str) -> bool:
        """Return whether the head has a second stage, on what the first one proposes."""
        return head in TWO_STAGE

    def chance(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> float:
        """Return 0: without looking at an image no object is found."""
        self.check_metric(metric)
        return 0.0

    def build(
        self, architecture: Architecture, weights: Weights, dropout: float = 0.0
    ) -> nn.Module:
        """Return the network in training mode.

        Raises:
            BuildError: If backbone, neck, head, width, depth and input size do not make a network.
            WeightsError: If the first weights do not fit it.
        """
        self.check_architecture(architecture)
        from archfront.trainers.networks.detectors.network import build_detector

        return build_detector(architecture, weights, dropout)

    def training_step(
        self, model: nn.Module, batch: tuple[torch.Tensor, Any], settings: TrainSettings
    ) -> dict[str, torch.Tensor]:
        """Return the losses that the head has; weights of classes have no part in them."""
        from archfront.trainers.networks.detectors.network import Detector

        assert isinstance(model, Detector)
        return model.losses(*batch)

    def aligned(
        self, expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """Return proposals and detections in the order of those expected."""
        from archfront.trainers.networks.detectors.align import aligned

        return aligned(expected, found)

    def example_targets(
        self, architecture: Architecture, batch_size: int, seed: int
    ) -> list[dict[str, torch.Tensor]]:
        """Return boxes of a quarter of the side to the half, with labels."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        targets = []
        for _ in range(batch_size):
            sides = 0.25 + 0.25 * torch.rand(N_DRAWN, 2, generator=generator)
            corners = torch.rand(N_DRAWN, 2, generator=generator) * (1 - sides)
            boxes = torch.cat([corners, corners + sides], dim=1) * architecture.input_size
            labels = torch.randint(architecture.classes, (N_DRAWN,), generator=generator)
            targets.append({"boxes": boxes, "labels": labels})
        return targets

    def decode(self, outputs: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
        """Return ``boxes (K, 4)``, ``scores (K,)`` and ``labels (K,)`` of each image.

        Boxes are in pixels of the input, the best first.
        """
        decoded = []
        for rows in outputs["detections"]:
            found = rows[rows[:, 4] > 0]
            labels = found[:, 5].astype(np.int64)
            decoded.append({"boxes": found[:, :4], "scores": found[:, 4], "labels": labels})
        return decoded

    def evaluator(
        self, samples: Sequence[Sample], class_names: Sequence[str], preprocess: Preprocess
    ) -> Evaluator:
        """Return the evaluator of boxes at the size of their images, as COCO does."""
        from archfront.trainers.tasks.judges.found import ObjectEvaluator

        return ObjectEvaluator(samples, class_names, preprocess, has_masks=False)

    def resampled(
        self, metric: str, saved: SavedPredictions
    ) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        """Return the average precision over images of any weights."""
        from archfront.trainers.tasks.judges.resampled_ap import resampled_ap

        self.check_metric(metric)
        return resampled_ap(metric, saved)
