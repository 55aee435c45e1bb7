"""Masks as sums of prototypes: Bolya et al. 2019 (YOLACT), section 3."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archfront.trainers.networks.detectors.assign import Assigned, Truth
from archfront.trainers.networks.detectors.blocks import conv_block

# Section 3.1: more did not help.
N_PROTOTYPES = 32
# Pixels of the image per pixel of a mask.
STRIDE = 4
# Places of an image whose masks are learned in a step, as ``masks_to_train`` of their code.
MAX_LEARNED = 128
# In the sum of the losses, as in their code.
GAIN = 6.125


class Prototypes(nn.Module):
    """The finest map of a neck to prototypes ``(N, N_PROTOTYPES, S/4, S/4)``.

    Args:
        width: Channels of the map.
        stride: Its stride, 4 or 8.
    """

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self._factor = stride // STRIDE
        self.before = conv_block(width)
        self.after = conv_block(width)
        self.last = nn.Conv2d(width, N_PROTOTYPES, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the prototypes, not negative (section 3.1)."""
        features = self.before(features)
        if self._factor > 1:
            features = F.interpolate(features, scale_factor=float(self._factor), mode="nearest")
        return F.relu(self.last(self.after(features)))


def masks_of(prototypes: Tensor, coefficients: Tensor, detections: Tensor) -> Tensor:
    """Return masks from 0 to 1, ``(N, D, S/4, S/4)``, each 0 beside its box.

    A margin of one pixel about the box stays, so that a mask can be enlarged and then be cut.

    Args:
        prototypes: ``(N, P, S/4, S/4)``.
        coefficients: Before their activation, ``(N, D, P)``.
        detections: Boxes in pixels of the image in the first columns, ``(N, D, 4 or more)``.
    """
    n, _, height, width = prototypes.shape
    sums = torch.bmm(coefficients.tanh(), prototypes.flatten(2))  # equation 1
    masks = sums.sigmoid().view(n, -1, height, width)
    boxes = detections[..., :4, None, None] / STRIDE
    x1, y1, x2, y2 = boxes.unbind(dim=2)
    columns = torch.arange(width, device=masks.device, dtype=masks.dtype) + 0.5
    rows = (torch.arange(height, device=masks.device, dtype=masks.dtype) + 0.5)[:, None]
    is_inside = (columns > x1 - 1) & (columns < x2 + 1) & (rows > y1 - 1) & (rows < y2 + 1)
    # Rows of detections that are not filled have boxes without an area.
    return masks * (is_inside & (x2 > x1))


def mask_loss(
    prototypes: Tensor,
    coefficients: Tensor,
    targets: Sequence[dict[str, Tensor]],
    truth: Truth,
    found: Assigned,
) -> Tensor:
    """Return the binary cross-entropy inside the true boxes, each divided by its box's area.

    Source: section 3.1 and 3.2. Of an image with more places than ``MAX_LEARNED``, so many are
    drawn from torch's generator.

    Args:
        prototypes: ``(N, P, S/4, S/4)``.
        coefficients: Before their activation, ``(N, A, P)``.
        targets: With ``masks (K, S, S)``.
        truth: The same objects in one row.
        found: Which places answer for which of them.
    """
    n_places = coefficients.shape[1]
    images = found.places // n_places
    chosen = coefficients.flatten(0, 1)[found.places].tanh()
    total, n_learned, first = prototypes.sum() * 0 + chosen.sum() * 0, 0, 0
    for image, target in enumerate(targets):
        mine = (images == image).nonzero()[:, 0]
        if len(mine) > MAX_LEARNED:
            mine = mine[torch.randperm(len(mine), device=mine.device)[:MAX_LEARNED]]
        if len(mine):
            objects = found.objects[mine]
            masks = shrunk(target["masks"][objects - first])
            logits = (chosen[mine] @ prototypes[image].flatten(1)).view(masks.shape)
            total = total + _inside_loss(logits, masks, truth.boxes[objects] / STRIDE).sum()
            n_learned += len(mine)
        first += len(target["labels"])
    return GAIN * total / max(n_learned, 1)


def shrunk(masks: Tensor) -> Tensor:
    """Return masks ``(K, S/4, S/4)`` float32, 1 where at least half of ``(K, S, S)`` is set."""
    k, height, width = masks.shape
    cells = masks.view(k, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    return (cells.sum(dim=(2, 4)) * 2 >= STRIDE**2).float()


def _inside_loss(logits: Tensor, masks: Tensor, boxes: Tensor) -> Tensor:
    """Return the mean loss inside each box ``(K, 4)`` in pixels of the masks, ``(K,)``."""
    height, width = masks.shape[1:]
    x1, y1, x2, y2 = boxes[..., None, None].unbind(dim=1)
    columns = torch.arange(width, device=masks.device) + 0.5
    rows = (torch.arange(height, device=masks.device) + 0.5)[:, None]
    # A margin as in ``masks_of``, so that what is seen of it is learned too.
    is_inside = (columns > x1 - 1) & (columns < x2 + 1) & (rows > y1 - 1) & (rows < y2 + 1)
    losses = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    inside = (losses * is_inside).sum(dim=(1, 2))
    return inside / is_inside.sum(dim=(1, 2)).clamp(min=1)
