"""From a mask in the pixels of a network to a run-length encoding in those of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def pasted(
    mask: Floats,
    box: Floats,
    *,
    size: tuple[int, int],
    scale: tuple[float, float],
    side: int,
    corner: tuple[int, int] = (0, 0),
) -> dict[str, Any]:
    """Return the pixels of a box whose mask is at least 0.5, as a compressed COCO encoding.

    The mask is read between its pixels linearly, and only inside the box, so that it takes what
    the box takes and not what the image does.

    Args:
        mask: From 0 to 1, over the whole input, ``(h, w)``.
        box: x1, y1, x2, y2 in pixels of the part of the image that the input shows.
        size: Width and height of the image.
        scale: Pixels of the input per pixel of the image, along x and y.
        side: Side of the square input in pixels.
        corner: Where that part begins in the image.
    """
    # Pixels whose center lies in the box.
    left, top, right, bottom = (int(value) for value in np.ceil(box - 0.5))
    height, width = mask.shape
    columns, rows = np.arange(left, right), np.arange(top, bottom)
    down = _between(mask, (rows + 0.5) * scale[1] * height / side - 0.5)
    part = _between(down.T, (columns + 0.5) * scale[0] * width / side - 0.5) >= 0.5
    return encoded(part, left=left + corner[0], top=top + corner[1], size=size)


def encoded(
    part: NDArray[np.bool_], *, left: int, top: int, size: tuple[int, int]
) -> dict[str, Any]:
    """Return a part of an image as a compressed COCO run-length encoding of the whole.

    Args:
        part: What is set, by column and row, ``(w, h)``.
        left: Where its first column lies.
        top: Where its first row lies.
        size: Width and height of the image.
    """
    from faster_coco_eval.core import mask as coco

    width, height = size
    edges = np.diff(part.astype(np.int8), axis=1, prepend=0, append=0)
    starts, ends = (
        (left + columns) * height + top + rows
        for columns, rows in (np.nonzero(edges == 1), np.nonzero(edges == -1))
    )
    # A run to the end of its column goes on with the next one.
    is_joined = np.isin(starts, ends)
    starts, ends = starts[~is_joined], ends[~np.isin(ends, starts)]
    places = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [width * height]])
    counts = np.diff(places)
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    runs = {"size": [height, width], "counts": counts.tolist()}
    return dict(coco.frPyObjects(runs, height, width))


def _between(values: Floats, places: NDArray[np.float64]) -> Floats:
    """Return rows ``(n, w)`` of values ``(h, w)`` at fractional places, the last beyond it."""
    places = places.clip(0, len(values) - 1)
    lower = np.floor(places).astype(np.int64)
    upper = np.minimum(lower + 1, len(values) - 1)
    share = (places - lower)[:, None].astype(np.float32)
    return values[lower] * (1 - share) + values[upper] * share
