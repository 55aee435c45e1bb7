"""What is seen of one image: checked against its target, and described in small."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.images import Pixels
from archfront.trainers.data.objects import rasterized
from archfront.trainers.data.raw import RawSample, Skipped
from archfront.trainers.data.shrunk import (
    ANALYZED_PX,
    Shrunk,
    read_shrunk,
    thumbnail,
)
from archfront.trainers.data.targets import IGNORED, Indices, Mask, Objects, Target
from archfront.trainers.data.verify import checked_target, seen_mask
from archfront.trainers.errors import DataError

# A step between neighbors that is steep: a tenth of the whole range.
STEEP = 25
# Outlined objects of an image that have a number each when they are drawn.
N_DRAWN = 250


@dataclass(frozen=True)
class Facts:
    """What is known of an image that can be decoded.

    Attributes:
        target: What it shows, checked.
        width: In pixels, after EXIF rotation.
        height: The same.
        is_grey: Whether its channels are equal everywhere.
        bits: Of one channel in its file.
        format: Of its file; empty for images from no file.
        bits_per_pixel: Of its file; None for images from no file.
        means: Per channel, for values 0..1.
        squares: Means of the squares, likewise.
        entropy: Of its grey values, in bits.
        edges: Share of its pixels that have a steep neighbor.
        key: Hash of its size and its pixels in small.
        thumb: Its grey values, uint8 ``(T, T)``, however long its sides are.
        boundary: Share of its pixels beside another class of its mask, or beside another of its
            outlined objects or the ground; None without either.
    """

    target: Target
    width: int
    height: int
    is_grey: bool
    bits: int
    format: str
    bits_per_pixel: float | None
    means: tuple[float, float, float]
    squares: tuple[float, float, float]
    entropy: float
    edges: float
    key: bytes
    thumb: Pixels
    boundary: float | None = None


@dataclass(frozen=True)
class Look:
    """What is known of an image, and what is wrong with it; no facts, no image."""

    facts: Facts | None
    problems: tuple[Skipped, ...] = ()


def look(raw: RawSample, n_classes: int, limit: PixelLimit) -> Look:
    """Return what is known of an image and its target.

    Args:
        raw: The image.
        n_classes: Number of classes.
        limit: How large it may be.
    """
    try:
        image = read_shrunk(raw.source, ANALYZED_PX, limit)
    except DataError as error:
        return Look(None, (Skipped(raw.name, "broken image", str(error)),))
    boundaries: list[float] = []

    def seen(mask: Mask) -> list[Any]:
        indices = mask.indices()
        boundaries.append(_boundary(indices))
        return seen_mask(indices)

    size = image.width, image.height
    target, problems = checked_target(raw, size, n_classes, seen)
    if target is None:
        return Look(None, problems)
    if isinstance(target, Objects) and _are_of_size(target, *size):
        boundaries.append(_boundary(_drawn(target, *size)))
    return Look(_facts(image, target, boundaries), problems)


def _facts(image: Shrunk, target: Target, boundaries: Sequence[float]) -> Facts:
    pixels = image.pixels
    is_grey = pixels.shape[-1] == 1
    shown = Image.fromarray(pixels[..., 0] if is_grey else pixels)
    grey = shown if is_grey else shown.convert("L")
    counts = np.array(shown.histogram(), np.float64).reshape(-1, 256)
    means, squares = _moments(counts)
    content = hashlib.blake2b(repr((image.width, image.height, pixels.shape)).encode())
    content.update(pixels.tobytes())
    n_bytes, n_pixels = image.n_bytes, image.width * image.height
    return Facts(
        target=target,
        width=image.width,
        height=image.height,
        is_grey=is_grey,
        bits=image.bits,
        format=image.format,
        bits_per_pixel=None if n_bytes is None else 8 * n_bytes / n_pixels,
        means=means,
        squares=squares,
        entropy=_entropy(counts[0] if is_grey else np.array(grey.histogram(), np.float64)),
        edges=_edge_density(np.asarray(grey)),
        key=content.digest()[:16],
        thumb=thumbnail(grey),
        boundary=boundaries[0] if boundaries else None,
    )


def _moments(
    counts: NDArray[np.float64],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return means and means of squares of three channels from histograms ``(1 or 3, 256)``."""
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    first, second = shares @ values, shares @ values**2
    if len(first) == 1:
        first, second = first.repeat(3), second.repeat(3)
    return tuple(first.tolist()), tuple(second.tolist())


def _entropy(counts: NDArray[np.float64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def _edge_density(grey: Pixels) -> float:
    """Return the share of pixels whose right or lower neighbor differs steeply."""
    wide = grey.astype(np.int16)
    steep = np.zeros(grey.shape, np.bool_)
    steep[:, :-1] |= np.abs(np.diff(wide, axis=1)) > STEEP
    steep[:-1] |= np.abs(np.diff(wide, axis=0)) > STEEP
    return float(steep.mean())


def _are_of_size(objects: Objects, width: int, height: int) -> bool:
    """Return whether objects have outlines, and the encoded ones are of an image of this size."""
    return objects.segments is not None and all(
        not isinstance(segment, Mapping) or list(segment["size"]) == [height, width]
        for segment in objects.segments
    )


def _drawn(objects: Objects, width: int, height: int) -> Indices:
    """Return which object each pixel ``(height, width)`` shows; 0 for none.

    Numbers come again after ``N_DRAWN`` objects.
    """
    numbers = 1 + np.arange(len(objects), dtype=np.int64) % N_DRAWN
    return rasterized(objects, numbers, width, height)


def _boundary(indices: Indices) -> float:
    """Return the share of pixels whose right or lower neighbor is of another class."""
    if indices.ndim != 2 or not indices.size:
        return 0.0
    counted = indices != IGNORED
    edge = np.zeros(indices.shape, np.bool_)
    edge[:, :-1] |= (indices[:, :-1] != indices[:, 1:]) & counted[:, :-1] & counted[:, 1:]
    edge[:-1] |= (indices[:-1] != indices[1:]) & counted[:-1] & counted[1:]
    return float(edge.mean())
