"""Which places of a one-stage detector answer for which object: SimOTA.

Source: Ge et al. 2021 (YOLOX: Exceeding YOLO series in 2021), section 2.1, "SimOTA", with the
constants of its published code. As the paper says, an object's places are chosen within a fixed
region about its center, here always the 3 x 3 cells of each level nearest to it. So the costs of
all objects of a batch are one small table ``(objects, 9 * levels)``, and what it takes grows with
the objects alone, not with objects times places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Half the side of the center region in cells.
RADIUS = 1.5
# The weight of the loss of the box, lambda in equation 1.
BOX_WEIGHT = 3.0
# An object gets as many places as its so many best boxes have IoU in all (Ge et al. 2021 (OTA:
# Optimal transport assignment), section 3.3).
BEST_BOXES = 10
EPS = 1e-8


@dataclass(frozen=True)
class Places:
    """The cells of all levels of a detector, level after level, row after row.

    Attributes:
        sides: Cells along a side of each level.
        strides: Pixels of the image per cell.
    """

    sides: tuple[int, ...]
    strides: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of places of an image."""
        return sum(side * side for side in self.sides)

    def corners(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return column and row of each place ``(A, 2)`` and its stride ``(A, 1)``."""
        cells, strides = [], []
        for side, stride in zip(self.sides, self.strides, strict=True):
            line = torch.arange(side, device=like.device, dtype=like.dtype)
            rows, columns = torch.meshgrid(line, line, indexing="ij")
            cells.append(torch.stack([columns, rows], dim=-1).view(-1, 2))
            strides.append(torch.full((side * side, 1), float(stride)).to(like))
        return torch.cat(cells), torch.cat(strides)


@dataclass(frozen=True)
class Truth:
    """The objects of a batch, image after image.

    Attributes:
        boxes: ``(G, 4)`` x1, y1, x2, y2 in pixels.
        labels: ``(G,)``.
        images: Index of the image of each, ``(G,)``.
    """

    boxes: Tensor
    labels: Tensor
    images: Tensor


@dataclass(frozen=True)
class Assigned:
    """The places that answer for an object, each for one.

    Attributes:
        places: Index into all places of the batch, ``N * A``, ascending: ``(P,)``.
        objects: Index of the object, ``(P,)``.
        ious: Of the box predicted there with the object's, ``(P,)``.
    """

    places: Tensor
    objects: Tensor
    ious: Tensor


def gathered(targets: Sequence[dict[str, Tensor]], like: Tensor) -> Truth:
    """Return the objects of a batch of targets, on the device and of the type of a tensor."""
    counts = torch.tensor([len(target["labels"]) for target in targets])
    images = torch.repeat_interleave(torch.arange(len(targets)), counts)
    return Truth(
        torch.cat([target["boxes"] for target in targets]).to(like),
        torch.cat([target["labels"] for target in targets]).to(like.device),
        images.to(like.device),
    )


@torch.no_grad()
def assign(
    boxes: Tensor, class_logits: Tensor, objectness: Tensor, truth: Truth, places: Places
) -> Assigned:
    """Return which places answer for the objects of a batch.

    Args:
        boxes: Predicted, ``(N, A, 4)`` in pixels.
        class_logits: ``(N, A, C)``.
        objectness: Logits ``(N, A)``.
        truth: The objects of the batch.
        places: Where the predictions are made.
    """
    index, is_there = _regions(truth, places)
    found = boxes.flatten(0, 1)[index]
    ious = pair_iou(found, truth.boxes[:, None]) * is_there
    class_costs = _class_costs(class_logits.flatten(0, 1), objectness.flatten(), truth, index)
    costs = class_costs - BOX_WEIGHT * (ious + EPS).log()
    chosen = _cheapest(costs, ious, is_there)
    chosen &= _is_cheapest_of_place(costs, chosen, index, n_places=boxes.shape[:2].numel())
    rows, columns = chosen.nonzero(as_tuple=True)
    taken = index[rows, columns]
    order = taken.argsort()
    rows, columns = rows[order], columns[order]
    return Assigned(taken[order], rows, ious[rows, columns])


def pair_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of boxes ``(..., 4)`` with others at the same indices, or broadcast ones."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(dim=-1) for box in (first, second)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=EPS)


def _regions(truth: Truth, places: Places) -> tuple[Tensor, Tensor]:
    """Return the places about each object's center ``(G, 9 * levels)`` and which of them exist.

    They count over the batch; one that does not exist is the first of the image.
    """
    centers = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2
    steps = torch.arange(-1, 2, device=centers.device)
    down, across = (grid.flatten() for grid in torch.meshgrid(steps, steps, indexing="ij"))
    first, found, there = 0, [], []
    for side, stride in zip(places.sides, places.strides, strict=True):
        cells = centers / stride
        columns = cells[:, :1].floor().long() + across
        rows = cells[:, 1:].floor().long() + down
        apart = torch.stack([columns, rows], dim=-1) + 0.5 - cells[:, None]
        is_near = apart.abs().amax(dim=-1) < RADIUS
        is_inside = (columns >= 0) & (rows >= 0) & (columns < side) & (rows < side)
        found.append((first + rows * side + columns) * is_inside)
        there.append(is_near & is_inside)
        first += side * side
    return torch.cat(found, dim=1) + truth.images[:, None] * first, torch.cat(there, dim=1)


def _class_costs(class_logits: Tensor, objectness: Tensor, truth: Truth, index: Tensor) -> Tensor:
    """Return the binary cross-entropy of the scores with each object's class, ``(G, K)``.

    The score of a class is the root of its probability times the objectness, as in the code of
    the paper.
    """
    # log sqrt(p q), and log(1 - sqrt(p q)) by way of it.
    log_scores = (F.logsigmoid(class_logits) + F.logsigmoid(objectness)[:, None]) / 2
    log_rest = torch.log1p(-log_scores.exp().clamp(max=1 - 1e-6))
    own = truth.labels[:, None]
    is_own = log_scores[index, own], log_rest[index, own]
    return -log_rest.sum(dim=1)[index] + is_own[1] - is_own[0]


def _cheapest(costs: Tensor, ious: Tensor, is_there: Tensor) -> Tensor:
    """Return the places of least cost of each object, as many as its best IoUs sum up to."""
    best = ious.topk(min(BEST_BOXES, ious.shape[1]), dim=1).values
    n_chosen = best.sum(dim=1).long().clamp(min=1)
    order = costs.masked_fill(~is_there, torch.inf).argsort(dim=1, stable=True)
    ranks = order.argsort(dim=1)
    return (ranks < n_chosen[:, None]) & is_there


def _is_cheapest_of_place(
    costs: Tensor, chosen: Tensor, index: Tensor, *, n_places: int
) -> Tensor:
    """Return where an object is the cheapest of those that chose its place, the first of equals.

    A place answers for one object only.
    """
    numbers = torch.arange(len(costs), device=costs.device)[:, None].expand_as(costs)
    least = costs.new_full((n_places,), torch.inf)
    least = least.scatter_reduce(0, index[chosen], costs[chosen], "amin")
    is_least = chosen & (costs == least[index])
    owner = numbers.new_full((n_places,), len(costs))
    owner = owner.scatter_reduce(0, index[is_least], numbers[is_least], "amin")
    return is_least & (owner[index] == numbers)
