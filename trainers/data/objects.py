"""Boxes and outlines: checked against their image, moved to the pixels of a network's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.targets import IGNORED, Indices, Objects, Segment

# A box may stand out by this much before it is reported: rounding, and tools that count from 1.
SLACK_PX = 2.0
# Reasons why an object is changed, or is none.
CLIPPED, BESIDE = "box outside of the image, clipped", "outline outside of the image"
# Share of an object below which it is none in a part of an image (albumentations, YOLOv5: 0.1).
LEAST_VISIBLE = 0.2


@dataclass(frozen=True)
class Found:
    """One object as an annotation gives it.

    Attributes:
        box: x1, y1, x2, y2 in pixels.
        label: Class index.
        name: For people, such as ``annotation 17``.
        is_crowd: Whether it is a group.
        segment: Its outline, where it has one.
    """

    box: tuple[float, ...]
    label: int
    name: str
    is_crowd: bool = False
    segment: Segment | None = None


def gathered(found: Sequence[Found], *, has_outlines: bool) -> Objects:
    """Return the objects of an image; every one has an outline if that is asked for."""
    segments = tuple(item.segment for item in found if item.segment is not None)
    assert not has_outlines or len(segments) == len(found)
    return Objects(
        np.array([item.box for item in found], np.float32).reshape(-1, 4),
        np.array([item.label for item in found], np.int64),
        np.array([item.is_crowd for item in found], np.bool_),
        segments if has_outlines else None,
        tuple(item.name for item in found),
    )


def polygon_box(parts: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """Return the box around polygons, each flat x, y, x, y, ..."""
    x = [value for part in parts for value in part[0::2]]
    y = [value for part in parts for value in part[1::2]]
    return min(x), min(y), max(x), max(y)


def polygon_area(flat: Sequence[float]) -> float:
    """Return the area inside a polygon, flat x, y, x, y, ..., by the shoelace formula."""
    x, y = np.asarray(flat[0::2]), np.asarray(flat[1::2])
    x, y = x - x[:1], y - y[:1]  # near the origin little is lost to rounding
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def segment_area(segment: Segment, width: int, height: int) -> float:
    """Return the pixels inside an outline of an image of this size."""
    if not isinstance(segment, Mapping):
        return sum(map(polygon_area, segment))
    from faster_coco_eval.core import mask as coco

    return float(coco.area(rle_of(segment, width, height)))


def checked_objects(
    objects: Objects, name: str, width: int, height: int
) -> tuple[Objects, tuple[Skipped, ...]]:
    """Return the objects inside an image, and what is wrong with those that are left out.

    A box is clipped to the image. It is left out when nothing of it or of its outline is inside,
    when it has no width or height, or when it is no box.
    """
    segments = objects.segments or (None,) * len(objects)
    boxes = objects.boxes.astype(np.float32)
    clipped = boxes.copy()
    clipped[:, 0::2] = clipped[:, 0::2].clip(0, width)
    clipped[:, 1::2] = clipped[:, 1::2].clip(0, height)
    problems, kept = [], []
    for i, (box, inside) in enumerate(zip(boxes, clipped, strict=True)):
        reason, segment = _wrong(box, inside, width, height), segments[i]
        is_kept = reason is None or reason[0] == CLIPPED
        if is_kept and segment is not None and is_beside(segment, width, height):
            reason, is_kept = (BESIDE, f"it {beside_detail(width, height)}"), False
        what = objects.names[i] if objects.names else f"object {i}"
        if is_kept:
            kept.append(i)
        if reason is not None:
            problems.append(Skipped(f"{name}, {what}", *reason))
    return replace(objects.only(kept), boxes=clipped[kept]), tuple(problems)


def _wrong(
    box: NDArray[np.float32], inside: NDArray[np.float32], width: int, height: int
) -> tuple[str, str] | None:
    """Return reason and detail of what is wrong with a box, if anything is."""
    spelled = ", ".join(f"{value:g}" for value in box)
    if not np.isfinite(box).all():
        return "box that is no numbers", f"its box is ({spelled}); it needs four finite numbers"
    if box[2] <= box[0] or box[3] <= box[1]:
        return "box without an area", f"its box (x1, y1, x2, y2) = ({spelled}) has no area"
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        return (
            "box outside of the image",
            f"its box ({spelled}) lies outside of the {width} x {height} px of its image",
        )
    if np.abs(box - inside).max() > SLACK_PX:
        return (
            CLIPPED,
            f"its box ({spelled}) stands out of the {width} x {height} px of its image and was "
            "clipped",
        )
    return None


def scaled_segment(segment: Segment, scale_x: float, scale_y: float) -> Segment:
    """Return polygons in other pixels.

    Raises:
        TypeError: For a run-length encoding, which is resized as a mask.
    """
    if isinstance(segment, Mapping):
        raise TypeError("a run-length encoding has pixels, not points")
    scales = (scale_x, scale_y)
    return tuple(
        tuple(value * scales[place % 2] for place, value in enumerate(part)) for part in segment
    )


def cut_segment(
    segment: Segment, box: tuple[int, int, int, int], size: tuple[int, int]
) -> Segment:
    """Return an outline in the pixels of a part of its image.

    Points of polygons may lie beside the part; what is beside is not drawn.

    Args:
        segment: In pixels of the image.
        box: x1, y1, x2, y2 of the part in whole pixels.
        size: Width and height of the image.
    """
    from faster_coco_eval.core import mask as coco

    left, top, right, bottom = box
    if not isinstance(segment, Mapping):
        corner = (left, top)
        return tuple(
            tuple(value - corner[place % 2] for place, value in enumerate(part))
            for part in segment
        )
    mask = coco.decode(rle_of(segment, *size))[top:bottom, left:right]
    return dict(coco.encode(np.asfortranarray(mask)))


def is_beside(segment: Segment, width: int, height: int) -> bool:
    """Return whether polygons lie wholly outside of an image of this size."""
    if isinstance(segment, Mapping):
        return False
    left, top, right, bottom = polygon_box(segment)
    return right <= 0 or bottom <= 0 or left >= width or top >= height


def beside_detail(width: int, height: int) -> str:
    """Return what is wrong with an outline outside of an image of this size, after its name."""
    return f"has an outline outside of the {width} x {height} px of its image"


def segment_box(segment: Segment, width: int, height: int) -> NDArray[np.float32] | None:
    """Return the box of an outline's pixels in an image of this size; None without any."""
    from faster_coco_eval.core import mask as coco

    x, y, across, down = coco.toBbox(rle_of(segment, width, height))
    return None if across * down == 0 else np.array([x, y, x + across, y + down], np.float32)


