"""The choice among what a detector finds, inside of the exported graph.

A fixed number of the best-scored boxes goes on, whatever their scores are, so that the time
hardly depends on weights and images; then non-maximum suppression within each class.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torchvision.ops import nms

# Boxes that suppress each other for each detection: Ren et al. 2015 keep 300 proposals, and COCO
# counts 100 objects an image.
CANDIDATES_EACH = 3
NMS_IOU = 0.6
# Columns of a detection: x1, y1, x2, y2, score, label.
COLUMNS = 6


def select(
    boxes: torch.Tensor, scores: torch.Tensor, side: int, n: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the detections of a batch and where each comes from.

    Args:
        boxes: ``(N, A, 4)`` x1, y1, x2, y2 in pixels, the same for all classes, or
            ``(N, A, C, 4)``.
        scores: ``(N, A, C)``, from 0 to 1.
        side: Side of the image in pixels; boxes are clipped to it.
        n: Detections of an image.

    Returns:
        Detections ``(N, n, 6)``: the box, its score and its label, best first; rows that are not
        filled are all 0, so their score is. And the place ``(N, n)`` along A that each came from,
        0 where there is none.
    """
    found = [_of_one(b, s, side, n) for b, s in zip(boxes.unbind(), scores.unbind(), strict=True)]
    return torch.stack([one for one, _ in found]), torch.stack([place for _, place in found])


def _of_one(
    boxes: torch.Tensor, scores: torch.Tensor, side: int, n: int
) -> tuple[torch.Tensor, torch.Tensor]:
    classes = scores.shape[1]
    best, index = scores.flatten().topk(min(CANDIDATES_EACH * n, scores.numel()))
    places = index.div(classes, rounding_mode="floor")
    labels = index - places * classes
    chosen = boxes.flatten(0, 1)[index] if boxes.ndim == 3 else boxes[places]
    chosen = chosen.clamp(0, side)
    # Boxes of different classes are moved apart, so that they never suppress each other.
    apart = chosen + (labels.to(chosen.dtype) * (side + 1.0))[:, None]
    kept = nms(apart, best, NMS_IOU)[:n]
    rows = torch.cat([chosen, best[:, None], labels.to(chosen.dtype)[:, None]], dim=1)[kept]
    # Padded by a constant and cut, so that the shape is fixed in a traced graph too.
    rows = F.pad(rows, (0, 0, 0, n))[:n]
    return rows, F.pad(places[kept], (0, n))[:n]
