"""Masks of boxes, moved to where they lie in the image, inside of the exported graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Pixels of the image per pixel of a mask.
STRIDE = 4


def paste(masks: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Return masks over the whole image, 0 beside their boxes.

    A margin of one pixel of the mask about the box keeps the value at its border, so that a mask
    can be enlarged and then be cut at its box.

    Args:
        masks: From 0 to 1, over the box, ``(N, D, m, m)``.
        boxes: x1, y1, x2, y2 in pixels, ``(N, D, 4)``; a box without an area gives an empty mask.
        side: Side of the image in pixels, a multiple of ``STRIDE``.

    Returns:
        ``(N, D, side / STRIDE, side / STRIDE)``.
    """
    n, d = masks.shape[:2]
    cells = side // STRIDE
    centers = (torch.arange(cells, device=masks.device, dtype=masks.dtype) + 0.5) * STRIDE
    x, is_across = _along(centers, boxes[..., 0], boxes[..., 2])
    y, is_down = _along(centers, boxes[..., 1], boxes[..., 3])
    grid = torch.stack(
        [
            x[:, :, None, :].expand(n, d, cells, cells),
            y[:, :, :, None].expand(n, d, cells, cells),
        ],
        dim=-1,
    )
    sampled = F.grid_sample(
        masks.reshape(n * d, 1, *masks.shape[2:]),
        grid.reshape(n * d, cells, cells, 2),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    is_inside = is_down[:, :, :, None] & is_across[:, :, None, :]
    return sampled.view(n, d, cells, cells) * is_inside


def _along(centers: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places ``(N, D, cells)`` of pixels in a box from -1 to 1, and which are in it."""
    low, high = low[..., None], high[..., None]
    places = (centers - low) / (high - low).clamp(min=1e-3) * 2 - 1
    is_in = (centers > low - STRIDE) & (centers < high + STRIDE) & (high > low)
    return places, is_in
