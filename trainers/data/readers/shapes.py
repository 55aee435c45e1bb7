"""Drawn shapes on a textured ground: a dataset of any size whose truth is exact.

Every image follows from the seed and its number, so that none has to be kept. Shapes are bright
and the ground is dark; only its outline says of which class a shape is. Edges are antialiased: a
pixel at the rim shows the share of it that the shape covers, and belongs to the shape from half.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from archfront.trainers.data.objects import Found, gathered, polygon_box
from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.ref import DataRef, Shapes
from archfront.trainers.data.targets import Indices, Labels, Mask, Segment, Target
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of

Points = NDArray[np.float64]
BACKGROUND = "background"
ROWS = 4  # scan lines per pixel; along them the coverage is exact
KEPT = 1024  # scenes, so that an image and what it shows are placed once
TRIES = 200  # places tried for one shape
RESTARTS = 20  # of an image whose shapes found no place
VISIBLE = 0.5  # of every shape, at least


def _regular(corners: int, *, turned: float = 0.0) -> Points:
    angles = 2 * math.pi * (np.arange(corners) + turned) / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star() -> Points:
    return _regular(10) * np.where(np.arange(10) % 2, 0.45, 1.0)[:, None]


def _cross() -> Points:
    arm, tip = 0.32, math.sqrt(1 - 0.32**2)
    corner = np.array([[tip, -arm], [tip, arm], [arm, arm]])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return np.concatenate([corner @ np.linalg.matrix_power(turn, n) for n in range(4)])


def _bar() -> Points:
    return np.array([[0.95, -0.31], [0.95, 0.31], [-0.95, 0.31], [-0.95, -0.31]])


# Corners in the circle of radius 1; a circle of 48 corners lacks 0.3 % of its area.
KINDS: Mapping[str, Callable[[], Points]] = {
    "circle": partial(_regular, 48),
    "square": partial(_regular, 4, turned=0.5),
    "triangle": partial(_regular, 3),
    "cross": _cross,
    "star": _star,
    "bar": _bar,
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """One shape: its class, its corners ``(V, 2)`` x, y in pixels, and its color ``(3,)``."""

    label: int
    corners: Points
    color: Points
    center: Points
    radius: float


def read_shapes(ref: DataRef) -> RawData:
    """Return images that are drawn when they are asked for, with every kind of target.

    One label per image is the class of its largest shape.

    Raises:
        DataError: If the shapes have no place in an image, or no shape means no label.
    """
    shapes = ref.shapes
    if ref.target == "label" and shapes.objects_min == 0:
        raise DataError(
            "data.shapes.objects_min is 0, but one label per image needs a shape in each: set it "
            "to 1."
        )
    names = tuple(KINDS)[: shapes.classes]
    samples = tuple(
        RawSample(partial(image_of, shapes, index), _target(ref, index), f"{index:05d}")
        for index in range(shapes.images)
    )
    return RawData(
        where="data=shapes",
        class_names=(BACKGROUND, *names) if ref.target == "mask" else names,
        parts={"all": samples},
    )


def _target(ref: DataRef, index: int) -> Target:
    if ref.target == "mask":
        return Mask(partial(mask_of, ref.shapes, index))
    drawn = scene(ref.shapes, index)
    if ref.target == "labels":
        return Labels(tuple(sorted({item.label for item in drawn})))
    if ref.target == "label":
        return max(drawn, key=lambda item: item.radius).label
    owners = _owners(drawn, ref.shapes.side)
    found = [_found(item, place, owners) for place, item in enumerate(drawn)]
    return gathered(found, has_outlines=ref.target == "outlines")


def _found(item: Drawn, place: int, owners: NDArray[np.int64]) -> Found:
    """Return the visible part of a shape; where part of it is hidden, its pixels."""
    name = f"shape {place}"
    own = coverage(item.corners, len(owners)) >= 0.5
    visible = owners == place
    if np.array_equal(own, visible):
        outline = (tuple(item.corners.ravel().tolist()),)
        return Found(polygon_box(outline), item.label, name, segment=outline)
    rows, columns = np.nonzero(visible)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return Found(tuple(map(float, box)), item.label, name, segment=run_lengths(visible))


@lru_cache(KEPT)
def scene(shapes: Shapes, index: int) -> tuple[Drawn, ...]:
    """Return the shapes of an image, later ones over earlier ones.

    Raises:
        DataError: If they have no place in it.
    """
    rng = np.random.default_rng([shapes.seed, index])
    for _ in range(RESTARTS):
        n = int(rng.integers(shapes.objects_min, shapes.objects_max + 1))
        drawn: list[Drawn] = []
        while len(drawn) < n:
            placed = next(
                (
                    item
                    for item in (_drawn(shapes, rng) for _ in range(TRIES))
                    if _fits([*drawn, item], shapes)
                ),
                None,
            )
            if placed is None:
                break
            drawn.append(placed)
        if len(drawn) == n:
            return tuple(drawn)
    raise DataError(
        f"data.shapes: no place for {count_of(shapes.objects_max, 'shape')} of up to "
        f"{shapes.share_max:g} of the side in one image. Lower data.shapes.objects_max or "
        "share_max, or set overlap=true."
    )


def _drawn(shapes: Shapes, rng: np.random.Generator) -> Drawn:
    chances = shapes.imbalance ** -np.linspace(0, 1, shapes.classes)
    label = int(rng.choice(shapes.classes, p=chances / chances.sum()))
    radius = shapes.side * float(rng.uniform(shapes.share_min, shapes.share_max)) / 2
    center = rng.uniform(radius, shapes.side - radius, 2)
    angle = rng.uniform(0, 2 * math.pi)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    corners = KINDS[tuple(KINDS)[label]]() @ turn * radius + center
    return Drawn(label, corners, rng.uniform(140, 255, 3), center, radius)


def _fits(drawn: Sequence[Drawn], shapes: Shapes) -> bool:
    """Return whether the last shape may be added to the others."""
    *others, new = drawn
    distances = [
        float(np.linalg.norm(new.center - item.center)) - new.radius - item.radius
        for item in others
    ]
    if all(distance > 1 for distance in distances):
        return True
    if not shapes.overlap:
        return False
    visible = Counter(_owners(drawn, shapes.side).ravel().tolist())
    return all(
        visible[place] >= VISIBLE * np.sum(coverage(item.corners, shapes.side) >= 0.5)
        for place, item in enumerate(drawn)
    )


def _owners(drawn: Sequence[Drawn], side: int) -> NDArray[np.int64]:
    """Return which shape each pixel shows ``(side, side)``, -1 for the ground."""
    owners = np.full((side, side), -1)
    for place, item in enumerate(drawn):
        owners[coverage(item.corners, side) >= 0.5] = place
    return owners


def mask_of(shapes: Shapes, index: int) -> Indices:
    """Return the class of each pixel ``(side, side)``; 0 is the ground."""
    drawn = scene(shapes, index)
    classes = np.array([0, *(item.label + 1 for item in drawn)], np.uint8)
    found: Indices = classes[_owners(drawn, shapes.side) + 1]
    return found


def image_of(shapes: Shapes, index: int) -> Image.Image:
    """Return the drawn image."""
    side = shapes.side
    rng = np.random.default_rng([shapes.seed, index, 1])
    coarse = Image.fromarray(rng.normal(0, 20, (side // 8 + 2,) * 2).astype(np.float32))
    texture = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    canvas = rng.uniform(40, 100, 3) + texture[..., None]
    for item in scene(shapes, index):
        alpha = coverage(item.corners, side)[..., None]
        canvas = canvas * (1 - alpha) + item.color * alpha
    canvas += rng.normal(0, 5, canvas.shape)
    return Image.fromarray(canvas.round().clip(0, 255).astype(np.uint8))


def coverage(corners: Points, side: int) -> Points:
    """Return the share of each pixel ``(side, side)`` inside a polygon ``(V, 2)``.

    Scan lines are cut by the edges; what lies between two cuts is inside (even-odd rule).
    """
    covered = np.zeros((side, side))
    top = max(0, math.floor(corners[:, 1].min()))
    bottom = min(side, math.ceil(corners[:, 1].max()))
    if bottom <= top:
        return covered
    lines = top + (np.arange((bottom - top) * ROWS)[:, None] + 0.5) / ROWS
    (x0, y0), (x1, y1) = corners.T, np.roll(corners, -1, axis=0).T
    crossed = (y0 <= lines) != (y1 <= lines)
    slope = (x1 - x0) / np.where(y1 == y0, 1, y1 - y0)
    cuts = np.sort(np.where(crossed, x0 + (lines - y0) * slope, np.inf), axis=1)
    cuts = cuts[:, : int(crossed.sum(axis=1).max(initial=0))]
    # What of each pixel lies left of a cut, with the sign of entering or leaving.
    left_of = np.clip(cuts[:, :, None] - np.arange(side), 0, 1)
    left_of[~np.isfinite(cuts)] = 0
    signs = np.where(np.arange(cuts.shape[1]) % 2, 1.0, -1.0)
    inside = np.einsum("lcx,c->lx", left_of, signs)
    covered[top:bottom] = inside.reshape(-1, ROWS, side).mean(axis=1)
    return covered


def run_lengths(mask: NDArray[np.bool_]) -> Segment:
    """Return a mask ``(H, W)`` as an uncompressed COCO run-length encoding.

    Columns after one another, runs of zeros and ones by turns, zeros first.
    """
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1]).tolist()
    ends = [0, *changes] if not changes or changes[-1] == mask.size else [0, *changes, mask.size]
    counts = [stop - start for start, stop in pairwise(ends)]
    return {"size": list(mask.shape), "counts": counts or [mask.size]}
