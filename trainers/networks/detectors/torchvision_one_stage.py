"""FCOS and RetinaNet of torchvision over timm backbones and our necks.

Their heads, matching and losses are torchvision's. What is ours is around them: images come
resized and normalized, so torchvision's own transform is never run; the anchors are constants;
and boxes and scores of all places are outputs, from which ``select`` chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import (
    FCOSClassificationHead,
    FCOSHead,
    FCOSRegressionHead,
)
from torchvision.models.detection.retinanet import RetinaNetHead

from archfront.trainers.networks.backbone import Pyramid
from archfront.trainers.networks.detectors.choice import select
from archfront.trainers.networks.detectors.levels import anchors_of, build_levels, in_float
from archfront.trainers.spec import Architecture, Weights

# Lin et al. 2017 (Focal loss), section 4: anchors of 4 strides, three sizes an octave.
ANCHOR_STRIDES = 4
OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
RATIOS = (0.5, 1.0, 2.0)
# torchvision's heads have 32 groups of their 256 channels.
GROUP = 8


@dataclass(frozen=True)
class Reading:
    """How the outputs of a head are read; the first argument is torchvision's network.

    Attributes:
        boxes: From a regression ``(N, A, 4)`` and anchors ``(A, 4)`` to boxes ``(N, A, 4)``.
        scores: From the outputs by their names to scores ``(N, A, C)``, from 0 to 1.
        loss: From targets, outputs, anchors of each image and their number by level.
    """

    boxes: Callable[[Any, Tensor, Tensor], Tensor]
    scores: Callable[[Mapping[str, Tensor]], Tensor]
    loss: Callable[[Any, list[Any], dict[str, Tensor], list[Tensor], list[int]], Any]


class OneStage(nn.Module):
    """Images ``(N, C, S, S)`` to boxes and scores of all places, and detections.

    Args:
        network: FCOS or RetinaNet over ``NamedLevels``.
        reading: How its outputs are read.
        architecture: What they are of.
    """

    anchors: Tensor

    def __init__(
        self, network: FCOS | RetinaNet, reading: Reading, architecture: Architecture
    ) -> None:
        super().__init__()
        self.network: Any = network
        self.reading = reading
        self.side, self.n_detections = architecture.input_size, architecture.detections
        levels = anchors_of(network.anchor_generator, network.backbone.neck.strides, self.side)
        self.n_anchors = [len(level) for level in levels]
        self.register_buffer("anchors", torch.cat(levels), persistent=False)

    @property
    def pyramid(self) -> Pyramid:
        """Return the backbone."""
        pyramid: Pyramid = self.network.backbone.pyramid
        return pyramid

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``boxes (N, A, 4)``, ``scores (N, A, C)`` and ``detections (N, D, 6)``."""
        outputs = self._outputs(images)
        boxes = self.reading.boxes(self.network, outputs["bbox_regression"], self.anchors)
        scores = self.reading.scores(outputs)
        return boxes, scores, select(boxes, scores, self.side, self.n_detections)[0]

    def losses(self, images: Tensor, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return torchvision's losses of normalized images."""
        outputs, anchors = self._outputs(images), [self.anchors] * len(images)
        losses: dict[str, Tensor] = self.reading.loss(
            self.network, list(targets), outputs, anchors, self.n_anchors
        )
        return losses

    def _outputs(self, images: Tensor) -> dict[str, Tensor]:
        found = self.network.head(list(self.network.backbone(images).values()))
        return dict(zip(found, in_float(list(found.values())), strict=True))


def _fcos_boxes(network: Any, regression: Tensor, anchors: Tensor) -> Tensor:
    boxes: Tensor = network.box_coder.decode(regression, anchors)
    return boxes


def _retina_boxes(network: Any, regression: Tensor, anchors: Tensor) -> Tensor:
    repeated = anchors.repeat(len(regression), 1)
    boxes: Tensor = network.box_coder.decode_single(regression.flatten(0, 1), repeated)
    return boxes.view(regression.shape)


# The geometric mean of class probability and centerness, as torchvision has it.
FCOS_READING = Reading(
    _fcos_boxes,
    lambda outputs: (outputs["cls_logits"].sigmoid() * outputs["bbox_ctrness"].sigmoid()).sqrt(),
    lambda network, *rest: network.compute_loss(*rest),
)
RETINA_READING = Reading(
    _retina_boxes,
    lambda outputs: outputs["cls_logits"].sigmoid(),
    lambda network, *rest: network.compute_loss(*rest[:-1]),
)


def build_fcos(architecture: Architecture, weights: Weights, dropout: float = 0.0) -> OneStage:
    """Return FCOS in training mode; one place a cell, its anchor as large as the cell.

    Args:
        architecture: Its depth is the convolutions of a branch.
        weights: First weights of the backbone.
        dropout: Share of the class branch's maps that are blanked while training.

    Raises:
        BuildError: If the backbone has no map of the finest stride, or cannot be built.
        WeightsError: If the first weights do not fit.
    """
    a, levels = architecture, build_levels(architecture, weights)
    sizes = tuple((stride,) for stride in levels.neck.strides)
    head = FCOSHead(a.width, 1, a.classes, a.depth)
    head.classification_head = FCOSClassificationHead(
        a.width, 1, a.classes, a.depth, norm_layer=_norm
    )
    head.regression_head = FCOSRegressionHead(a.width, 1, a.depth, norm_layer=_norm)
    head.classification_head.conv.append(nn.Dropout2d(dropout))
    generator = AnchorGenerator(sizes, ((1.0,),) * len(sizes))
    network = FCOS(levels, a.classes, anchor_generator=generator, head=head)
    return OneStage(network, FCOS_READING, a)


def build_retinanet(
    architecture: Architecture, weights: Weights, dropout: float = 0.0
) -> OneStage:
    """Return RetinaNet in training mode, with norms in its head as torchvision's second version.

    Args:
        architecture: Its depth is the convolutions of a branch, 4 at most.
        weights: First weights of the backbone.
        dropout: Share of the class branch's maps that are blanked while training.

    Raises:
        BuildError: If the backbone has no map of the finest stride, or cannot be built.
        WeightsError: If the first weights do not fit.
    """
    a, levels = architecture, build_levels(architecture, weights)
    sizes = tuple(
        tuple(round(ANCHOR_STRIDES * stride * step) for step in OCTAVE)
        for stride in levels.neck.strides
    )
    generator = AnchorGenerator(sizes, (RATIOS,) * len(sizes))
    head = RetinaNetHead(a.width, len(OCTAVE) * len(RATIOS), a.classes, norm_layer=_norm)
    for branch in (head.classification_head, head.regression_head):
        branch.conv = branch.conv[: a.depth]
    head.classification_head.conv.append(nn.Dropout2d(dropout))
    head.regression_head._loss_type = "giou"  # as torchvision's second version
    network = RetinaNet(levels, a.classes, anchor_generator=generator, head=head)
    return OneStage(network, RETINA_READING, a)


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(max(channels // GROUP, 1), channels)
