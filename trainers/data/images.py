"""Images of any kind to plain 8-bit pixels.

- EXIF rotation is applied; an EXIF block that is damaged costs the rotation, not the image.
- Transparency, of whichever kind, is laid on white: the paper that icons and scans are drawn on.
- 16-bit grey is scaled from the range of its dataset to 0..255, never stretched to its own range.
- An image is grey when its three channels are equal everywhere, however its file stores it.
- Of an animation, the first frame.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from archfront.trainers.data.image_files import (
    DEFAULT,
    WHOLE_RANGE,
    PixelLimit,
    ValueRange,
    image_bytes,
    opened_image,
)
from archfront.trainers.errors import DataError
from archfront.trainers.files import UnfitFileError, open_regular

EXTENSIONS = frozenset(
    (
        *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
PNG_END = b"IEND\xaeB`\x82"
GIF_END = b"\0;"
Pixels = NDArray[np.uint8]
ImageSource = Path | Pixels | Callable[[], Image.Image]
ORIENTATION = 0x0112  # EXIF's tag
SIDEWAYS = (5, 6, 7, 8)  # its values that exchange width and height
PROBED = 31  # px between the pixels that are looked at first
# Pixels of the rows that are converted at a time, so that no second copy of an image is needed.
STRIP_PIXELS = 4_000_000
# What turns an image upright, by EXIF's orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_pixels(source: ImageSource, limit: PixelLimit = DEFAULT) -> Pixels:
    """Return the pixels of a source.

    Args:
        source: An image, or what gives it.
        limit: How large a file's image may be.

    Raises:
        DataError: If it cannot be read; the message says why, without the source's name.
    """
    return _read(source, limit)[0]


def pixels_in(content: bytes, limit: PixelLimit = DEFAULT) -> Pixels:
    """Return the pixels of an image file's content; errors as ``read_pixels``."""
    with explained():
        return _decode(content, limit)


def read_with_digest(source: ImageSource, limit: PixelLimit = DEFAULT) -> tuple[Pixels, str]:
    """Return the pixels of a source and the SHA-256 of its file, or of its pixels without one.

    Args and errors are those of ``read_pixels``.
    """
    pixels, data = _read(source, limit)
    content = hashlib.sha256(data)
    if not isinstance(source, Path):
        content.update(repr(pixels.shape).encode())
    return pixels, content.hexdigest()


def read_index(file: Path, limit: PixelLimit = DEFAULT) -> NDArray[np.uint8]:
    """Return a mask as it is stored: indices ``(H, W)``, or colors ``(H, W, 3)``.

    The palette of a mask is only for looking at, so its indices are returned; so are the equal
    channels of a grey mask. A rotation that EXIF asks for is applied, as to the image.

    Raises:
        DataError: If it cannot be read; the message says why, without the file's name.
    """
    with opened_mask(file, limit) as (image, _):
        return _indices(image)


def read_colors(file: Path, limit: PixelLimit = DEFAULT) -> NDArray[np.uint8]:
    """Return the colors that a mask shows, ``(H, W, 3)``, through its palette where it has one.

    Raises:
        DataError: If it cannot be read; the message says why, without the file's name.
    """
    with opened_mask(file, limit) as (image, _):
        return _by_strips(image, _colors)


@contextmanager
def opened_mask(file: Path, limit: PixelLimit = DEFAULT) -> Iterator[tuple[Image.Image, str]]:
    """Give the image of a mask, turned as its EXIF data asks for, and its format.

    Args:
        file: Of the mask.
        limit: How large the mask may be.

    Raises:
        DataError: If it cannot be read; the message says why, without the file's name.
    """
    if not file.exists():
        raise DataError("the file is not there")
    with explained(), open_regular(file) as opened, opened_image(opened, limit) as image:
        yield upright(image), image.format or ""


def is_index(image: Image.Image) -> bool:
    """Return whether the pixels of a mask are numbers, whatever its palette shows."""
    return image.mode in ("P", "L", "1", "F") or image.mode.startswith("I")


@contextmanager
def explained() -> Iterator[None]:
    """Raise what decoders raise as a ``DataError`` that says why, and keep Pillow from warning.

    Pillow warns of large images, of odd EXIF blocks and of palettes; none of these is a problem.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logger = logging.getLogger("PIL")
    if logger.level != logging.CRITICAL:  # setting it looks through all loggers of the process
        logger.setLevel(logging.CRITICAL)  # what it logs it also raises
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError("the file is not there") from error
    except UnidentifiedImageError as error:
        raise DataError("it is not an image of a known format") from error
    except UnfitFileError as error:
        raise DataError(str(error)) from error
    # Decoders raise nearly anything on a damaged file: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"it cannot be decoded ({reason})") from error


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned as its EXIF data asks for, else the same image."""
    image.load()  # turns a TIFF file and takes its orientation away
    turn = TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation; 1 where there is none, or none that is a number."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged block raises nearly anything, and costs no image
        return 1
    return value if isinstance(value, int) else 1


