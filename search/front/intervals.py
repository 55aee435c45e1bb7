"""The uncertainty of a metric: seeded bootstrap intervals and paired ties of saved predictions.

Resampling is done on counts, not on samples: samples with the same label and prediction are one
cell, and a resample is one multinomial draw over the cells. A percentile bootstrap is too narrow
when only a few samples are wrong (of none, it has no width at all), so below ``FEW`` of them
a score interval, or for a pair the exact sign test, takes its place.

Resamples lose rare classes, and what a mean over classes gives without them is biased: often so
far that the percentiles do not hold the metric itself. So the percentiles are moved until the
resamples' median is the metric. Resamples within each class have no such bias, but a class of
which there are two images has no spread in them: they hold the truth less often.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archfront.search.errors import unknown
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.trainers.sums import is_readable, loaded_arrays
from archfront.trainers.tasks.judges.label_counts import METRICS, Score
from archfront.trainers.tasks.protocol import Task

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

# The usual bound for trusting resampled or normal proportions: ten of each kind.
FEW = 10
# Below it values of resamples are one and the same.
ROUNDING = 1e-9
# Numbers held at once while resampling, about 32 MB.
CHUNK = 4_000_000


def score(metric: str, labels: ArrayLike, predicted: ArrayLike) -> float:
    """Return a metric of class predictions."""
    cells, counts = _cells(labels, predicted)
    return float(_score(metric)(*_margins(counts[None], cells[:, 0], cells[:, 1]))[0])


def chance_level(metric: str, class_counts: ArrayLike) -> float:
    """Return the best value of a metric that one constant answer reaches.

    Args:
        metric: Key of ``METRICS``.
        class_counts: Samples per class, ``(n_classes,)``.
    """
    counts = np.asarray(class_counts)
    answers = np.eye(len(counts), dtype=np.int64)
    labels = np.broadcast_to(counts, answers.shape)
    return float(_score(metric)(answers * counts, labels, answers * counts.sum()).max())


def bootstrap_interval(
    metric: str,
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    rng: np.random.Generator,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the centered percentile bootstrap interval of a metric; it holds the metric.

    With fewer than ``FEW`` right or wrong predictions it is Wilson's score interval around the
    metric instead, over as many samples as give a mean of recalls the same variance,
    ``n_classes^2 / sum(1 / n_samples_of_class)``; for accuracy over all samples. Source:
    Brown, Cai, DasGupta 2001, Interval Estimation for a Binomial Proportion.

    Args:
        metric: Key of ``METRICS``.
        labels: True classes, ``(n_samples,)``.
        predicted: Predicted classes, ``(n_samples,)``.
        rng: Source of the resamples.
        n_resamples: Number of resamples.
        level: Share of resamples inside the interval.
    """
    cells, counts = _cells(labels, predicted)
    is_right = cells[:, 0] == cells[:, 1]
    value, n = score(metric, labels, predicted), _effective(metric, labels)
    if min(counts[is_right].sum(), counts[~is_right].sum()) < FEW:
        return wilson(value, n, level)
    values = np.concatenate(
        [
            _score(metric)(*_margins(draw, cells[:, 0], cells[:, 1]))
            for draw in _resamples(counts, n_resamples, rng)
        ]
    )
    return centered(values, value, n, level)


