"""Boxes of objects on an image, with labels beside them that hide no object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from archfront.trainers.drawing.colors import Color
from archfront.trainers.drawing.paper import tag_at, tag_size

# A label may lie on an object that is so many times as large.
ROOMY = 8.0
# A box with a shorter side of fewer pixels is framed by a thin line around it.
SMALL_PX = 24

Rect = tuple[float, float, float, float]


def with_labels(
    image: Image.Image,
    boxes: NDArray[np.floating],
    texts: Sequence[str],
    colors: Sequence[Color],
) -> list[int]:
    """Draw boxes with labels on an image; return the boxes whose label found no room.

    A label lies above its box, below it or beside it, or within a box that is much larger, where
    it covers no other label and no object that is not much larger than it.

    Args:
        image: What is drawn on.
        boxes: The boxes as ``(K, 4)`` xyxy in pixels of the image, the most important first.
        texts: The label of each.
        colors: The color of each.
    """
    for index in range(len(boxes) - 1, -1, -1):
        _frame(image, boxes[index], colors[index])
    taken: list[Rect] = []
    homeless = []
    is_tight = []
    for box, text in zip(boxes, texts, strict=True):
        width, height = tag_size(text)
        is_tight.append(_area(box) < ROOMY * width * height)
    tight = [tuple(box) for box, small in zip(boxes.tolist(), is_tight, strict=True) if small]
    for index, text in enumerate(texts):
        box = boxes[index].tolist()
        for place in _places(box, tag_size(text), image.size, is_tight=is_tight[index]):
            if not any(_meet(place, other) for other in (*taken, *tight)):
                taken.append(place)
                tag_at(image, (round(place[0]), round(place[1])), text, colors[index])
                break
        else:
            homeless.append(index)
    return homeless


def _frame(image: Image.Image, box: NDArray[np.floating], color: Color) -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    ends, width = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), 2
    if min(x2 - x1, y2 - y1) < SMALL_PX:
        ends, width = (x1 - 1, y1 - 1, max(x1, x2), max(y1, y2)), 1
    ImageDraw.Draw(image).rectangle(ends, None, color, width)


def _places(
    box: Sequence[float], size: tuple[int, int], within: tuple[int, int], *, is_tight: bool
) -> Iterator[Rect]:
    """Return the places of a label, the best first, that lie within the image."""
    x1, y1, x2, y2 = box
    width, height = size
    gap = 2
    left = min(max(0.0, x1), within[0] - width)
    level = min(max(0.0, y1), within[1] - height)
    corners = [
        (left, y1 - height - gap),
        (left, y2 + gap),
        (x2 + gap, level),
        (x1 - width - gap, level),
    ]
    if not is_tight:
        corners.insert(2, (left, level))
    for x, y in corners:
        place = (x, y, x + width, y + height)
        if x >= 0 and y >= 0 and place[2] <= within[0] and place[3] <= within[1]:
            yield place


def _meet(one: Rect, other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _area(box: NDArray[np.floating]) -> float:
    return float(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]))
