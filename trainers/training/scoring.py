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
class Scored:
    """What a split says of a network.

    Attributes:
        metrics: Every metric of the task.
        kept: What the task's judge keeps of the predictions.
    """

    metrics: dict[str, float]
    kept: dict[str, NDArray[Any]]


def score_split(
    predict: Predict,
    *,
    task: Task,
    dataset: Dataset,
    split: str,
    preprocess: Preprocess,
    batch_size: int,
) -> Scored:
    """Return what a task's judge says of the predictions for a split.

    What predicts may be a network, a session of a runtime, or a server far away.

    Args:
        predict: What is judged.
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
    judge = task.judge(samples.samples, dataset.class_names, preprocess)
    for pixels, _ in EvalBatches(ImageSet.of(samples, preprocess), batch_size):
        judge.update(predict(pixels))
    return Scored(judge.metrics(), judge.kept())
