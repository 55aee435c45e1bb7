"""Metrics of one label per image from counts by class; numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[NDArray[np.number], NDArray[np.number], NDArray[np.number]], Floats]


def accuracy(
    hits: NDArray[np.number], labels: NDArray[np.number], predicted: NDArray[np.number]
) -> Floats:
    """Return the share of right predictions."""
    return np.asarray(hits.sum(axis=-1) / labels.sum(axis=-1), dtype=float)


def balanced_accuracy(
    hits: NDArray[np.number], labels: NDArray[np.number], predicted: NDArray[np.number]
) -> Floats:
    """Return the mean recall of the classes that occur among the labels."""
    recalls = hits / np.where(labels > 0, labels, 1)
    return np.asarray(recalls.sum(axis=-1) / (labels > 0).sum(axis=-1), dtype=float)


def macro_f1(
    hits: NDArray[np.number], labels: NDArray[np.number], predicted: NDArray[np.number]
) -> Floats:
    """Return the mean F1 of the classes that occur among the labels or the predictions."""
    total = labels + predicted
    scores = 2 * hits / np.where(total > 0, total, 1)
    return np.asarray(scores.sum(axis=-1) / (total > 0).sum(axis=-1), dtype=float)


# Each takes, per class on the last axis: right predictions, labels, predictions. They are the
# diagonal, row sums and column sums of the confusion matrix, whose other cells no metric needs.
METRICS: Mapping[str, Score] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}


def resampled_labels(
    metric: str, probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> Callable[[NDArray[Any]], Floats]:
    """Return a metric as a function from weights ``(R, N)`` to values ``(R,)``.

    Args:
        metric: Key of ``METRICS``.
        probabilities: ``(N, classes)``.
        labels: True classes, ``(N,)``.
    """
    classes = np.eye(probabilities.shape[1])
    true, predicted = classes[labels], classes[probabilities.argmax(axis=1)]

    def value_of(weights: NDArray[Any]) -> Floats:
        counts = np.asarray(weights, np.float64)
        return METRICS[metric](counts @ (true * predicted), counts @ true, counts @ predicted)

    return value_of
