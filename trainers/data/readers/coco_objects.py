"""One annotation of a COCO file: what is usable of it, or why it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from archfront.trainers.data.objects import Found, polygon_box
from archfront.trainers.data.targets import Segment, TargetKind

Size = tuple[int, int] | None


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


def found_in(
    annotation: Mapping[str, Any],
    name: str,
    labels: Mapping[int, int],
    target: TargetKind,
    size: Size,
) -> Found:
    """Return the object of an annotation.

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
    if not isinstance(category, int) or category not in labels:
        raise Unusable("unknown category", f"has the category {category!r}, which none is")
    needs_outline = target != "boxes"
    box = annotation.get("bbox")
    segment = None
    if needs_outline or not box:
        segment = _segment(annotation.get("segmentation"), size)
    return Found(
        box=_box(box) if box else _around(segment),
        label=labels[category],
        name=name,
        is_crowd=annotation.get("iscrowd") in (1, True),
        segment=segment if needs_outline else None,
    )


def _box(box: Any) -> tuple[float, float, float, float]:
    """Return corners from x, y, width and height."""
    if not isinstance(box, Sequence) or len(box) != 4 or not _are_numbers(box):
        raise Unusable("box that is no numbers", f"has the box {box!r}; it needs x, y, w, h")
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height


def _segment(value: Any, size: Size) -> Segment:
    if not value:
        raise Unusable("object without an outline", "has no segmentation")
    if isinstance(value, Mapping):
        return _run_lengths(value, size)
    parts = value if isinstance(value, list) else []
    if not parts or not all(isinstance(part, list) and _is_polygon(part) for part in parts):
        raise Unusable(
            "outline that is no polygon",
            "has a segmentation that is neither polygons (x, y, x, y, ... of three points or "
            "more) nor a run-length encoding",
        )
    return tuple(tuple(map(float, part)) for part in parts)


def _is_polygon(part: list[Any]) -> bool:
    return len(part) >= 6 and len(part) % 2 == 0 and _are_numbers(part)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )


def _run_lengths(value: Mapping[str, Any], size: Size) -> Segment:
    """Return a run-length encoding whose runs fill its image."""
    sides, counts = value.get("size"), value.get("counts")
    if not (isinstance(sides, list) and len(sides) == 2 and all(type(n) is int for n in sides)):
        raise Unusable("outline that is damaged", f"has a run-length encoding of size {sides!r}")
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
