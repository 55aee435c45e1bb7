"""The metrics of anything that predicts, over a split of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from archfront.trainers.data import DataRef, Dataset, ImageSet, Preprocess, load
from archfront.trainers.errors import DataError
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.networks.checkpoint import load_trained
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks import task_named
from archfront.trainers.tasks.protocol import Task
from archfront.trainers.training.batches import EvalBatches
from archfront.trainers.training.process_state import intra_op_threads, seeded_torch
from archfront.trainers.words import count_of

EVAL_BATCH = 64
# A decoder holds maps of the whole input: a U-Net at 512 px needs 4 GB for 64 images.
DENSE_EVAL_BATCH = 8
# Resized uint8 images ``(N, C, S, S)`` to the task's outputs by their names, on the CPU.
Predict = Callable[[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class SplitScores:
    """The metrics of a network over a split, with its predictions.

    Attributes:
        metrics: Every metric of the task.
        predictions: What the task's evaluator saved.
        least_score: The score from which on an answer counts, as the evaluator has it.
    """

    metrics: dict[str, float]
    predictions: dict[str, NDArray[Any]]
    least_score: float


def score_split(
    predict: Predict,
    *,
    task: Task,
    dataset: Dataset,
    split: str,
    preprocess: Preprocess,
    batch_size: int,
) -> SplitScores:
    """Return the metrics and saved predictions of a split, by the task's evaluator.

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
    metrics = evaluator.metrics()
    return SplitScores(metrics, evaluator.saved_predictions(), evaluator.least_score())


def score(
    architecture: Architecture,
    weights_file: Path,
    data: DataRef,
    *,
    split: str = "test",
    preprocess_of: Weights,
    threads: int,
) -> tuple[dict[str, float], dict[str, NDArray[Any]]]:
    """Return metrics of a trained network, and what the task's evaluator saves of its predictions.

    Args:
        architecture: What was trained.
        weights_file: What ``train`` saved.
        data: What it was trained on.
        split: Which images to look at.
        preprocess_of: The first weights of the training, which decide mean and deviation.
        threads: Intra-op threads.

    Raises:
        WeightsError: If the file is not there or is of another network.
        DataError: If the data has no such split.
    """
    task = task_named(architecture.task)
    dataset = load(data)
    check_data(dataset, architecture)
    plain = preprocess_for(architecture, preprocess_of, task.resize)
    preprocess = replace(plain, tiling=dataset.tiling)
    with seeded_torch(0), intra_op_threads(threads):
        model = task.build(architecture, Weights())
        load_trained(model, weights_file)
        model = model.to(memory_format=torch.channels_last).eval()

        def predict(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
            images = preprocess.normalize(pixels)
            return task.predict(model, images.contiguous(memory_format=torch.channels_last))

        with torch.inference_mode():
            scored = score_split(
                predict,
                task=task,
                dataset=dataset,
                split=split,
                preprocess=preprocess,
                batch_size=eval_batch(task),
            )
    return scored.metrics, scored.predictions


def eval_batch(task: Task) -> int:
    """Return the number of images that are evaluated at a time."""
    return EVAL_BATCH if task.is_image_level else DENSE_EVAL_BATCH


def check_data(dataset: Dataset, architecture: Architecture) -> None:
    """Raise a DataError where a network was made for another number of classes."""
    n = len(dataset.class_names)
    if n != architecture.classes:
        raise DataError(
            f"The data has {count_of(n, 'class', 'classes')} and the network "
            f"{architecture.classes}. Did the data change since the study began?"
        )
