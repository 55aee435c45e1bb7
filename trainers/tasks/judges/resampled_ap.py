"""COCO's average precision over images of any weights, for intervals.

What matches does not depend on the weights, so it is found once, image by image; then a
resample of the images is a few sums. With equal weights it is what ``average_precision`` gives,
and with whole ones what that gives for as many copies of each image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.tasks.judges.average_precision import (
    AT_50,
    AT_75,
    RECALLS,
    THRESHOLDS,
    most_counted,
    unpacked,
    xywh,
)
from archfront.trainers.tasks.protocol import SavedPredictions

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Numbers held at once while resampling, about 32 MB.
CHUNK = 4_000_000
AT = {
    "map": slice(None),
    "map50": slice(AT_50, AT_50 + 1),
    "map75": slice(AT_75, AT_75 + 1),
    "box_map50": slice(AT_50, AT_50 + 1),
}


@dataclass(frozen=True)
class _Class:
    """Matched detections of a class, the best score first.

    Attributes:
        images: Image of each detection, ``(D,)``.
        is_right: By threshold, ``(T, D)``.
        is_counted: Not so is what lies in a crowd, ``(T, D)``.
        n_true: Objects of each image, ``(n,)``.
    """

    images: NDArray[np.int64]
    is_right: Bools
    is_counted: Bools
    n_true: NDArray[np.int64]


def resampled_ap(metric: str, saved: SavedPredictions) -> Callable[[NDArray[Any]], Floats]:
    """Return a metric as a function of how often each image counts.

    Args:
        metric: Key of ``AT``.
        saved: What an evaluator saved.

    Returns:
        From weights ``(R, n_images)`` to values ``(R,)``: NaN where all objects have weight 0,
        but 0 where the split has none at all, as the metric then is.
    """
    arrays = {name: saved[name] for name in saved}
    is_by_masks = "true_masks" in arrays and metric != "box_map50"
    thresholds = THRESHOLDS[AT[metric]]
    shapes = {
        side: unpacked(arrays, side) if is_by_masks else xywh(arrays[f"{side}_boxes"]).tolist()
        for side in ("found", "true")
    }
    labels = np.unique(arrays["true_labels"][~arrays["true_crowd"]]).tolist()
    classes = [_matched(arrays, label, thresholds, shapes) for label in labels]

    def value_of(weights: NDArray[Any]) -> Floats:
        if not classes:
            return np.zeros(len(weights))
        values = np.stack([_average_precision(found, weights) for found in classes])
        is_known = ~np.isnan(values)
        sums = np.where(is_known, values, 0.0).sum(axis=0)
        counts = is_known.sum(axis=0)
        means: Floats = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
        return means

    return value_of


def _matched(
    saved: SavedPredictions, label: int, thresholds: Floats, shapes: Mapping[str, Sequence[Any]]
) -> _Class:
    """Return the matched detections of a class.

    Args:
        saved: What an evaluator saved.
        label: The class.
        thresholds: IoU from which an object is found.
        shapes: Boxes or run-length encodings of the ``found`` and the ``true`` objects.
    """
    n_images = len(saved["images"])
    found = np.flatnonzero(saved["found_labels"] == label)
    found = found[np.argsort(-saved["found_scores"][found].astype(np.float64), kind="stable")]
    true = np.flatnonzero(saved["true_labels"] == label)
    right = np.zeros((len(thresholds), len(saved["found_labels"])), np.bool_)
    counted = np.ones_like(right)
    taken = []
    for mine, theirs in _by_image(saved, found, true, n_images):
        taken.append(mine)
        if len(mine) and len(theirs):
            crowd = saved["true_crowd"][theirs]
            pairs = [shapes["found"][i] for i in mine], [shapes["true"][i] for i in theirs]
            ious = _ious(*pairs, crowd)
            right[:, mine], counted[:, mine] = matches(ious, crowd, thresholds)
    order = np.concatenate(taken)
    order = order[np.argsort(-saved["found_scores"][order].astype(np.float64), kind="stable")]
    is_one = ~saved["true_crowd"][true]
    return _Class(
        images=saved["found_images"][order],
        is_right=right[:, order],
        is_counted=counted[:, order],
        n_true=np.bincount(saved["true_images"][true][is_one], minlength=n_images),
    )


def _by_image(
    saved: SavedPredictions, found: NDArray[np.int64], true: NDArray[np.int64], n_images: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the detections of each image, the best of them, and its objects."""
    parts, most = [], most_counted(saved)
    for side, chosen in (("found", found), ("true", true)):
        images = saved[f"{side}_images"][chosen]
        order = chosen[np.argsort(images, kind="stable")]
        ends = np.bincount(images, minlength=n_images).cumsum()[:-1]
        parts.append(np.split(order, ends))
    for mine, theirs in zip(*parts, strict=True):
        yield mine[:most], theirs


