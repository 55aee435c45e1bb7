"""Metrics of label sets as functions of how often each image counts; numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.errors import unknown

Floats = NDArray[np.float64]
Metric = Callable[[NDArray[np.number]], Floats]

# A class is named where its probability is over this.
THRESHOLD = 0.5
# Numbers held at once, about 32 MB.
CHUNK = 4_000_000


def label_set_metric(
    metric: str, probabilities: NDArray[np.floating], labels: NDArray[np.number]
) -> Metric:
    """Return a metric as a function from weights ``(R, N)`` to values ``(R,)``.

    With whole weights it is the metric of as many copies of each image.

    Args:
        metric: ``map``, ``macro_f1`` or ``micro_f1``.
        probabilities: ``(N, classes)``.
        labels: 1 where an image shows a class, else 0, ``(N, classes)``.

    Raises:
        ConfigError: If the metric has another name.
    """
    shown = np.asarray(labels) > 0
    if metric == "map":
        return _mean_average_precision(np.asarray(probabilities), shown)
    if metric in ("macro_f1", "micro_f1"):
        return _f1(np.asarray(probabilities) > THRESHOLD, shown, is_macro=metric == "macro_f1")
    raise unknown("metric", metric, ("map", "macro_f1", "micro_f1"))


@dataclass(frozen=True)
class _Ranking:
    """The images of one class, the most probable first.

    Attributes:
        order: Indices of the images.
        is_shown: Whether each shows the class, in that order.
        ends: Where, in that order, the last of equal probabilities stands.
    """

    order: NDArray[np.int64]
    is_shown: NDArray[np.bool_]
    ends: NDArray[np.int64]

    def average_precision(self, weights: Floats) -> Floats:
        """Return the sum of the precisions over the steps of the recall, ``(R,)``.

        NaN where all weights of images that show the class are 0.
        """
        sorted_weights = weights[:, self.order]
        taken = np.cumsum(sorted_weights, axis=1)[:, self.ends]
        hits = np.cumsum(sorted_weights * self.is_shown, axis=1)[:, self.ends]
        precisions = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
        gains = np.diff(hits, axis=1, prepend=0.0)
        total = hits[:, -1]
        blank = np.full_like(total, np.nan)
        summed = (precisions * gains).sum(axis=1)
        value: Floats = np.divide(summed, total, out=blank, where=total > 0)
        return value


def _mean_average_precision(
    probabilities: NDArray[np.floating], shown: NDArray[np.bool_]
) -> Metric:
    rankings = [_ranking(*column) for column in zip(probabilities.T, shown.T, strict=True)]
    rows = max(1, CHUNK // max(1, len(shown)))

    def value_of(weights: NDArray[np.number]) -> Floats:
        parts = [weights[i : i + rows].astype(float) for i in range(0, len(weights), rows)]
        return np.concatenate([_mean_known(part, rankings) for part in parts])

    return value_of


def _mean_known(weights: Floats, rankings: list[_Ranking]) -> Floats:
    """Return the mean over the classes that an image of a weight above 0 shows; NaN without."""
    values = np.stack([ranking.average_precision(weights) for ranking in rankings])
    n_known = np.isfinite(values).sum(axis=0)
    blank = np.full(len(weights), np.nan)
    mean: Floats = np.divide(np.nansum(values, axis=0), n_known, out=blank, where=n_known > 0)
    return mean


def _ranking(probabilities: NDArray[np.floating], is_shown: NDArray[np.bool_]) -> _Ranking:
    order = np.argsort(-probabilities, kind="stable")
    is_last = np.append(np.diff(probabilities[order]) != 0, True)
    return _Ranking(order, is_shown[order], np.flatnonzero(is_last))


def _f1(named: NDArray[np.bool_], shown: NDArray[np.bool_], *, is_macro: bool) -> Metric:
    """Return F1 of all decisions, or its mean over the classes: 0 for one never met."""
    both, either = (named & shown).astype(float), named.astype(float) + shown

    def value_of(weights: NDArray[np.number]) -> Floats:
        hits, met = weights.astype(float) @ both, weights.astype(float) @ either
        if not is_macro:
            hits, met = hits.sum(axis=1, keepdims=True), met.sum(axis=1, keepdims=True)
        scores = np.divide(2 * hits, met, out=np.zeros_like(hits), where=met > 0)
        mean: Floats = scores.mean(axis=1)
        return mean

    return value_of
