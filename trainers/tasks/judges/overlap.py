"""Metrics of confusion matrices over pixels; numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Right pixels, true ones and predicted ones of each class, on the last axis.
Metric = Callable[[Floats, Floats, Floats], Floats]


def miou(hits: Floats, true: Floats, predicted: Floats) -> Floats:
    """Return the mean intersection over union of the classes that are true or predicted."""
    return _mean(hits, true + predicted - hits)


def dice(hits: Floats, true: Floats, predicted: Floats) -> Floats:
    """Return the mean of ``2 hits / (true + predicted)`` over the same classes."""
    return _mean(2 * hits, true + predicted)


def pixel_accuracy(hits: Floats, true: Floats, predicted: Floats) -> Floats:
    """Return the share of right pixels; NaN without any that counts."""
    with np.errstate(invalid="ignore"):
        return np.asarray(hits.sum(axis=-1) / true.sum(axis=-1))


def class_accuracy(hits: Floats, true: Floats, predicted: Floats) -> Floats:
    """Return the mean share of right pixels of the classes that are true."""
    return _mean(hits, true)


METRICS: Mapping[str, Metric] = {
    "miou": miou,
    "dice": dice,
    "pixel_accuracy": pixel_accuracy,
    "class_accuracy": class_accuracy,
}


def margins(confusion: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Return right, true and predicted pixels per class of matrices ``(..., C, C)``.

    Rows are true classes, columns predicted ones.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    return hits, confusion.sum(axis=-1, dtype=np.float64), confusion.sum(axis=-2, dtype=np.float64)


def class_iou(confusion: NDArray[Any]) -> Floats:
    """Return the intersection over union of each class; NaN where it does not occur."""
    hits, true, predicted = margins(confusion)
    with np.errstate(invalid="ignore"):
        return np.asarray(hits / (true + predicted - hits))


def resampled_metric(
    metric: str, confusions: NDArray[Any]
) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """Return a metric of images' matrices ``(N, C, C)`` by how often each image counts."""
    parts = margins(confusions)

    def value_of(weights: NDArray[Any]) -> NDArray[np.float64]:
        counts = np.asarray(weights, np.float64)
        hits, true, predicted = (counts @ part for part in parts)
        return METRICS[metric](hits, true, predicted)

    return value_of


def _mean(shares: Floats, wholes: Floats) -> Floats:
    """Return the mean of ``shares / wholes`` over the classes with a whole; NaN without one."""
    occurs = wholes > 0
    ratios = shares / np.where(occurs, wholes, 1)
    with np.errstate(invalid="ignore"):
        return np.asarray((ratios * occurs).sum(axis=-1) / occurs.sum(axis=-1))
