"""Objects found in the tiles of an image, in its pixels, each once; numpy only.

Source: Akyon et al. 2022 (Slicing Aided Hyper Inference), section 3.2, which merges what overlaps
by the smaller area. Here two answers are compared where both tiles see: objects beside each other
that overlap elsewhere stay two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.tiles import Tile
from archfront.trainers.tasks.judges.paste import pasted

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]

# From this overlap on, in what two tiles both show, two answers are one object.
SAME = 0.5
# A box that ends this near to the border of its tile, as a share of its side, is cut by it.
EDGE = 0.01


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """Objects found in an image, in its pixels.

    Attributes:
        boxes: ``(K, 4)`` float32, x1, y1, x2, y2.
        scores: ``(K,)``.
        labels: ``(K,)`` int64.
        masks: Compressed COCO run-length encodings of the whole image; None of boxes alone.
    """

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]
    masks: tuple[dict[str, Any], ...] | None = None

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.labels)

    def only(self, kept: NDArray[np.int64]) -> FoundObjects:
        """Return some of the objects, by index."""
        masks = None if self.masks is None else tuple(self.masks[i] for i in kept)
        return FoundObjects(self.boxes[kept], self.scores[kept], self.labels[kept], masks)


def found_in_image(
    outputs: Iterable[Arrays], preprocess: Preprocess, size: tuple[int, int], least: float = 0.0
) -> FoundObjects:
    """Return the objects of an image from a network's outputs for each of its tiles.

    Args:
        outputs: ``detections (100, 6)`` and, of outlines, ``masks (100, h, w)`` of each tile, in
            the order of ``preprocess.tiles``; one where images are not cut.
        preprocess: How the image became the network's input.
        size: Width and height of the image.
        least: Least score that counts.
    """
    tiles = preprocess.tiles(*size)
    found = [
        found_in_tile(output, preprocess, tile, size, least)
        for output, tile in zip(outputs, tiles, strict=True)
    ]
    return merged(found, tiles)


def found_in_tile(
    outputs: Arrays, preprocess: Preprocess, tile: Tile, size: tuple[int, int], least: float = 0.0
) -> FoundObjects:
    """Return the objects of one tile in the pixels of the image; arguments as above."""
    rows = outputs["detections"]
    kept = np.flatnonzero((rows[:, 4] > 0) & (rows[:, 4] >= least))
    rows = rows[kept]
    scale = preprocess.scale(tile.width, tile.height)
    limits = np.array([tile.width, tile.height] * 2, np.float32)
    boxes = (rows[:, :4] / np.array([*scale, *scale], np.float32)).clip(0, limits)
    masks = None
    if "masks" in outputs:
        masks = tuple(
            pasted(
                outputs["masks"][i],
                box,
                size=size,
                scale=scale,
                side=preprocess.input_size,
                corner=(tile.left, tile.top),
            )
            for i, box in zip(kept, boxes, strict=True)
        )
    corner = np.array([tile.left, tile.top] * 2, np.float32)
    return FoundObjects(boxes + corner, rows[:, 4], rows[:, 5].astype(np.int64), masks)


def merged(found: Sequence[FoundObjects], tiles: Sequence[Tile]) -> FoundObjects:
    """Return the objects of all tiles, the best first, with one for each that several show.

    Two answers of one class from two tiles are one object where, within what both tiles show,
    their intersection over union is at least ``SAME``, or where a border cuts one of them and the
    intersection is at least that share of the smaller part. The best answer that no border cuts
    is kept; of those that all are cut, the box around them and the union of their masks. The
    score is the highest one.
    """
    if len(found) == 1:
        return found[0]
    everything = _joined(found)
    tile_of = np.repeat(np.arange(len(found)), [len(part) for part in found])
    cuts = [_cut(part, tile, tiles) for part, tile in zip(found, tiles, strict=True)]
    is_cut = np.concatenate([np.zeros(0, np.bool_), *cuts])
    groups = _groups(everything, tile_of, _pairs(everything, tile_of, is_cut, tiles))
    first = np.array([_shown(group, is_cut)[0] for group in groups], np.int64)
    kept = everything.only(first)
    boxes, scores, masks = kept.boxes.copy(), kept.scores.copy(), list(kept.masks or ())
    for place, group in enumerate(groups):
        if len(group) == 1:
            continue
        shown = _shown(group, is_cut)
        parts = everything.boxes[shown]
        boxes[place] = [*parts[:, :2].min(axis=0), *parts[:, 2:].max(axis=0)]
        scores[place] = everything.scores[group].max()
        if everything.masks is not None and len(shown) > 1:
            masks[place] = _union([everything.masks[i] for i in shown])
    order = np.argsort(-scores, kind="stable")
    whole = FoundObjects(
        boxes, scores, kept.labels, None if everything.masks is None else tuple(masks)
    )
    return whole.only(order)


def _joined(found: Sequence[FoundObjects]) -> FoundObjects:
    masks = [part.masks for part in found if part.masks is not None]
    return FoundObjects(
        np.concatenate([part.boxes for part in found]),
        np.concatenate([part.scores for part in found]),
        np.concatenate([part.labels for part in found]),
        tuple(mask for part in masks for mask in part) if masks else None,
    )


def _cut(found: FoundObjects, tile: Tile, tiles: Sequence[Tile]) -> NDArray[np.bool_]:
    """Return which boxes end at a border of their tile that is none of the image."""
    ends = np.array([other.box for other in tiles])
    image = np.array([*ends[:, :2].min(axis=0), *ends[:, 2:].max(axis=0)])
    is_inner = np.array(tile.box) != image
    near = EDGE * np.array([tile.width, tile.height] * 2)
    is_at = np.abs(found.boxes - np.array(tile.box)) <= near
    is_cut: NDArray[np.bool_] = (is_at & is_inner).any(axis=1)
    return is_cut


def _pairs(
    found: FoundObjects,
    tile_of: NDArray[np.int64],
    is_cut: NDArray[np.bool_],
    tiles: Sequence[Tile],
) -> dict[int, list[tuple[float, int]]]:
    """Return for each answer those of other tiles that are the same object, with the overlap."""
    pairs: dict[int, list[tuple[float, int]]] = {}
    of_tile = [np.flatnonzero(tile_of == number) for number in range(len(tiles))]
    for a, b, both in _overlaps(tiles):
        ours, theirs = (_within(found.boxes, of_tile[one], both) for one in (a, b))
        iou, ios = _overlap(ours[1], theirs[1])
        is_any_cut = is_cut[ours[0]][:, None] | is_cut[theirs[0]]
        is_same = (iou >= SAME) | (is_any_cut & (ios >= SAME))
        is_same &= found.labels[ours[0]][:, None] == found.labels[theirs[0]]
        for row, column in zip(*np.nonzero(is_same), strict=True):
            i, j = int(ours[0][row]), int(theirs[0][column])
            overlap = float(iou[row, column])
            pairs.setdefault(i, []).append((overlap, j))
            pairs.setdefault(j, []).append((overlap, i))
    return pairs


def _overlaps(tiles: Sequence[Tile]) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Yield two tiles and the box that both of them show."""
    for (a, one), (b, other) in combinations(enumerate(tiles), 2):
        low = np.maximum(one.box[:2], other.box[:2])
        high = np.minimum(one.box[2:], other.box[2:])
        if (high > low).all():
            yield a, b, np.array([*low, *high], np.float64)


