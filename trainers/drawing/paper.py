"""White paper with panels on it: pictures of one image and the words below them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from archfront.trainers.data.images import Pixels

Color = tuple[int, int, int]
INK: Color = (32, 36, 42)
SOFT: Color = (90, 97, 107)
PAPER: Color = (255, 255, 255)
# Okabe and Ito 2008: colors that are told apart with every kind of color vision.
PALETTE: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (120, 120, 120),
)
# The golden ratio: hues of one class after the other stay far apart.
HUE_STEP = 0.618034
SIDE = 168  # px, the longer one of a picture
WIDTH = 1160  # px, of a report's page
GAP = 12
FONT_PX, LINE_PX = 13, 17
LINES_MAX = 5


@dataclass(frozen=True)
class Line:
    """Some words under a picture, after a square of the swatch's color if there is one."""

    text: str
    color: Color = INK
    swatch: Color | None = None


@dataclass(frozen=True)
class Panel:
    """One image as it is shown: pictures of one size side by side, and what stands below."""

    pictures: tuple[Image.Image, ...]
    lines: tuple[Line, ...]

    @property
    def width(self) -> int:
        """Return the width with the gap after it."""
        return sum(picture.width for picture in self.pictures) + GAP + 4 * len(self.pictures)


def grid(panels: Sequence[Panel], title: str) -> Image.Image:
    """Return panels on white paper under a title, as many in a row as a report is wide.

    Raises:
        ValueError: If there is none.
    """
    if not panels:
        raise ValueError("a picture needs at least one panel")
    wide = max(SIDE + 2 * GAP, *(panel.width for panel in panels))
    tall = max(picture.height for panel in panels for picture in panel.pictures)
    tall += max(len(panel.lines) for panel in panels) * LINE_PX + 2 * GAP
    columns = min(max(1, WIDTH // wide), len(panels))
    rows = -(-len(panels) // columns)
    top = LINE_PX + 2 * GAP
    paper = Image.new("RGB", (columns * wide + GAP, rows * tall + top), PAPER)
    _write(paper, (GAP, GAP), Line(title, SOFT), paper.width - 2 * GAP)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        _place(paper, panel, GAP + column * wide, top + row * tall)
    return paper


def shown(pixels: Pixels) -> Image.Image:
    """Return an image in color, its longer side ``SIDE``; tiny ones keep their squares."""
    image = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy())
    scale = SIDE / max(image.size)
    across, down = (max(1, round(n * scale)) for n in image.size)
    filter_ = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
    return image.resize((across, down), filter_)


def framed(image: Image.Image, color: Color) -> Image.Image:
    """Return an image with a frame on its border."""
    copy = image.copy()
    ImageDraw.Draw(copy).rectangle((0, 0, copy.width - 1, copy.height - 1), None, color, 3)
    return copy


def shortened(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return at most ``LINES_MAX`` lines, the last of them saying how many are left out."""
    if len(lines) <= LINES_MAX:
        return tuple(lines)
    return (*lines[: LINES_MAX - 1], Line(f"and {len(lines) - LINES_MAX + 1} more", SOFT))


def class_color(label: int) -> Color:
    """Return the color of a class, of the palette as far as it reaches."""
    if label < len(PALETTE):
        return PALETTE[label]
    red, green, blue = colorsys.hsv_to_rgb(label * HUE_STEP % 1, 0.65, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


def tag(image: Image.Image, place: tuple[float, float], text: str, color: Color) -> None:
    """Write a text on a ground of its class's color, its lower left at a place of the image."""
    pen = ImageDraw.Draw(image)
    _, _, width, height = (round(v) for v in pen.textbbox((0, 0), text, _font(11)))
    left = min(max(0, round(place[0])), max(0, image.width - width - 4))
    top = max(0, round(place[1]) - height - 2)
    pen.rectangle((left, top, left + width + 3, top + height + 2), color)
    is_light = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] > 130
    pen.text((left + 2, top), text, INK if is_light else PAPER, _font(11))


def _place(paper: Image.Image, panel: Panel, left: int, top: int) -> None:
    across = left
    for picture in panel.pictures:
        paper.paste(picture, (across, top))
        across += picture.width + 4
    down = top + max(picture.height for picture in panel.pictures) + 4
    for number, line in enumerate(panel.lines):
        _write(paper, (left, down + number * LINE_PX), line, max(across - left, SIDE) - GAP // 2)


def _write(paper: Image.Image, place: tuple[int, int], line: Line, width: int) -> None:
    """Write a line, cut to a width in pixels."""
    pen = ImageDraw.Draw(paper)
    left, top = place
    if line.swatch is not None:
        pen.rectangle((left, top + 3, left + 10, top + 13), line.swatch)
        left, width = left + 16, width - 16
    text, font = line.text, _font(FONT_PX)
    while pen.textlength(text, font) > width and len(text) > 1:
        text = text.removesuffix("…")[:-1] + "…"
    pen.text((left, top), text, line.color, font)


@lru_cache(maxsize=4)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
