"""One annotation of a COCO file: what is usable of it, or why it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from archfront.trainers.data.objects import (
    BESIDE,
    Found,
    beside_detail,
    is_beside,
    polygon_area,
    polygon_box,
)
from archfront.trainers.data.targets import Segment, TargetKind
from archfront.trainers.words import quoted

# A polygon is followed pixel by pixel, so that one point at 1e30 would take for ever.
FARTHEST_PX = 1_000_000
Size = tuple[int, int] | None
Polygons = tuple[tuple[float, ...], ...]


class Unusable(Exception):
    """An annotation that cannot be used.

    Attributes:
        reason: Its kind, the same text for all of a kind.
        detail: What exactly is wrong, as words after the annotation's name.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def key_of(value: Any) -> str | None:
    """Return an id as text, so that 1 and '1' are the same; None if it is no id."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def found_in(
    annotation: Mapping[str, Any],
    name: str,
    labels: Mapping[str, int],
    target: TargetKind,
    size: Size,
) -> tuple[Found, int]:
    """Return the object of an annotation, and how many parts of its outline were left out.

    A part of fewer than three points or without an area is left out, while another one is whole.

    Args:
        annotation: As the file has it.
        name: What to call it.
        labels: Class index by category id.
        target: Whether an outline is needed.
        size: Width and height of its image, where they are known.

    Raises:
        Unusable: If its category is unknown, or what the target needs is missing or damaged.
    """
    category = annotation.get("category_id")
    label = labels.get(key_of(category) or "")
    if label is None:
        raise Unusable("unknown category", f"has the category {quoted(category)}, which none is")
    needs_outline = target != "boxes"
    box = annotation.get("bbox")
    segment, n_flat = None, 0
    if needs_outline or not box:
        segment, n_flat = _segment(annotation.get("segmentation"), size)
    # Of a mask nothing else is checked: what is beside the image leaves no trace in it.
    if target == "mask" and segment is not None and size is not None and is_beside(segment, *size):
        raise Unusable(BESIDE, beside_detail(*size))
    found = Found(
        box=_box(box) if box else _around(segment),
        label=label,
        name=name,
        is_crowd=annotation.get("iscrowd") in (1, True, "1"),
        segment=segment if needs_outline else None,
    )
    return found, n_flat


def _box(box: Any) -> tuple[float, float, float, float]:
    """Return corners from x, y, width and height."""
    values = numbers(box)
    if values is None or len(values) != 4:
        raise Unusable("box that is no numbers", f"has the box {quoted(box)}; it needs x, y, w, h")
    x, y, width, height = values
    return x, y, x + width, y + height


def _segment(value: Any, size: Size) -> tuple[Segment, int]:
    """Return an outline, and how many of its parts were left out."""
    if not value:
        raise Unusable("object without an outline", "has no segmentation")
    if isinstance(value, Mapping):
        return _run_lengths(value, size), 0
    parts = polygons(value)
    if parts is None:
        raise Unusable(
            "outline that is no polygon",
            "has a segmentation that is neither polygons (x, y, x, y, ...) nor a run-length "
            "encoding",
        )
    if any(abs(value) > FARTHEST_PX for part in parts for value in part):
        raise Unusable(
            "outline far outside of its image",
            f"has a point more than {FARTHEST_PX:,} px away from the corner of its image",
        )
    whole = tuple(part for part in parts if len(part) >= 6 and polygon_area(part) > 0)
    if not whole:
        raise Unusable(
            "outline without an area",
            "has a segmentation without an area; a polygon needs three points or more that are "
            "not on a line",
        )
    return whole, len(parts) - len(whole)


def polygons(value: Any) -> Polygons | None:
    """Return polygons however they are nested: lists of numbers, or of points, one or several."""
    if not isinstance(value, list):
        return None
    if numbers(value) is not None:
        value = [value]
    elif len(value) > 2 and all(isinstance(p, list) and len(p) == 2 for p in value):
        value = [value] if all(numbers(point) is not None for point in value) else value
    parts = []
    for part in value:
        is_points = isinstance(part, list) and part and all(isinstance(p, list) for p in part)
        flat = [v for point in part for v in point] if is_points else part
        found = numbers(flat)
        if found is None or len(found) % 2:
            return None
        parts.append(found)
    return tuple(parts)


def numbers(values: Any) -> tuple[float, ...] | None:
    """Return a list of finite numbers, which may be written as text; None for anything else."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return None
    found = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            found.append(float(value))
        except (ValueError, OverflowError):
            return None
    return tuple(found) if all(map(math.isfinite, found)) else None


def _run_lengths(value: Mapping[str, Any], size: Size) -> Segment:
    """Return a run-length encoding whose runs fill its image."""
    sides, counts = value.get("size"), value.get("counts")
    if not (isinstance(sides, list) and len(sides) == 2 and all(type(n) is int for n in sides)):
        raise Unusable(
            "outline that is damaged", f"has a run-length encoding of size {quoted(sides)}"
        )
    height, width = sides
    if size is not None and (width, height) != size:
        raise Unusable(
            "outline of another size",
            f"has a run-length encoding of {width} x {height} px and its image {size[0]} x "
            f"{size[1]}",
        )
    runs: Any = unpacked(counts) if isinstance(counts, str) else counts
    is_list = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    if not is_list or sum(runs) != width * height:
        raise Unusable(
            "outline that is damaged",
            f"has a run-length encoding whose runs do not add up to its {width} x {height} px",
        )
    if not any(runs[1::2]):
        raise Unusable("outline without an area", "has a run-length encoding without a pixel")
    return {"size": [height, width], "counts": counts}


def unpacked(text: str) -> list[int]:
    """Return the runs of a compressed encoding: 5 bits a letter, the later runs as differences.

    Source: COCO's maskApi.c, ``rleFrString``.
    """
    runs: list[int] = []
    place = 0
    while place < len(text):
        value = shift = 0
        is_open = True
        while is_open and place < len(text):
            bits = ord(text[place]) - 48
            value |= (bits & 0x1F) << shift
            is_open = bool(bits & 0x20)
            place += 1
            shift += 5
            if not is_open and bits & 0x10:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs


def _around(segment: Segment | None) -> tuple[float, float, float, float]:
    """Return the box around an outline."""
    assert segment is not None
    if not isinstance(segment, Mapping):
        return polygon_box(segment)
    from faster_coco_eval.core import mask as coco

    from archfront.trainers.data.objects import rle_of

    height, width = segment["size"]
    x, y, across, down = map(float, coco.toBbox(rle_of(segment, width, height)))
    return x, y, x + across, y + down
