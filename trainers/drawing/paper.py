"""White paper with panels on it: pictures of one image and the words below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from archfront.trainers.data.images import Pixels
from archfront.trainers.drawing.colors import Color

INK: Color = (32, 36, 42)
SOFT: Color = (90, 97, 107)
PAPER: Color = (255, 255, 255)
SIDE = 168  # px, the longer one of a picture
WIDTH = 1160  # px, of a report's page
GAP = 12
FONT_PX, LINE_PX = 13, 17
LINES_MAX = 5
LEGEND_MAX = 8  # lines that name colors


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


def captioned(image: Image.Image, lines: Sequence[Line]) -> Image.Image:
    """Return an image on white paper with lines below it, which hide nothing of it."""
    width = max(image.width, SIDE)
    paper = Image.new("RGB", (width, image.height + len(lines) * LINE_PX + 4), PAPER)
    paper.paste(image, (0, 0))
    for number, line in enumerate(lines):
        _write(paper, (2, image.height + 2 + number * LINE_PX), line, width - 4)
    return paper


def shortened(lines: Sequence[Line], most: int = LINES_MAX) -> tuple[Line, ...]:
    """Return at most so many lines, the last of them saying how many are left out."""
    if len(lines) <= most:
        return tuple(lines)
    return (*lines[: most - 1], Line(f"and {len(lines) - most + 1} more", SOFT))


def tag_size(text: str) -> tuple[int, int]:
    """Return the width and the height of a text with its ground, in pixels."""
    _, _, width, height = _font(11).getbbox(text)
    return round(width) + 4, round(height) + 3


def tag_at(image: Image.Image, place: tuple[int, int], text: str, color: Color) -> None:
    """Write a text on a ground of its class's color, its upper left at a place of the image."""
    pen = ImageDraw.Draw(image)
    (left, top), (width, height) = place, tag_size(text)
    pen.rectangle((left, top, left + width - 1, top + height - 1), color)
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
