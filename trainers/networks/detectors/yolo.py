"""Our one-stage detector: no anchors, branches apart for class and box, SimOTA.

Source: Ge et al. 2021 (YOLOX), section 2.1: "Decoupled head", "Anchor-free" and "SimOTA"; its
losses as its published code has them. What is ours: any timm backbone and neck, levels from
stride 4 or 8, and the classes' first probability.

``yolo_mask`` adds masks as Bolya et al. 2019 (YOLACT), section 3: prototypes for the whole image,
and for each place the coefficients of their sum. It was taken among the one-stage masks because
all of it is dense: it exports to one graph, its time hardly depends on the number of objects, and
it is as exact at borders as its prototypes' quarter of the resolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archfront.trainers.networks.detectors.assign import (
    Assigned,
    Places,
    Truth,
    assign,
    gathered,
    pair_iou,
)
from archfront.trainers.networks.detectors.blocks import conv_block
from archfront.trainers.networks.detectors.choice import select
from archfront.trainers.networks.detectors.levels import build_neck
from archfront.trainers.networks.detectors.masks import (
    N_PROTOTYPES,
    Prototypes,
    mask_loss,
    masks_of,
)
from archfront.trainers.networks.detectors.neck import Neck
from archfront.trainers.spec import Architecture, Weights

N_LEVELS = 3
BOX_GAIN = 5.0  # of the box's loss, in the code of the paper
# Share of the places that answer for an object, before training (Lin et al. 2017 (Focal loss),
# section 4.1, "Initialization"): without it the many empty places drown the first steps.
PRIOR = 0.01
# Sides are at most exp of this many strides: an untrained network's cannot overflow.
MAX_LOG_SIDE = math.log(1000.0)


class Branches(nn.Module):
    """The branches over the map of one level.

    Args:
        width: Channels of the map and of the branches.
        depth: Convolutions of a branch.
        classes: Number of classes.
        n_coefficients: Of the masks; 0 without.
        dropout: Share of the class branch's maps that are blanked while training.
    """

    def __init__(
        self, width: int, depth: int, classes: int, n_coefficients: int, dropout: float
    ) -> None:
        super().__init__()
        self.class_branch = nn.Sequential(*(conv_block(width) for _ in range(depth)))
        self.box_branch = nn.Sequential(*(conv_block(width) for _ in range(depth)))
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, classes, 1)
        self.locate = nn.Conv2d(width, 4 + 1 + n_coefficients, 1)
        for layer in (self.classify, self.locate):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(cast("Tensor", layer.bias))
        with torch.no_grad():
            cast("Tensor", self.locate.bias)[4] = -math.log((1 - PRIOR) / PRIOR)
            cast("Tensor", self.classify.bias).fill_(-math.log(max(classes - 1, 1)))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits ``(N, h * w, C)`` and box, objectness and coefficients beside."""
        classified = self.classify(self.dropout(self.class_branch(features)))
        located = self.locate(self.box_branch(features))
        return classified.flatten(2).transpose(1, 2), located.flatten(2).transpose(1, 2)


class Yolo(nn.Module):
    """Images ``(N, C, S, S)`` to boxes, scores and detections; with masks those too.

    Args:
        neck: Backbone and neck, of three levels.
        architecture: What to build; its head is ``yolo`` or ``yolo_mask``.
        dropout: See ``Branches``.
    """

    def __init__(self, neck: Neck, architecture: Architecture, dropout: float) -> None:
        super().__init__()
        a = architecture
        self.neck = neck
        self.side, self.n_detections = a.input_size, a.detections
        self.has_masks = a.head == "yolo_mask"
        n_coefficients = N_PROTOTYPES if self.has_masks else 0
        self.branches = nn.ModuleList(
            Branches(a.width, a.depth, a.classes, n_coefficients, dropout) for _ in neck.strides
        )
        if self.has_masks:
            self.prototypes = Prototypes(a.width, stride=neck.strides[0])
        sides = tuple(-(-a.input_size // stride) for stride in neck.strides)
        self.places = Places(sides, neck.strides)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the task, in their order."""
        levels = self.neck(images)
        classes, located = self._predicted(levels)
        boxes = self._boxes(located)
        scores = classes.sigmoid() * located[..., 4:5].sigmoid()
        detections, chosen = select(boxes, scores, self.side, self.n_detections)
        if not self.has_masks:
            return boxes, scores, detections
        index = chosen[..., None].expand(-1, -1, N_PROTOTYPES)
        coefficients = located[..., 5:].gather(1, index)
        masks = masks_of(self.prototypes(levels[0]), coefficients, detections)
        return boxes, scores, detections, masks

    def losses(self, images: Tensor, targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the named losses of a batch.

        Args:
            images: ``(N, C, S, S)``.
            targets: One an image, as of ``trainers.data.batch_targets``.
        """
        levels = self.neck(images)
        classes, located = (part.float() for part in self._predicted(levels))
        boxes = self._boxes(located)
        truth = gathered(targets, boxes)
        found = assign(boxes, classes, located[..., 4], truth, self.places)
        losses = _losses(boxes, classes, located[..., 4], truth, found)
        if self.has_masks:
            prototypes = self.prototypes(levels[0]).float()
            losses["mask"] = mask_loss(prototypes, located[..., 5:], targets, truth, found)
        return losses

    def _predicted(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return class logits ``(N, A, C)`` and ``(N, A, 5 + coefficients)`` of all places."""
        pairs = [branches(level) for branches, level in zip(self.branches, levels, strict=True)]
        classes, located = zip(*pairs, strict=True)
        return torch.cat(classes, dim=1), torch.cat(located, dim=1)

    def _boxes(self, located: Tensor) -> Tensor:
        """Return boxes ``(N, A, 4)`` in pixels from offsets and logarithms of sides in cells."""
        corners, strides = self.places.corners(located)
        centers = (located[..., :2] + 0.5 + corners) * strides
        halves = located[..., 2:4].clamp(max=MAX_LOG_SIDE).exp() * strides / 2
        return torch.cat([centers - halves, centers + halves], dim=-1)


def build_yolo(architecture: Architecture, weights: Weights, dropout: float) -> Yolo:
    """Return the network in training mode.

    Raises:
        BuildError: If the backbone has no map of the finest stride, or cannot be built.
        WeightsError: If the first weights do not fit.
    """
    strides = [architecture.finest * 2**level for level in range(N_LEVELS)]
    neck = build_neck(architecture, weights, strides)
    return Yolo(neck, architecture, dropout)


def _losses(
    boxes: Tensor, classes: Tensor, objectness: Tensor, truth: Truth, found: Assigned
) -> dict[str, Tensor]:
    """Return the losses of places ``(N, A, ...)``, each divided by the places with an object."""
    n_found = max(len(found.places), 1)
    is_found = torch.zeros_like(objectness).flatten()
    is_found[found.places] = 1.0
    iou = pair_iou(boxes.flatten(0, 1)[found.places], truth.boxes[found.objects])
    # The class of a place is worth as much as its box was when it was assigned.
    labels = F.one_hot(truth.labels[found.objects], classes.shape[2])
    own = classes.flatten(0, 1)[found.places]
    return {
        "box": BOX_GAIN * (1 - iou.square()).sum() / n_found,
        "objectness": F.binary_cross_entropy_with_logits(
            objectness.flatten(), is_found, reduction="sum"
        )
        / n_found,
        "class": F.binary_cross_entropy_with_logits(
            own, labels * found.ious[:, None], reduction="sum"
        )
        / n_found,
    }