def rle_of(segment: Segment, width: int, height: int) -> dict[str, Any]:
    """Return an outline as a compressed COCO run-length encoding of an image of this size."""
    from faster_coco_eval.core import mask as coco

    if not isinstance(segment, Mapping):
        parts = coco.frPyObjects([list(part) for part in segment], height, width)
        return dict(coco.merge(parts))
    if isinstance(segment["counts"], list):
        return dict(coco.frPyObjects(dict(segment), height, width))
    return dict(segment)


def rasterized(objects: Objects, labels: NDArray[np.int64], width: int, height: int) -> Indices:
    """Return the class of each pixel ``(height, width)`` of an image with outlined objects.

    Args:
        objects: Later ones lie over earlier ones; a crowd's pixels are ``IGNORED``.
        labels: Class of each object in the mask; 0 is where no object is.
        width: Of the image.
        height: Of the image.
    """
    from faster_coco_eval.core import mask as coco

    assert objects.segments is not None
    indices = np.zeros((height, width), np.uint8)
    for segment, label, crowd in zip(objects.segments, labels, objects.crowd, strict=True):
        rle = rle_of(segment, width, height)
        x, y, across, down = map(int, coco.toBbox(rle))
        box = slice(y, y + down), slice(x, x + across)
        indices[box][coco.decode(rle)[box] == 1] = IGNORED if crowd else label
    return indices


def resized_rle(
    segment: Segment, size: tuple[int, int], scale: tuple[float, float], side: int
) -> dict[str, Any]:
    """Return an outline as a run-length encoding in a square input.

    Args:
        segment: In pixels of the image.
        size: Width and height of the image.
        scale: Input pixels per image pixel, along x and y.
        side: Side of the square input.
    """
    from faster_coco_eval.core import mask as coco
    from PIL import Image

    if not isinstance(segment, Mapping):
        return rle_of(scaled_segment(segment, *scale), side, side)
    mask = coco.decode(rle_of(segment, *size))
    width, height = (max(1, round(n * s)) for n, s in zip(size, scale, strict=True))
    small = Image.fromarray(mask * np.uint8(255)).resize((width, height), Image.Resampling.BOX)
    square = np.zeros((side, side), np.uint8, order="F")
    square[:height, :width] = (np.asarray(small) >= 128)[:side, :side]
    return dict(coco.encode(square))