def _indices(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("P", "L", "1"):
        return np.array(image, np.uint8)
    if is_index(image):
        wide = np.asarray(image)
        if image.mode == "F" and not np.array_equal(wide, np.rint(wide)):
            raise DataError("its values are floating-point numbers; indices are whole numbers")
        if wide.min() < 0:
            raise DataError(f"its values begin at {wide.min():g}; indices begin at 0")
        if wide.max() > 255:
            raise DataError(f"its values reach {wide.max():g}; indices end at 255")
        return wide.astype(np.uint8)
    colors = _by_strips(image, _colors)
    return np.ascontiguousarray(colors[..., 0]) if _is_grey(colors) else colors


@contextmanager
def _head(file: Path) -> Iterator[Image.Image]:
    """Give the image of a file of any size, of which only the head is read yet."""
    with explained(), open_regular(file) as opened, opened_image(opened, None) as image:
        yield image


def image_size(file: Path) -> tuple[int, int] | None:
    """Return width and height after EXIF rotation from the head of a file; None if unreadable."""
    try:
        with _head(file) as image:
            return upright_size(image)
    except DataError:  # decoding it will say what is wrong
        return None


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height, after EXIF rotation, of an image that is not decoded yet."""
    # Pillow gives the size of a TIFF file as it is turned.
    is_turned = image.format != "TIFF" and _orientation(image) in SIDEWAYS
    return image.size[::-1] if is_turned else image.size


def is_deep(file: Path) -> bool:
    """Return whether an image has 16 bits a pixel, by its head; not if that cannot be read."""
    try:
        with _head(file) as image:
            return image.mode.startswith("I")
    except DataError:
        return False


def deepest_value(file: Path, limit: PixelLimit = DEFAULT) -> int:
    """Return the largest value of an image with 16 bits a pixel; 0 of any other, by its head."""
    try:
        with explained(), open_regular(file) as opened, opened_image(opened, limit) as image:
            return int(np.asarray(image).max()) if image.mode.startswith("I") else 0
    except DataError:  # reading it will say what is wrong
        return 0


def is_turned_by_exif(file: Path) -> bool:
    """Return whether the EXIF data of a file exchanges width and height."""
    try:
        with _head(file) as image:
            return _orientation(image) in SIDEWAYS
    except DataError:
        return False


def to_pixels(image: Image.Image, values: ValueRange = WHOLE_RANGE) -> Pixels:
    """Return an image as uint8 ``(H, W, 1)`` when it is grey, else ``(H, W, 3)``.

    Args:
        image: Of any kind.
        values: Of 16 bits a pixel, the values that become 0 and 255; others are cut off.

    Raises:
        DataError: If its values have no fixed range that could be scaled to 8 bits.
    """
    turned = upright(image)
    if turned.mode.startswith("I") or turned.mode == "F":
        return _deep_grey(turned, values)[..., None]
    if turned.mode == "L" and not turned.has_transparency_data:
        return np.asarray(turned)[..., None]
    rgb = _by_strips(turned, lambda strip: np.asarray(_on_white(strip)))
    return np.ascontiguousarray(rgb[..., :1]) if _is_grey(rgb) else rgb


def _by_strips(image: Image.Image, pixels_of: Callable[[Image.Image], Pixels]) -> Pixels:
    """Return the colors of an image, uint8 ``(H, W, 3)``, converted some rows at a time."""
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    if rows >= height:
        return pixels_of(image)
    found = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        found[top : top + rows] = pixels_of(image.crop((0, top, width, min(top + rows, height))))
    return found


def _is_grey(colors: Pixels) -> bool:
    """Return whether three channels are equal everywhere; a few pixels tell most that are not."""
    rows = max(1, STRIP_PIXELS // colors.shape[1])
    strips = (colors[top : top + rows] for top in range(0, len(colors), rows))
    parts = (colors[::PROBED, ::PROBED], *strips)
    return all(bool(np.all(part[..., :1] == part[..., 1:])) for part in parts)


def _colors(image: Image.Image) -> Pixels:
    return np.array(image.convert("RGB"), np.uint8)


def _read(source: ImageSource, limit: PixelLimit) -> tuple[Pixels, bytes]:
    if isinstance(source, np.ndarray):
        return source, source.tobytes()
    with explained():
        if isinstance(source, Path):
            data = image_bytes(source)
            return _decode(data, limit), data
        pixels = to_pixels(source(), limit.value_range)
        return pixels, pixels.tobytes()


def _decode(data: bytes, limit: PixelLimit) -> Pixels:
    with opened_content(data, limit) as image:
        return to_pixels(image, limit.value_range)


@contextmanager
def opened_content(data: bytes, limit: PixelLimit) -> Iterator[Image.Image]:
    """Give the image in the content of a file, whose pixels are not decoded yet.

    Raises:
        DataError: If it is empty, lacks its end or is too large.
    """
    if not data:
        raise DataError("the file is empty")
    with opened_image(BytesIO(data), limit) as image:
        # Pillow takes these two without their end when every pixel happens to be there.
        end = {"PNG": PNG_END, "GIF": GIF_END}.get(image.format or "", b"")
        if end not in data:
            raise DataError("the file is truncated: its end is missing")
        yield image


def _deep_grey(image: Image.Image, value_range: ValueRange) -> Pixels:
    values: NDArray[np.generic] = np.asarray(image)
    if image.mode == "F":
        raise DataError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if values.min() < 0 or values.max() > 65535:
        raise DataError("its pixels have 32 bits; save it with 8 or 16 bits")
    pixels: Pixels = _levels(value_range)[values]
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        pixels[values == transparent] = 255
    return pixels


@lru_cache(maxsize=4)
def _levels(value_range: ValueRange) -> Pixels:
    """Return the level of grey from 0 to 255 of each value of 16 bits, rounded."""
    low, high = value_range
    values = np.arange(65536).clip(low, high) - low
    return ((values * 510 + (high - low)) // (2 * (high - low))).astype(np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")
