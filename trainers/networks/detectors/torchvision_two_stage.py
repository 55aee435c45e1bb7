"""Faster R-CNN and Mask R-CNN of torchvision's parts over timm backbones and our necks.

Heads, sampling, matching and losses are torchvision's. What is ours is around them: images come
resized and normalized, so no transform is run; the anchors are constants; and outside of the
losses the first stage gives ``N_PROPOSALS`` boxes an image, whatever its weights and the image
are, so that a latency that was measured before training is the one after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import (
    RegionProposalNetwork,
    RPNHead,
    concat_box_prediction_layers,
)
from torchvision.ops import MultiScaleRoIAlign, nms

from archfront.trainers.networks.backbone import Pyramid
from archfront.trainers.networks.detectors.choice import CANDIDATES_EACH, NMS_IOU, select
from archfront.trainers.networks.detectors.levels import (
    NamedLevels,
    anchors_of,
    build_levels,
    in_float,
)
from archfront.trainers.networks.detectors.pasted import paste
from archfront.trainers.spec import Architecture, Weights

# Boxes that the second stage looks at are as many as detections, those without an object among
# them.
PROPOSAL_IOU = 0.7  # Ren et al. 2015, section 3.3
# In training: of each level, after that (five for each detection), and those of an image that are
# learned from. Lin et al. 2017 (FPN) learn from 512 of large images with many objects; He et al.
# 2017 (Mask R-CNN) from 64.
N_TRAIN_CANDIDATES, TRAIN_PROPOSALS_EACH, N_LEARNED = 1000, 5, 128
N_ANCHORS_LEARNED = 256
# One size a level (Lin et al. 2017 (FPN), section 4.1), half of theirs: images are smaller here,
# and a finest level of stride 8 has to find what theirs of stride 4 does.
ANCHOR_STRIDES = 4
RATIOS = (0.5, 1.0, 2.0)
# Cells of a box that classes and masks are predicted from.
BOX_CELLS, MASK_CELLS, SAMPLES = 7, 14, 2
# Features of a box over the width of the maps: 1024 over the published 256.
WIDER = 4
# Of the mask head, each of the width of the maps.
N_MASK_CONVOLUTIONS = 4
# Lin et al. 2017 (FPN), equation 1: a box of 224 px belongs to the level of stride 16.
CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4


class TwoStage(nn.Module):
    """Images ``(N, C, S, S)`` to boxes and scores of all proposals, detections, and masks.

    Args:
        levels: Backbone and neck.
        roi_heads: The second stage.
        architecture: What to build; ``mask_rcnn`` has masks.
    """

    anchors: Tensor
    anchor_levels: Tensor

    def __init__(
        self, levels: NamedLevels, roi_heads: RoIHeads, architecture: Architecture
    ) -> None:
        super().__init__()
        self.side, self.n_detections = architecture.input_size, architecture.detections
        self.classes = architecture.classes
        self.backbone = levels
        strides = levels.neck.strides
        sizes = tuple((ANCHOR_STRIDES * stride,) for stride in strides)
        generator = AnchorGenerator(sizes, (RATIOS,) * len(sizes))
        self.rpn: Any = _proposing(generator, levels.out_channels, self.n_detections)
        self.roi_heads: Any = roi_heads
        anchors = anchors_of(generator, strides, self.side)
        self.n_anchors = [len(level) for level in anchors]
        self.register_buffer("anchors", torch.cat(anchors), persistent=False)

    @property
    def pyramid(self) -> Pyramid:
        """Return the backbone."""
        return self.backbone.pyramid

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the task, in their order.

        ``boxes (N, P, C, 4)`` and ``scores (N, P, C)`` of the proposals, ``detections
        (N, D, 6)``, and with masks those of the detections, ``(N, D, S/4, S/4)``; P is D.
        """
        levels = self.backbone(images)
        objectness, deltas = self._proposed(levels)
        places = self._decoded(deltas, len(images))
        proposals = self.proposals(objectness.view(len(images), -1), places)
        boxes, scores = self._classified(levels, proposals)
        detections, _ = select(boxes, scores, self.side, self.n_detections)
        if not self.roi_heads.has_mask():
            return boxes, scores, detections
        return boxes, scores, detections, self._masks(levels, detections)

    def losses(self, images: Tensor, targets: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return torchvision's losses of normalized images; only in training mode.

        Labels count from 0 here, and from 1 in torchvision, where 0 is the background.
        """
        shapes = [(self.side, self.side)] * len(images)
        anchors = [self.anchors] * len(images)
        truth = [self._truth(target) for target in targets]
        levels = self.backbone(images)
        objectness, deltas = self._proposed(levels)
        labels, matched = self.rpn.assign_targets_to_anchors(anchors, truth)
        offsets = self.rpn.box_coder.encode(matched, anchors)
        found, place = self.rpn.compute_loss(objectness, deltas, labels, offsets)
        places = self._decoded(deltas.detach(), len(images))
        proposals, _ = self.rpn.filter_proposals(places, objectness, shapes, self.n_anchors)
        _, losses = self.roi_heads(levels, proposals, shapes, truth)
        return {"loss_objectness": found, "loss_rpn_box_reg": place, **losses}

    def proposals(self, objectness: Tensor, boxes: Tensor) -> Tensor:
        """Return as many boxes an image as detections, best first; unfilled rows are 0.

        Args:
            objectness: Logits ``(N, A)``.
            boxes: ``(N, A, 4)``.

        Returns:
            ``(N, P, 4)``, inside of the image.
        """
        index, numbers, start = [], [], 0
        n_kept = self.n_detections
        for number, n in enumerate(self.n_anchors):
            n_best = min(n, CANDIDATES_EACH * n_kept)
            best = objectness[:, start : start + n].topk(n_best, dim=1).indices
            index.append(best + start)
            numbers += [float(number)] * best.shape[1]
            start += n
        chosen = torch.cat(index, dim=1)
        logits = objectness.gather(1, chosen)
        corners = boxes.gather(1, chosen[..., None].expand(-1, -1, 4)).clamp(0, self.side)
        # Boxes of different levels are moved apart, so that they never suppress each other.
        apart = torch.tensor(numbers, device=boxes.device)[:, None] * (self.side + 1.0)
        found = []
        for own, scores in zip(corners.unbind(), logits.unbind(), strict=True):
            kept = nms(own + apart.to(own.dtype), scores, PROPOSAL_IOU)[:n_kept]
            # Padded by a constant and cut, so that the shape is fixed in a traced graph too.
            found.append(F.pad(own[kept], (0, 0, 0, n_kept))[:n_kept])
        return torch.stack(found)

    def _proposed(self, levels: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return objectness ``(N * A, 1)`` and offsets ``(N * A, 4)`` of all anchors."""
        logits, deltas = self.rpn.head(list(levels.values()))
        found: tuple[Tensor, Tensor] = concat_box_prediction_layers(
            in_float(logits), in_float(deltas)
        )
        return found

    def _decoded(self, deltas: Tensor, n: int) -> Tensor:
        """Return the boxes ``(N, A, 4)`` that offsets from the anchors stand for."""
        boxes: Tensor = self.rpn.box_coder.decode_single(deltas, self.anchors.repeat(n, 1))
        return boxes.view(n, -1, 4)

    def _classified(
        self, levels: Mapping[str, Tensor], proposals: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return boxes ``(N, P, C, 4)`` and scores ``(N, P, C)`` of proposals ``(N, P, 4)``."""
        heads, n = self.roi_heads, len(proposals)
        features = heads.box_roi_pool(levels, list(proposals.unbind()), self._shapes(n))
        logits, deltas = heads.box_predictor(heads.box_head(features))
        boxes = heads.box_coder.decode_single(deltas, proposals.flatten(0, 1))
        boxes = boxes.view(n, self.n_detections, self.classes + 1, 4)[:, :, 1:]
        scores = logits.softmax(dim=1).view(n, self.n_detections, self.classes + 1)[:, :, 1:]
        # What only fills the row is no object.
        is_box = (proposals[..., 2:] > proposals[..., :2]).all(dim=2)
        return boxes, scores * is_box[..., None]

    def _masks(self, levels: Mapping[str, Tensor], detections: Tensor) -> Tensor:
        """Return the masks ``(N, D, S/4, S/4)`` of detections ``(N, D, 6)``."""
        heads, n = self.roi_heads, len(detections)
        boxes, labels = detections[..., :4], detections[..., 5].long()
        features = heads.mask_roi_pool(levels, list(boxes.unbind()), self._shapes(n))
        logits = heads.mask_predictor(heads.mask_head(features))
        places = torch.arange(n * self.n_detections, device=logits.device)
        own = logits[places, labels.flatten() + 1]
        masks = own.sigmoid().view(n, self.n_detections, *logits.shape[2:])
        return paste(masks, boxes, self.side)

    def _shapes(self, n: int) -> list[tuple[int, int]]:
        return [(self.side, self.side)] * n

    def _truth(self, target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a target as torchvision's second stage takes it."""
        truth = {"boxes": target["boxes"], "labels": target["labels"] + 1}
        if self.roi_heads.has_mask():
            # An image without objects has no outlines to read either.
            empty = target["boxes"].new_zeros(0, self.side, self.side, dtype=torch.uint8)
            truth["masks"] = target["masks"] if len(target["boxes"]) else empty
        return truth


def build_faster_rcnn(
    architecture: Architecture, weights: Weights, dropout: float = 0.0
) -> TwoStage:
    """Return Faster R-CNN in training mode.

    Args:
        architecture: What to build.
        weights: First weights of the backbone.
        dropout: Share of a box's features that are blanked while training.

    Raises:
        BuildError: If the backbone has no map of the finest stride, or cannot be built.
        WeightsError: If the first weights do not fit.
    """
    levels = build_levels(architecture, weights)
    return TwoStage(levels, _roi_heads(levels, architecture, dropout), architecture)


def build_mask_rcnn(
    architecture: Architecture, weights: Weights, dropout: float = 0.0
) -> TwoStage:
    """Return Mask R-CNN in training mode; see ``build_faster_rcnn``."""
    levels = build_levels(architecture, weights)
    heads = _roi_heads(levels, architecture, dropout)
    width = architecture.width
    heads.mask_roi_pool = _pooling(levels, architecture.input_size, MASK_CELLS)
    heads.mask_head = MaskRCNNHeads(width, (width,) * N_MASK_CONVOLUTIONS, 1)
    heads.mask_predictor = MaskRCNNPredictor(width, width, architecture.classes + 1)
    return TwoStage(levels, heads, architecture)


def _proposing(generator: AnchorGenerator, width: int, n_detections: int) -> RegionProposalNetwork:
    """Return torchvision's first stage, with its thresholds."""
    return RegionProposalNetwork(
        generator,
        RPNHead(width, len(RATIOS)),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=N_ANCHORS_LEARNED,
        positive_fraction=0.5,
        pre_nms_top_n={"training": N_TRAIN_CANDIDATES},
        post_nms_top_n={"training": TRAIN_PROPOSALS_EACH * n_detections},
        nms_thresh=PROPOSAL_IOU,
    )


def _roi_heads(levels: NamedLevels, architecture: Architecture, dropout: float) -> RoIHeads:
    """Return torchvision's second stage for boxes, with its thresholds."""
    width = levels.out_channels
    box_head = nn.Sequential(TwoMLPHead(width * BOX_CELLS**2, width * WIDER), nn.Dropout(dropout))
    return RoIHeads(
        _pooling(levels, architecture.input_size, BOX_CELLS),
        box_head,
        FastRCNNPredictor(width * WIDER, architecture.classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=N_LEARNED,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=0.0,
        nms_thresh=NMS_IOU,
        detections_per_img=architecture.detections,
    )


def _pooling(levels: NamedLevels, side: int, cells: int) -> MultiScaleRoIAlign:
    """Return what cuts boxes out of the levels to which boxes of this image can belong."""
    coarsest = 2 ** math.floor(CANONICAL_LEVEL + math.log2(side / CANONICAL_SIDE))
    strides = levels.neck.strides
    names = [str(i) for i, s in enumerate(strides) if i == 0 or s <= coarsest]
    return MultiScaleRoIAlign(
        names,
        cells,
        SAMPLES,
        canonical_scale=CANONICAL_SIDE,
        canonical_level=CANONICAL_LEVEL,
    )
