"""The metrics of anything that predicts, over a split of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from archfront.trainers.data import Dataset, ImageSet, Preprocess
from archfront.trainers.errors import DataError
from archfront.trainers.tasks.protocol import Task
from archfront.trainers.training.batches import EvalBatches

# Resized uint8 images ``(N, C, S, S)`` to the task's outputs by their names, on the CPU.
Predict = Callable[[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class SplitScores:
    """The metrics of a network over a split, with its predictions.

    Attributes:
        metrics: Every metric of the task.
        predictions: What the task's evaluator saved.
    """

    metrics: dict[str, float]
    predictions: dict[str, NDArray[Any]]


def score_split(
    predict: Predict,
    *,
    task: Task,
    dataset: Dataset,
    split: str,
    preprocess: Preprocess,
    batch_size: int,
) -> SplitScores:
    """Return what a task's evaluator says of the predictions for a split.

    What predicts may be a network, a session of a runtime, or a server far away.

    Args:
        predict: What is evaluated.
        task: What is asked for.
        dataset: Of the images.
        split: Which of them.
        preprocess: How they become uint8 squares, and where in them the image lies.
        batch_size: Images at a time.

    Raises:
        DataError: If the data has no such split.
    """
    if split not in dataset.splits:
        raise DataError(f"There is no {split} split. There are: {', '.join(dataset.splits)}.")
    samples = dataset.splits[split]
    evaluator = task.evaluator(samples.samples, dataset.class_names, preprocess)
    for pixels, _ in EvalBatches(ImageSet.of(samples, preprocess), batch_size):
        evaluator.update(predict(pixels))
    return SplitScores(evaluator.metrics(), evaluator.saved_predictions())
