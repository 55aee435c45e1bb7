"""The one door to image files: regular files of a few formats, of a size that memory holds.

Pillow opens many more formats by their content, whatever a file is called, and gives PostScript to
another program. So the formats are listed here. A file of some kilobytes may hold an image of
gigabytes, so its size is read from its head before it is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from archfront.trainers.errors import DataError
from archfront.trainers.files import read_file

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "AVIF", "TIFF", "PPM")
# An uncompressed image of the most pixels that Pillow reads, in 8 bits, with room for its head.
MAX_FILE_MB = 600
# Decoding takes up to 11 bytes a pixel, so that an image of this size stays below 1 GB.
MAX_PIXELS = 120_000_000
# Pillow's own limit, which holds whatever is asked for.
MOST_PIXELS = 178_956_970
ValueRange = tuple[int, int]
WHOLE_RANGE: ValueRange = (0, 65535)
# By how much a decoder of JPEG can shrink an image while it reads the file.
SHRINKS = (2, 4, 8)


@dataclass(frozen=True)
class PixelLimit:
    """How large an image may be, and which of its values become black and white.

    Attributes:
        pixels: Width times height.
        shrinks: Whether a larger JPEG file is decoded at half, a quarter or an eighth of its
            size; only where nothing depends on the place of a pixel.
        value_range: Of 16 bits a pixel, the values that become 0 and 255.
    """

    pixels: int = MAX_PIXELS
    shrinks: bool = False
    value_range: ValueRange = WHOLE_RANGE


DEFAULT = PixelLimit()


def image_bytes(file: Path) -> bytes:
    """Return the content of an image file.

    Raises:
        OSError: If it is not there, is no regular file, or is larger than an image can be.
    """
    return read_file(file, MAX_FILE_MB)


@contextmanager
def opened_image(file: BinaryIO, limit: PixelLimit | None) -> Iterator[Image.Image]:
    """Give the image in an open file, whose pixels are not decoded yet.

    Args:
        file: As ``trainers.files.open_regular`` opens it, or bytes in memory.
        limit: How large it may be; None where only its head is read.

    Raises:
        DataError: If it is too large.
        PIL.UnidentifiedImageError: If it is none of ``FORMATS``.
    """
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(
            f"it is too large: more than {MOST_PIXELS:,} px, which is the most that is read; "
            "scale it down or cut it into tiles"
        ) from error
    with image:
        if limit is not None:
            _fit(image, limit)
        yield image


def _fit(image: Image.Image, limit: PixelLimit) -> None:
    """Have a large JPEG file decoded smaller, and refuse any other large image."""
    width, height = image.size
    if width * height <= limit.pixels:
        return
    # The decoder holds a progressive file at its whole size.
    if limit.shrinks and image.format in ("JPEG", "MPO") and "progressive" not in image.info:
        for times in SHRINKS:
            if -(-width // times) * -(-height // times) <= limit.pixels:
                image.draft(None, (max(1, width // times), max(1, height // times)))
                return
    raise DataError(
        f"it is too large: {width:,} x {height:,} px, more than the {limit.pixels:,} px of "
        "max_pixels; scale it down, cut it into tiles or raise that"
    )