def _within(
    boxes: Floats, among: NDArray[np.int64], both: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which boxes reach into a part of the image, and what of them lies there."""
    inside = np.concatenate(
        [np.maximum(boxes[among, :2], both[:2]), np.minimum(boxes[among, 2:], both[2:])], axis=1
    )
    is_there = (inside[:, 2:] > inside[:, :2]).all(axis=1)
    return among[is_there], inside[is_there]


def _overlap(
    ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the intersections of boxes over their union, and over the smaller of both."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    common = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (ours, theirs)]
    total = areas[0][:, None] + areas[1][None, :]
    return common / (total - common), common / np.minimum(areas[0][:, None], areas[1][None, :])


def _groups(
    found: FoundObjects,
    tile_of: NDArray[np.int64],
    pairs: Mapping[int, Sequence[tuple[float, int]]],
) -> list[list[int]]:
    """Return the answers of each object, the best first; a tile gives one of them at most."""
    of: dict[int, list[int]] = {}
    for i in np.argsort(-found.scores, kind="stable").tolist():
        of[i] = group = [i]
        for _, j in sorted(pairs.get(i, ()), key=lambda pair: (-pair[0], pair[1])):
            other = of.get(j)
            if other is None or other is group or {*tile_of[other]} & {*tile_of[group]}:
                continue
            group = sorted([*other, *group], key=lambda k: (-found.scores[k], k))
            of.update(dict.fromkeys(group, group))
    return list({id(group): group for group in of.values()}.values())


def _shown(group: Sequence[int], is_cut: NDArray[np.bool_]) -> list[int]:
    """Return the best answer that no border cuts, or all of them."""
    complete = [i for i in group if not is_cut[i]]
    return complete[:1] or list(group)


def _union(rles: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from faster_coco_eval.core import mask as coco

    return dict(coco.merge([dict(rle) for rle in rles]))
