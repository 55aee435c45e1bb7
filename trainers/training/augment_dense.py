"""Random changes of images together with their masks or objects.

``light`` scales and shifts. ``strong`` also mirrors and turns by quarters, and changes contrast.
Where flips are named, those are drawn with either, and no others.
All images of a batch are sampled at once; boxes follow by arithmetic, outlines as masks do.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from archfront.trainers.data.batch_targets import Targets
from archfront.trainers.data.objects import LEAST_VISIBLE
from archfront.trainers.data.targets import IGNORED
from archfront.trainers.spec import USUAL_FLIPS, Augment, Flips
from archfront.trainers.training.drawn_flips import drawn_flips

# Images per image: below 1 the objects shrink. Redmon and Farhadi's YOLO jitters as much.
SCALES = {"light": (0.8, 1.25), "strong": (0.6, 1.6)}
MAX_SHIFT = 1 / 8  # of the side
MAX_CONTRAST = 0.2


def augment_dense(
    images: Tensor,
    targets: Targets,
    *,
    strength: Augment,
    flips: Flips = USUAL_FLIPS,
    rng: np.random.Generator,
) -> tuple[Tensor, Targets]:
    """Return changed images and targets.

    Args:
        images: Normalized, ``(N, C, S, S)``; where nothing is known they become 0, the mean.
        targets: Masks ``(N, S, S)``, where nothing is known ``IGNORED``; or one mapping an image
            with boxes, labels and, where there are some, masks.
        strength: ``light`` or ``strong``.
        flips: Which flips are drawn; those of the strength are usual.
        rng: Source of every draw.
    """
    theta = _transforms(len(images), strength, flips, rng)
    grid = F.affine_grid(like(theta, images), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
    if strength == "strong":
        moved = contrasted(moved, rng)
    if isinstance(targets, Tensor):
        return moved, _moved_masks(targets, grid)
    side = images.shape[-1]
    return moved, [
        _moved_objects(t, g, side, m) for t, g, m in zip(targets, grid, theta, strict=True)
    ]


def contrasted(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return images ``(N, C, S, S)`` with other contrast and brightness."""
    gain = rng.uniform(1 - MAX_CONTRAST, 1 + MAX_CONTRAST, (len(images), 1, 1, 1))
    lift = rng.uniform(-MAX_CONTRAST, MAX_CONTRAST, (len(images), 1, 1, 1))
    return images * like(gain, images) + like(lift, images)


def like(values: NDArray[np.float64] | NDArray[np.bool_], images: Tensor) -> Tensor:
    """Return an array as a tensor of the images' type, on their device."""
    return torch.from_numpy(values).to(images.device, images.dtype)


def _transforms(
    n: int, strength: Augment, flips: Flips, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return matrices ``(n, 2, 3)`` from a place in the new image to that in the old one.

    Places run from -1 to 1, two units a side.
    """
    low, high = np.log(SCALES[strength])
    zoom = np.exp(-rng.uniform(low, high, n))
    shift = rng.uniform(-2 * MAX_SHIFT, 2 * MAX_SHIFT, (n, 2))
    turn = np.zeros(n)
    mirror = np.ones(n)
    if flips != USUAL_FLIPS:
        drawn = drawn_flips(n, flips, rng)
        turn, mirror = drawn.quarters * np.pi / 2, drawn.mirror
    elif strength == "strong":
        turn = rng.integers(0, 4, n) * np.pi / 2
        mirror = rng.choice([-1.0, 1.0], n)
    cos, sin = np.round(np.cos(turn)), np.round(np.sin(turn))
    rows = [
        [mirror * zoom * cos, -zoom * sin, shift[:, 0]],
        [mirror * zoom * sin, zoom * cos, shift[:, 1]],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def _moved_masks(masks: Tensor, grid: Tensor) -> Tensor:
    """Return masks ``(N, S, S)`` at the places of a grid ``(N, S, S, 2)``."""
    # Shifted by one, so that the zeros beside the image become IGNORED.
    shifted = (masks.to(grid.dtype) - IGNORED)[:, None]
    moved = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[:, 0]
    return (moved.round() + IGNORED).to(masks.dtype)


def _moved_objects(
    target: dict[str, Tensor], grid: Tensor, side: int, theta: NDArray[np.float64]
) -> dict[str, Tensor]:
    boxes, areas = _moved_boxes(target["boxes"], side, theta)
    size = boxes[:, 2:] - boxes[:, :2]
    kept = (size.prod(dim=1) >= LEAST_VISIBLE * areas) & (size.min(dim=1).values >= 1)
    moved = {"boxes": boxes[kept], "labels": target["labels"][kept]}
    if "masks" in target:
        masks = target["masks"][kept]
        if len(masks):
            sampled = F.grid_sample(
                masks[None].to(grid.dtype), grid[None], mode="nearest", align_corners=False
            )[0]
            masks = sampled.round().to(masks.dtype)
        moved["masks"] = masks
    return moved


def _moved_boxes(boxes: Tensor, side: int, theta: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Return boxes ``(K, 4)`` clipped to the image, and their areas before."""
    places = boxes.double() / side * 2 - 1
    matrix = torch.from_numpy(theta).to(boxes.device)
    back = torch.linalg.inv(matrix[:, :2])
    corners = places.view(-1, 2, 2) - matrix[:, 2]
    ends = corners @ back.T
    low, high = ends.amin(dim=1), ends.amax(dim=1)
    pixels = ((torch.cat([low, high], dim=1) + 1) / 2 * side).to(boxes.dtype)
    areas = (pixels[:, 2:] - pixels[:, :2]).prod(dim=1)
    return pixels.clamp(0, side), areas
