"""The tiles of a dataset's images as samples: views of its images, no copies of files."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from archfront.trainers.data.images import ImageSource
from archfront.trainers.data.objects import LEAST_VISIBLE, cut_segment, segment_box
from archfront.trainers.data.targets import Indices, Mask, Objects, Target
from archfront.trainers.data.tiles import Tile, Tiling
from archfront.trainers.data.verify import Sample

# Share of the tiles to learn from that show no object: some, since what they show must not be
# taken for one, and not most, as they are in photos from above.
EMPTY_SHARE = 0.25
# Decoded images, or masks, that are kept for their other tiles, in bytes.
RECENT_BYTES = 256e6

Array = TypeVar("Array", bound=NDArray[np.uint8])


class Recent(Generic[Array]):
    """The images that were decoded last, so that one decoding serves the tiles of an image.

    Args:
        limit_bytes: What they may take, beside the one that is being used.
    """

    def __init__(self, limit_bytes: float = RECENT_BYTES) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[int, Future[Array]] = OrderedDict()

    def get(self, number: int, read: Callable[[], Array]) -> Array:
        """Return an image by its number, read by this thread unless it is held or being read."""
        with self._lock:
            future = self._held.get(number)
            is_new = future is None
            if future is None:
                future = self._held[number] = Future()
            self._held.move_to_end(number)
        if is_new:
            try:
                future.set_result(read())
            except BaseException as error:
                future.set_exception(error)
            self._forget(number)
        return future.result()

    def _forget(self, newest: int) -> None:
        """Drop what was used longest ago, and what could not be read."""
        with self._lock:
            done = {n: f for n, f in self._held.items() if f.done()}
            for number in [n for n, f in done.items() if f.exception() is not None]:
                del self._held[number], done[number]
            n_bytes = sum(future.result().nbytes for future in done.values())
            for number in [n for n in done if n != newest]:
                if n_bytes <= self._limit:
                    return
                n_bytes -= self._held.pop(number).result().nbytes


@dataclass(frozen=True, eq=False)
class _Recents:
    """What the tiles of a split share.

    Attributes:
        images: Decoded images by the place of their sample.
        masks: Masks, the same.
    """

    images: Recent[NDArray[np.uint8]]
    masks: Recent[Indices]


def tile_samples(samples: Sequence[Sample], tiling: Tiling) -> tuple[Sample, ...]:
    """Return all tiles of all images, in order, with an image's own target each.

    They are what a network predicts on; what it finds is compared with the whole images.
    """
    recents = _Recents(Recent(), Recent())
    return tuple(
        _tile_sample(sample, number, tile, sample.target, recents)
        for number, sample in enumerate(samples)
        for tile in tiling.tiles(sample.width, sample.height)
    )


def tiles_to_learn(samples: Sequence[Sample], tiling: Tiling) -> tuple[Sample, ...]:
    """Return the tiles that a network learns from, with what their targets show of them.

    An object of which less than ``LEAST_VISIBLE`` lies in a tile is not learned there. A tile
    with nothing but such rests and crowds is left out, and so are most that show nothing: they
    are up to ``EMPTY_SHARE`` of all, evenly spread over the images. Of masks, all are kept.
    """
    recents = _Recents(Recent(), Recent())
    kept, empty = [], []
    for number, sample in enumerate(samples):
        for tile, target in _cut_targets(sample, number, tiling, recents):
            made = _tile_sample(sample, number, tile, target, recents)
            place = (number, tile.top, tile.left)
            if not isinstance(target, Objects) or len(target):
                kept.append((place, made))
            elif not _touched(sample.target, tile):
                empty.append((place, made))
    allowed = max(1, math.floor(len(kept) * EMPTY_SHARE / (1 - EMPTY_SHARE)))
    if len(empty) > allowed:
        places = np.linspace(0, len(empty) - 1, allowed).round().astype(int)
        empty = [empty[place] for place in places]
    return tuple(made for _, made in sorted((*kept, *empty), key=lambda pair: pair[0]))


def _tile_sample(
    sample: Sample, number: int, tile: Tile, target: Target, recents: _Recents
) -> Sample:
    """Return a tile as an image: a view of pixels in memory, else cut when it is read."""
    source: ImageSource
    if isinstance(sample.source, np.ndarray):
        source = sample.source[tile.rows, tile.columns]
    else:
        source = partial(_cut_image, sample, number, tile, recents)
    return replace(
        sample,
        source=source,
        target=target,
        name=f"{sample.name} at {tile.left}, {tile.top}",
        width=tile.width,
        height=tile.height,
    )


def _cut_image(sample: Sample, number: int, tile: Tile, recents: _Recents) -> Image.Image:
    pixels = recents.images.get(number, sample.pixels)[tile.rows, tile.columns]
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if sample.is_grey else pixels))


def _cut_targets(
    sample: Sample, number: int, tiling: Tiling, recents: _Recents
) -> list[tuple[Tile, Target]]:
    """Return the tiles of an image, with their parts of its target."""
    tiles = tiling.tiles(sample.width, sample.height)
    match sample.target:
        case Mask():
            return [
                (tile, Mask(partial(_cut_mask, sample.target, number, tile, recents)))
                for tile in tiles
            ]
        case Objects():
            parts = cut_objects(sample.target, tiles, (sample.width, sample.height))
            return list(zip(tiles, parts, strict=True))
    raise TypeError("labels of whole images are not labels of their tiles")


def _cut_mask(mask: Mask, number: int, tile: Tile, recents: _Recents) -> Indices:
    return recents.masks.get(number, mask.indices)[tile.rows, tile.columns]


def cut_objects(
    objects: Objects, tiles: Sequence[Tile], size: tuple[int, int]
) -> tuple[Objects, ...]:
    """Return the objects of each tile, in its pixels, without crowds and small rests.

    Args:
        objects: Those of an image.
        tiles: Tiles of the image.
        size: Width and height of the image.
    """
    learned = objects.only(np.flatnonzero(~objects.crowd))
    boxes = learned.boxes.astype(np.float64)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    found = []
    for tile in tiles:
        inside = np.concatenate(
            [
                np.maximum(boxes[:, :2], [tile.left, tile.top]),
                np.minimum(boxes[:, 2:], [tile.left + tile.width, tile.top + tile.height]),
            ],
            axis=1,
        )
        seen = (inside[:, 2:] - inside[:, :2]).clip(0).prod(axis=1)
        kept = np.flatnonzero((seen > 0) & (seen >= LEAST_VISIBLE * areas))
        found.append(_moved(learned.only(kept), inside[kept], tile, size))
    return tuple(found)


def _moved(
    objects: Objects, inside: NDArray[np.float64], tile: Tile, size: tuple[int, int]
) -> Objects:
    """Return objects in the pixels of a tile, with the boxes of what lies inside of it."""
    corner = np.array([tile.left, tile.top] * 2)
    moved = replace(objects, boxes=(inside - corner).astype(np.float32))
    if objects.segments is None:
        return moved
    is_cut = (objects.boxes != inside.astype(np.float32)).any(axis=1)
    boxes, segments, kept = [], [], []
    for i, (segment, box) in enumerate(zip(objects.segments, moved.boxes, strict=True)):
        part = cut_segment(segment, tile.box, size)
        around = segment_box(part, tile.width, tile.height) if is_cut[i] else box
        if around is None:  # its box reaches into the tile, and its outline does not
            continue
        kept.append(i)
        segments.append(part)
        low, high = np.maximum(box[:2], around[:2]), np.minimum(box[2:], around[2:])
        boxes.append([*low, *high])
    shaped = np.array(boxes, np.float32).reshape(-1, 4)
    return replace(moved.only(kept), boxes=shaped, segments=tuple(segments))


def _touched(target: Target, tile: Tile) -> bool:
    """Return whether a tile shows something of an object or of a crowd."""
    assert isinstance(target, Objects)
    x1, y1, x2, y2 = tile.box
    boxes = target.boxes
    across = (boxes[:, 0] < x2) & (boxes[:, 2] > x1)
    down = (boxes[:, 1] < y2) & (boxes[:, 3] > y1)
    return bool((across & down).any())
