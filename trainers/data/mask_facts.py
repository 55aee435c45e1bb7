"""What a mask file holds before its values have a meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from archfront.trainers.data.file_facts import FileFacts
from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.images import is_index, opened_mask
from archfront.trainers.errors import DataError

MAX_VALUES = 4096  # more are no classes
LOSSY = ("JPEG", "MPO")  # formats that change values


@dataclass(frozen=True)
class MaskFacts:
    """The values of one mask.

    Attributes:
        pixels: Number of pixels by value, or by color as ``r << 16 | g << 8 | b``; empty when
            there are more than ``MAX_VALUES``.
        is_color: Whether the values are colors.
        has_many: Whether there are more than ``MAX_VALUES``.
        is_lossy: Whether the format of the file changes values.
        has_palette: Whether the file shows each number as a color.
    """

    pixels: Mapping[int, int]
    is_color: bool
    has_many: bool
    is_lossy: bool
    has_palette: bool


def mask_facts(file: Path, facts: FileFacts, limit: PixelLimit) -> MaskFacts | None:
    """Return what a mask holds, None if it cannot be read, which is reported when it is used."""
    try:
        values, counts, *flags = facts.get(file, "mask", lambda: _found(file, limit))
        pixels = dict(zip(map(int, values), map(int, counts), strict=True))
        return MaskFacts(pixels, *map(bool, flags))
    except DataError:
        return None


def _found(file: Path, limit: PixelLimit) -> list[Any]:
    with opened_mask(file, limit) as (image, kind):
        colors, is_color = _colors(image)
        pairs = sorted(colors or ())
        values, counts = [value for value, _ in pairs], [count for _, count in pairs]
        return [values, counts, is_color, colors is None, kind in LOSSY, image.mode == "P"]


def _colors(image: Image.Image) -> tuple[list[tuple[int, int]] | None, bool]:
    """Return values with their pixels, None for too many, and whether the values are colors."""
    if is_index(image):
        single: Any = (image.convert("I") if ";" in image.mode else image).getcolors(MAX_VALUES)
        scale = 255 if image.mode == "1" else 1
        values = single and [(int(value) // scale, count) for count, value in single]
        return values, False
    found: Any = image.convert("RGB").getcolors(MAX_VALUES)
    if found is None:
        return None, True
    if all(r == g == b for _, (r, g, b) in found):
        return [(r, count) for count, (r, _, _) in found], False
    return [(r << 16 | g << 8 | b, count) for count, (r, g, b) in found], True
