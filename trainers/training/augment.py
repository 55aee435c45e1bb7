"""Random changes of a training batch, drawn for the whole batch and applied at once.

``light`` shifts only, which changes the meaning of no image. ``strong`` adds what may: mirroring
(a mirrored digit or letter is another sign, a mirrored cat is a cat), turning, scaling, contrast,
erasing and mixing. The search finds out which one the data bears. Where flips are named, those are
drawn with every strength, and no others. A short training has no time to learn what augmentation
adds, so ``light_if_long`` does nothing there.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from archfront.trainers.data.batch_targets import Targets
from archfront.trainers.spec import USUAL_FLIPS, Augment, Flips
from archfront.trainers.training.augment_dense import augment_dense, contrasted, like
from archfront.trainers.training.drawn_flips import DrawnFlips, drawn_flips

MAX_SHIFT = 1 / 8  # of the side
MAX_TURN = math.radians(10)
MAX_SCALE = 0.15
ERASE_SHARE = 0.25  # of the images
ERASE_SIDE = (0.15, 0.4)  # of the image's side
MIX_ALPHA = 0.2  # Zhang et al. 2018 (mixup), the value for ImageNet
# Times that a full training sees each image, below which ``light_if_long`` is ``none``
# (benchmarks/LOG.md, "Augmentation in short trainings").
LONG = 12


def strength_of(asked: Augment, passes: float) -> Augment:
    """Return the strength of a training's augmentation.

    Args:
        asked: That of its recipe.
        passes: How often its full training sees each image.
    """
    if asked != "light_if_long":
        return asked
    return "light" if passes >= LONG else "none"


def augment(
    images: Tensor,
    labels: Targets,
    *,
    strength: Augment,
    flips: Flips = USUAL_FLIPS,
    classes: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Targets]:
    """Return changed images and their targets.

    Args:
        images: Normalized, ``(N, C, S, S)``; where nothing is known they become 0, the mean.
        labels: ``(N,)``; or ``(N, classes)``, or masks or objects (``augment_dense``).
        strength: What is done; one that ``strength_of`` returns.
        flips: Which flips are drawn; those of the strength are usual.
        classes: Width of mixed targets.
        rng: Source of every draw.

    Returns:
        Images of the same shape, and the labels or, where mixed, shares ``(N, classes)``.
    """
    if strength == "none":
        return images, labels
    if isinstance(labels, list) or labels.ndim == 3:
        return augment_dense(images, labels, strength=strength, flips=flips, rng=rng)
    if flips != USUAL_FLIPS:
        images = _flipped(images, drawn_flips(len(images), flips, rng))
    if strength == "light":
        return _shifted(images, rng), labels
    images = _moved(images, rng, mirrors=flips == USUAL_FLIPS)
    images = contrasted(images, rng)
    images = _erased(images, rng)
    return _mixed(images, labels, classes, rng)


def _flipped(images: Tensor, drawn: DrawnFlips) -> Tensor:
    """Return every image flipped as drawn, its pixels as they are."""
    flipped = images.clone()
    for mirror, quarters in drawn.kinds():
        rows = np.flatnonzero((drawn.mirror == mirror) & (drawn.quarters == quarters))
        chosen = images[torch.from_numpy(rows).to(images.device)]
        chosen = chosen.flip(3) if mirror < 0 else chosen
        flipped[rows] = torch.rot90(chosen, quarters, (2, 3))
    return flipped


def _shifted(images: Tensor, rng: np.random.Generator) -> Tensor:
    n, _, side, _ = images.shape
    reach = max(1, round(side * MAX_SHIFT))
    offsets = torch.from_numpy(rng.integers(0, 2 * reach + 1, (2, n, 1)))
    places = torch.arange(side)
    rows, columns = ((places + offset).to(images.device) for offset in offsets)
    padded = F.pad(images, (reach, reach, reach, reach)).permute(0, 2, 3, 1)
    which = torch.arange(n, device=images.device)[:, None, None]
    # Picked as (N, S, S, C), so the view back is channels-last for nothing.
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _moved(images: Tensor, rng: np.random.Generator, *, mirrors: bool) -> Tensor:
    n = len(images)
    turn = rng.uniform(-MAX_TURN, MAX_TURN, n)
    scale = rng.uniform(1 - MAX_SCALE, 1 + MAX_SCALE, n)
    mirror = rng.choice([-1.0, 1.0], n) if mirrors else np.ones(n)
    # The grid runs from -1 to 1, two units a side.
    shift = rng.uniform(-2 * MAX_SHIFT, 2 * MAX_SHIFT, (n, 2))
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    rows = [[mirror * cos, -sin, shift[:, 0]], [mirror * sin, cos, shift[:, 1]]]
    theta = like(np.moveaxis(np.array(rows), 2, 0), images)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", align_corners=False)


def _erased(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Blank a rectangle in some images. Source: Zhong et al. 2020 (Random erasing)."""
    n, _, side, _ = images.shape
    size = rng.uniform(*ERASE_SIDE, (2, n, 1)) * side
    start = rng.uniform(0, 1, (2, n, 1)) * (side - size)
    places = np.arange(side)
    inside = (places >= start) & (places < start + size)
    chosen = rng.uniform(0, 1, (n, 1, 1)) < ERASE_SHARE
    hole = inside[0][:, :, None] & inside[1][:, None, :] & chosen
    return images * like(~hole[:, None], images)


def _mixed(
    images: Tensor, labels: Tensor, classes: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Blend every image with another. Source: Zhang et al. 2018 (mixup), equation 2."""
    share = float(rng.beta(MIX_ALPHA, MIX_ALPHA))
    others = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    targets = labels if labels.ndim == 2 else F.one_hot(labels, classes).to(images.dtype)
    return (
        share * images + (1 - share) * images[others],
        share * targets + (1 - share) * targets[others],
    )
