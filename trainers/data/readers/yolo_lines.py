"""Lines of YOLO's text files: what their numbers are, and the object of each line.

``class cx cy w h`` is a box, ``class x y x y x y ...`` a polygon, both in shares of the image's
width and height. Tools write more behind a box: key points, a confidence, the number of a track.
Those must not be read as polygons, so what the numbers are is decided from all lines together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from archfront.trainers.data.objects import Found, polygon_area, polygon_box
from archfront.trainers.words import count_of

# Shares may exceed 1 by rounding and by objects that stand out; pixels exceed it by far.
SHARE_MAX = 2.0
BOX = 4  # numbers
TRACKED = 6  # numbers: a box, a confidence and the number of a track
POINTS_MIN = 3  # key points; fewer could be a polygon by chance
CLASSES_MAX = 10_000  # without names; a larger number is no class
SLACK = 0.02  # share by which a key point may lie outside of its box
VISIBLE = (0.0, 1.0, 2.0)  # third number of a key point


class BadLineError(Exception):
    """A line that is no object: reason and detail."""


@dataclass(frozen=True)
class Line:
    """The class and the numbers of one line, and whether the last number is a whole one."""

    number: int
    label: int
    values: tuple[float, ...]
    ends_whole: bool


@dataclass(frozen=True)
class Meaning:
    """What the numbers of all lines are.

    Attributes:
        key_points: Number of key points and numbers of each, behind every box; None for none.
        is_tracked: Whether all lines are boxes with a confidence and the number of a track.
        looks_like: The key points that all lines seem to have though the data does not say so.
    """

    key_points: tuple[int, int] | None = None
    is_tracked: bool = False
    looks_like: tuple[int, int] | None = None


def parsed_line(words: Sequence[str], number: int, n_names: int | None) -> Line:
    """Return the class and the numbers of a line.

    Raises:
        BadLineError: If it has no class or what is no number.
    """
    label = _label(words[0], n_names)
    try:
        values = tuple(map(float, words[1:]))
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):
        raise BadLineError("line that is no object", "has what is no number")
    return Line(number, label, values, ends_whole=words[-1].isdigit())


def _label(text: str, n_names: int | None) -> int:
    try:
        value = float(text)  # numpy writes 0.0
    except ValueError:
        value = -1.0
    if not (value >= 0 and value.is_integer()):
        raise BadLineError(
            "line that is no object", f"begins with {text!r}, not with a class number"
        )
    label = int(value)
    if n_names is not None and label >= n_names:
        raise BadLineError(
            "unknown category",
            f"has the class {label}, but there are names for 0 to {n_names - 1}",
        )
    if label >= CLASSES_MAX:
        raise BadLineError("unknown category", f"has the class {label}, and no class has a name")
    return label


def meaning_of(lines: Sequence[Line], key_points: tuple[int, int] | None) -> Meaning:
    """Return what the numbers of all lines are, by what the data says of its key points."""
    if key_points is not None:
        return Meaning(key_points)
    counts = {len(line.values) for line in lines}
    if len(counts) != 1:
        return Meaning()
    (count,) = counts
    if count == TRACKED and all(line.ends_whole for line in lines):
        return Meaning(is_tracked=True)
    for each in (2, 3):
        n, rest = divmod(count - BOX, each)
        if n >= POINTS_MIN and not rest and all(_has_key_points(line, each) for line in lines):
            return Meaning(looks_like=(n, each))
    return Meaning()


def _has_key_points(line: Line, each: int) -> bool:
    """Return whether all numbers behind a box are points within it; a hidden point may be 0, 0."""
    x, y, width, height = line.values[:BOX]
    places = range(BOX, len(line.values), each)
    points = [line.values[place : place + each] for place in places]
    if each == 3 and not all(point[2] in VISIBLE for point in points):
        return False
    return all(
        (abs(point[0] - x) <= width / 2 + SLACK and abs(point[1] - y) <= height / 2 + SLACK)
        or point[:2] == (0, 0)
        for point in points
    )


def object_of(line: Line, meaning: Meaning, size: tuple[int, int], *, has_outlines: bool) -> Found:
    """Return the object of a line in pixels of its image.

    Raises:
        BadLineError: If its numbers are neither a box nor a polygon, or not what is needed.
    """
    values = line.values
    if meaning.key_points is not None:
        values = _before_key_points(values, meaning.key_points)
    else:
        _check_count(values, meaning)
    if not all(abs(share) <= SHARE_MAX for share in values):
        raise BadLineError(
            "coordinates that are no shares",
            "has coordinates beyond 0 to 1; YOLO's are shares of the image's width and height",
        )
    name = f"line {line.number} of its labels"
    if len(values) > BOX:
        polygon = tuple(share * size[place % 2] for place, share in enumerate(values))
        if has_outlines and polygon_area(polygon) == 0:
            raise BadLineError("outline without an area", "has points on one line, so no area")
        segment = (polygon,) if has_outlines else None
        return Found(polygon_box((polygon,)), line.label, name, segment=segment)
    if has_outlines:
        what = "is a box" if meaning.key_points is None else "is a box with key points"
        raise BadLineError("object without an outline", f"{what}, without an outline")
    across, down = (values[2] * size[0] / 2, values[3] * size[1] / 2)
    x, y = values[0] * size[0], values[1] * size[1]
    return Found((x - across, y - down, x + across, y + down), line.label, name)


def _before_key_points(
    values: tuple[float, ...], key_points: tuple[int, int]
) -> tuple[float, ...]:
    n, each = key_points
    if len(values) != BOX + n * each:
        raise BadLineError(
            "line that is no object",
            f"has {count_of(len(values), 'number')} after its class; a box and kpt_shape "
            f"[{n}, {each}] need {BOX + n * each}",
        )
    return values[:BOX]


def _check_count(values: tuple[float, ...], meaning: Meaning) -> None:
    n = len(values)
    if n == BOX + 1:
        raise BadLineError(
            "sixth number behind a box",
            "has a sixth number: a confidence, as predictions have (save_conf), or the number "
            "of a track. Labels have five; remove the sixth",
        )
    if meaning.is_tracked:
        raise BadLineError(
            "track behind a box",
            "has two numbers behind its box, the last a whole one: a confidence and the number "
            "of a track. Labels have five numbers; remove the others",
        )
    if meaning.looks_like is not None:
        shape = list(meaning.looks_like)
        raise BadLineError(
            "key points behind a box",
            f"has {n} numbers after its class, all within the box of the first four: key points, "
            f"no polygon. Say kpt_shape: {shape} in data.yaml",
        )
    if n != BOX and (n < 6 or n % 2):
        more = "; key points behind a box need kpt_shape in data.yaml" if n > 6 else ""
        raise BadLineError(
            "line that is no object",
            f"has {count_of(n, 'number')} after its class; a box has 4, a polygon 6, 8, 10, ..."
            f"{more}",
        )