def _ious(found: list[Any], true: list[Any], crowd: Bools) -> Floats:
    """Return the IoU of shapes with others, ``(D, G)``; with a crowd the share inside of it."""
    from faster_coco_eval.core import mask as coco

    return np.asarray(coco.iou(found, true, crowd.astype(int).tolist()), np.float64)


def matches(ious: Floats, crowd: Bools, thresholds: Floats) -> tuple[Bools, Bools]:
    """Return which detections of an image and class are right, and which count at all.

    Each in its turn takes the object with the highest IoU that is still there, the last of
    equals; as ``evaluateImg`` of pycocotools.

    Args:
        ious: Of detections, the best first, with objects, ``(D, G)``.
        crowd: Which objects are groups, ``(G,)``.
        thresholds: IoU from which an object is found, ``(T,)``.

    Returns:
        Two of ``(T, D)``.
    """
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]
    single, groups = ious[:, ~crowd], ious[:, crowd]
    right = np.zeros((len(thresholds), len(ious)), np.bool_)
    if single.shape[1]:
        is_free = np.ones((len(thresholds), single.shape[1]), np.bool_)
        for i, row in enumerate(single):
            if row.max() < least[0]:
                continue
            fitting = np.where(is_free & (row >= least), row, -1.0)
            best = single.shape[1] - 1 - fitting[:, ::-1].argmax(axis=1)
            right[:, i] = fitting.max(axis=1) >= 0
            is_free[right[:, i], best[right[:, i]]] = False
    in_group = (groups.T[:, None] >= least).any(axis=0)
    return right, right | ~in_group


def _average_precision(found: _Class, weights: NDArray[Any]) -> Floats:
    """Return the mean over the thresholds, ``(R,)``; NaN where no object has a weight."""
    rows = max(1, CHUNK // max(1, len(found.images)))
    parts = [
        _of_rows(found, weights[start : start + rows].astype(np.float64))
        for start in range(0, len(weights), rows)
    ]
    return np.concatenate(parts)


def _of_rows(found: _Class, weights: Floats) -> Floats:
    n_true = weights @ found.n_true
    each = weights[:, found.images]
    has_groups = not found.is_counted.all()
    seen = None if has_groups else each.cumsum(axis=1)
    total = np.zeros(len(weights))
    for is_right, is_counted in zip(found.is_right, found.is_counted, strict=True):
        counts = (each * is_counted).cumsum(axis=1) if seen is None else seen
        at = np.flatnonzero(is_right)
        if not len(at):
            continue
        hits = each[:, at].cumsum(axis=1)
        precision = hits / (counts[:, at] + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # How many of the recalls are reached: what each hit adds to them has its precision.
        recall = np.divide(hits, n_true[:, None], out=np.zeros_like(hits), where=hits > 0)
        reached = np.searchsorted(RECALLS, recall, side="right")
        added = np.diff(reached, axis=1, prepend=0)
        total += (best * added).sum(axis=1) / len(RECALLS)
    values = total / len(found.is_right)
    return np.where(n_true > 0, values, np.nan)
