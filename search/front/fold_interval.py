"""The mean of a metric over folds, and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from archfront.search.front.intervals import centered, image_weights, resampled
from archfront.search.records.fold_scores import FoldMean, FoldScore
from archfront.trainers.tasks.protocol import Task

N_RESAMPLES, LEVEL = 1000, 0.95


def fold_mean(
    task: Task, metric: str, folder: Path, scores: Sequence[FoldScore], *, rng: np.random.Generator
) -> FoldMean:
    """Return the mean over folds, with its centered percentile bootstrap interval.

    The images of each fold are resampled among themselves. The interval is of the images that are
    judged; that networks differ with the images they were trained on is not in it, since there is
    no unbiased estimate of that from one division (Bengio and Grandvalet 2004).

    Args:
        task: Of the study.
        metric: One of its metrics.
        folder: Study folder, which the recorded paths are relative to.
        scores: Of the folds.
        rng: Source of the resamples.
    """
    sizes = np.array([score.n_images for score in scores])
    shares = sizes / sizes.sum()
    value = float(shares @ np.array([score.metric for score in scores]))
    values = np.zeros(N_RESAMPLES)
    for share, score in zip(shares, scores, strict=True):
        value_of, n_images = resampled(task, metric, folder / score.predictions)
        values += share * value_of(image_weights(n_images, N_RESAMPLES, rng))
    low, high = centered(values, value, float(sizes.sum()), LEVEL)
    return FoldMean(value, low, high, len(scores))
