"""From logits at a network's size to the class of every pixel of the image, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.tiles import Tile

# Logits at the size of an image that are held at once, 64 MB.
CHUNK = 16_000_000

Floats = NDArray[np.float32]


def classes_of_image(
    outputs: Iterable[Mapping[str, NDArray[Any]]], preprocess: Preprocess, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the class of each pixel of an image, from a network's outputs for its tiles.

    Args:
        outputs: ``logits (C, S, S)`` of each tile, in the order of ``preprocess.tiles``; one
            where images are not cut.
        preprocess: How the image became the network's input.
        size: Width and height of the image.
    """
    width, height = size
    found = np.empty((height, width), np.uint8)
    for output, tile in zip(outputs, preprocess.tiles(width, height), strict=True):
        across, down = preprocess.inside(tile.width, tile.height)
        inside = output["logits"][:, :down, :across]
        put_core(found, class_map(inside, tile.width, tile.height), tile)
    return found


def put_core(classes: NDArray[np.uint8], of_tile: NDArray[np.uint8], tile: Tile) -> None:
    """Put the pixels that a tile answers for, of its classes, into those of the image."""
    x1, y1, x2, y2 = tile.core
    inside = of_tile[y1 - tile.top : y2 - tile.top, x1 - tile.left : x2 - tile.left]
    classes[y1:y2, x1:x2] = inside


def class_map(logits: Floats, width: int, height: int, *, chunk: int = CHUNK) -> NDArray[np.uint8]:
    """Return the class of each pixel of an image, ``(height, width)``.

    Logits are read between their places linearly, as the evaluator of masks does it by torch's
    ``interpolate``, a band of rows at a time.

    Args:
        logits: ``(C, h, w)`` of the part of the input that the image fills.
        width: Of the image.
        height: Of the image.
        chunk: Logits that are held at once.
    """
    classes, low_height, low_width = logits.shape
    above, below, down = _places(height, low_height)
    left, right, across = _places(width, low_width)
    found = np.empty((height, width), np.uint8)
    n_rows = max(1, chunk // (classes * width))
    for start in range(0, height, n_rows):
        rows = slice(start, min(start + n_rows, height))
        share = down[rows, None]
        band = logits[:, above[rows]] * (1 - share) + logits[:, below[rows]] * share
        full = band[..., left] * (1 - across) + band[..., right] * across
        found[rows] = full.argmax(axis=0)
    return found


def _places(n: int, n_low: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return between which two of ``n_low`` each of ``n`` lies, and the share of the second."""
    places = ((np.arange(n) + 0.5) * (n_low / n) - 0.5).clip(0, n_low - 1)
    lower = np.floor(places).astype(np.int64)
    return lower, np.minimum(lower + 1, n_low - 1), (places - lower).astype(np.float32)