def is_tie(
    metric: str,
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    rng: np.random.Generator,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> bool:
    """Return whether two predictions of the same samples are a statistical tie.

    Open means that the paired bootstrap interval of the difference contains zero. When fewer than
    ``FEW`` samples are right in exactly one of the two, it means that the exact sign test over
    them (McNemar's) does not reject at ``1 - level``.
    """
    cells, counts = _cells(labels, first, second)
    is_right = cells[:, 1:] == cells[:, :1]
    wins = int(counts[is_right[:, 0] & ~is_right[:, 1]].sum())
    losses = int(counts[~is_right[:, 0] & is_right[:, 1]].sum())
    if wins + losses < FEW:
        return _sign_test(wins, losses) > 1 - level
    measure = _score(metric)
    difference = np.concatenate(
        [
            measure(*_margins(draw, cells[:, 0], cells[:, 1]))
            - measure(*_margins(draw, cells[:, 0], cells[:, 2]))
            for draw in _resamples(counts, n_resamples, rng)
        ]
    )
    return _holds_zero(difference, level)


def kept_interval(
    task: Task,
    metric: str,
    predictions: Path,
    *,
    value: float,
    rng: np.random.Generator,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the interval of a metric from the saved predictions of a split; it holds the metric.

    Where an image has more than one label, whole images are resampled: what one image shows is
    not independent. Where all resamples are alike, as of one image or of perfect answers, it is
    Wilson's score interval over the images. Other args as of ``bootstrap_interval``.

    Args:
        task: Of the predictions.
        metric: One of its metrics.
        predictions: The npz file.
        value: The metric, as the evaluator gave it.
        rng: Source of the resamples.
        n_resamples: Number of resamples.
        level: Share of resamples inside the interval.
    """
    if _is_counted(task, metric):
        labels, predicted = load_predictions(predictions)
        ends = bootstrap_interval(
            metric, labels, predicted, rng=rng, n_resamples=n_resamples, level=level
        )
    else:
        value_of, n_images = resampled(task, metric, predictions)
        values = value_of(image_weights(n_images, n_resamples, rng))
        ends = centered(values, value, n_images, level)
    return widened(ends, value)


def widened(ends: tuple[float, float], value: float) -> tuple[float, float]:
    """Return an interval that holds a value, which rounding may have left outside of it."""
    return min(ends[0], value), max(ends[1], value)


def _is_counted(task: Task, metric: str) -> bool:
    """Return whether a metric follows from how many images have each label and prediction."""
    return task.target == "label" and metric in METRICS


def resampled(
    task: Task, metric: str, predictions: Path
) -> tuple[Callable[[Counts], Floats], int]:
    """Return the metric of saved predictions by how often each image counts, and their number."""
    with loaded_arrays(predictions) as saved:
        n_images = len(saved["images"] if "images" in saved else saved["labels"])
        return task.resampled(metric, saved), n_images


def image_weights(n_images: int, n_resamples: int, rng: np.random.Generator) -> Counts:
    """Return how often each resample takes each image, ``(n_resamples, n_images)``."""
    return rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=n_resamples)


def load_predictions(path: Path) -> tuple[Counts, Counts]:
    """Return labels and predicted classes, ``(n_samples,)`` each, of a kept npz file."""
    with loaded_arrays(path) as kept:
        return kept["labels"], kept["probabilities"].argmax(axis=1)


def tie_test(
    folder: Path,
    task: Task,
    metric: str,
    *,
    seed: int,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> Callable[[Evaluation, Evaluation], bool]:
    """Return the test that ``build_front`` takes, over the predictions kept in a study's folder.

    Every pair is resampled from the seed and its two trials, so that the answer depends neither on
    the order nor on the other members. Where an image has more than one label, both are judged on
    the same resampled images. No tie is known of damaged predictions.

    Args:
        folder: Study folder, which the recorded paths are relative to.
        task: Of the study.
        metric: One of its metrics.
        seed: Seed of the study.
        n_resamples: Resamples per pair.
        level: Level of the interval of the difference.
    """
    # By the names as they are recorded: paths of them take as long to be made as most tests.
    load = lru_cache(maxsize=64)(lambda name: load_predictions(folder / name))
    value_of = lru_cache(maxsize=64)(lambda name: resampled(task, metric, folder / name))
    is_usable = lru_cache(maxsize=64)(lambda name: is_readable(folder / name))

    def test(first: Evaluation, second: Evaluation) -> bool:
        low, high = (first, second) if first.trial <= second.trial else (second, first)
        names = _predictions(low), _predictions(high)
        if not all(map(is_usable, names)):
            return False
        rng = np.random.default_rng((seed, low.trial, high.trial))
        if not _is_counted(task, metric):
            (one, n_images), (other, _) = map(value_of, names)
            weights = image_weights(n_images, n_resamples, rng)
            difference = one(weights) - other(weights)
            return _holds_zero(difference, level)
        labels, first_ones = load(names[0])
        _, second_ones = load(names[1])
        return is_tie(
            metric, labels, first_ones, second_ones, rng=rng, n_resamples=n_resamples, level=level
        )

    return test


def _predictions(evaluation: Evaluation) -> str:
    if not isinstance(evaluation.outcome, Trained):
        raise ValueError(f"Trial {evaluation.trial} was {evaluation.kind}, not trained.")
    return evaluation.outcome.predictions


def _score(metric: str) -> Score:
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    return METRICS[metric]


def _cells(*columns: ArrayLike) -> tuple[Counts, Counts]:
    """Return the distinct rows ``(n_cells, n_columns)`` and how many samples each has."""
    arrays = [np.asarray(column) for column in columns]
    if any(a.ndim != 1 or len(a) != len(arrays[0]) or len(a) == 0 for a in arrays):
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ValueError(f"Labels and predictions must be (n_samples,), not empty; got {shapes}.")
    rows = np.stack(arrays, axis=1)
    is_counted = rows.dtype.kind in "iu" and rows.min() >= 0
    sizes = [int(size) + 1 for size in rows.max(axis=0)] if is_counted else []
    if not is_counted or math.prod(sizes) >= 1 << 63:
        return np.unique(rows, axis=0, return_counts=True)
    # One number for each row, in the same order: rows themselves take many times as long to sort.
    numbers, counts = np.unique(np.ravel_multi_index(rows.T, sizes), return_counts=True)
    return np.stack(np.unravel_index(numbers, sizes), axis=1), counts


def _resamples(counts: Counts, n_resamples: int, rng: np.random.Generator) -> Iterator[Counts]:
    """Yield resampled counts ``(some, n_cells)``, ``n_resamples`` rows in all."""
    rows = max(1, CHUNK // len(counts))
    for start in range(0, n_resamples, rows):
        size = min(rows, n_resamples - start)
        yield rng.multinomial(counts.sum(), counts / counts.sum(), size=size)


def _margins(counts: Counts, labels: Counts, predicted: Counts) -> tuple[Counts, Counts, Counts]:
    """Return hits, labels and predictions per class, ``(..., n_classes)``, of cell counts."""
    n_classes = int(max(labels.max(), predicted.max())) + 1
    is_right = labels == predicted
    return (
        _per_class(counts[:, is_right], labels[is_right], n_classes),
        _per_class(counts, labels, n_classes),
        _per_class(counts, predicted, n_classes),
    )


def _per_class(counts: Counts, classes: Counts, n_classes: int) -> Counts:
    sums = np.zeros((len(counts), n_classes), dtype=np.int64)
    if len(classes):
        order = np.argsort(classes, kind="stable")
        present, starts = np.unique(classes[order], return_index=True)
        sums[:, present] = np.add.reduceat(counts[:, order], starts, axis=1)
    return sums


def centered(values: Floats, value: float, n: float, level: float) -> tuple[float, float]:
    """Return the percentiles of resamples from 0 to 1, moved until their median is a value.

    Args:
        values: Of the resamples, those without one NaN.
        value: Of the sample.
        n: Samples of Wilson's interval, which stands in where the resamples do not differ.
        level: Share of resamples inside the interval.
    """
    known = values[np.isfinite(values)]
    if len(known) == 0 or np.ptp(known) < ROUNDING:
        return wilson(value, n, level)
    low, median, high = np.quantile(known, [(1 - level) / 2, 0.5, (1 + level) / 2])
    shift = value - median
    return widened((max(0.0, float(low + shift)), min(1.0, float(high + shift))), value)


def _holds_zero(differences: Floats, level: float) -> bool:
    """Return whether the percentiles of resampled differences hold 0; so do none at all."""
    known = differences[np.isfinite(differences)]
    if len(known) == 0:
        return True
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return bool(low <= 0 <= high)


def _effective(metric: str, labels: ArrayLike) -> float:
    _, counts = np.unique(np.asarray(labels), return_counts=True)
    return float(counts.sum() if metric == "accuracy" else len(counts) ** 2 / (1 / counts).sum())


def wilson(share: float, n: float, level: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share of n samples; it holds the share."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return widened((max(0.0, center - half), min(1.0, center + half)), share)


def _sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p-value of as uneven a split of fair coin tosses."""
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1)) / (1 << n)
    return min(1.0, 2 * tail)
