"""Images decoded no larger than is needed to describe them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from archfront.trainers.data.image_files import PixelLimit, image_bytes
from archfront.trainers.data.images import (
    ImageSource,
    Pixels,
    explained,
    opened_content,
    to_pixels,
    upright_size,
)

# Longer side of an image that is only described.
ANALYZED_PX = 256
# Side of the grey thumbnail by which images are compared.
THUMB = 32


@dataclass(frozen=True)
class Shrunk:
    """An image in small, and what its file says.

    Attributes:
        pixels: uint8 ``(h, w, 1 or 3)``, as ``read_pixels`` gives them.
        width: Of the whole image in pixels, after EXIF rotation.
        height: The same.
        bits: Of one channel in the file.
        format: Of the file; empty for images from no file.
        n_bytes: Size of the file; None for images from no file.
    """

    pixels: Pixels
    width: int
    height: int
    bits: int = 8
    format: str = ""
    n_bytes: int | None = None


def read_shrunk(source: ImageSource, side: int, limit: PixelLimit) -> Shrunk:
    """Return an image whose longer side has at most so many pixels; smaller ones as they are.

    Pixels are averaged. JPEG files are decoded at a half, a quarter or an eighth where that is
    enough, which is several times as fast for large ones and still finds damaged files.

    Raises:
        DataError: If it cannot be read; the message says why, without the source's name.
    """
    if isinstance(source, np.ndarray):
        height, width = source.shape[:2]
        return Shrunk(_shrunk(source, side), width, height)
    with explained():
        if not isinstance(source, Path):
            pixels = to_pixels(source(), limit.value_range)
            return Shrunk(_shrunk(pixels, side), pixels.shape[1], pixels.shape[0])
        content = image_bytes(source)
        with opened_content(content, limit) as image:
            width, height = upright_size(image)
            bits = _bits(image)
            # A larger one is decoded smaller already.
            if width * height <= limit.pixels and image.format in ("JPEG", "MPO"):
                scale = min(1.0, side / max(image.size))
                across, down = (max(1, int(length * scale)) for length in image.size)
                image.draft(None, (across, down))
            pixels = to_pixels(image, limit.value_range)
            return Shrunk(
                _shrunk(pixels, side), width, height, bits, image.format or "", len(content)
            )


def grey_image(pixels: Pixels) -> Image.Image:
    """Return the grey values of pixels ``(h, w, 1 or 3)`` as an image."""
    if pixels.shape[-1] == 1:
        return Image.fromarray(pixels[..., 0])
    return Image.fromarray(pixels).convert("L")


def thumbnail(grey: Image.Image) -> Pixels:
    """Return an image in small, uint8 ``(THUMB, THUMB)``, however long its sides are."""
    return np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX))


def _shrunk(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = side / max(width, height)
    if scale >= 1:
        return pixels
    flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(flat).resize(size, Image.Resampling.BOX))
    return small.reshape(*small.shape[:2], -1)


def _bits(image: Image.Image) -> int:
    """Return the bits of a channel in a file, of which only the head is read yet."""
    if image.mode == "1":
        return 1
    raw_modes = (str(tile[3]) for tile in getattr(image, "tile", ()))
    is_deep = image.mode.startswith("I") or any(";16" in mode for mode in raw_modes)
    return 16 if is_deep else 8
