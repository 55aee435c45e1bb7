"""The evaluator of images that have one label each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score


class LabelEvaluator:
    """Accuracy, mean recall and mean F1 of probabilities ``(N, classes)``.

    Args:
        labels: Of the images, in their order.
        classes: Number of classes.
    """

    def __init__(self, labels: Sequence[Any], classes: int) -> None:
        self._labels = torch.tensor(labels, dtype=torch.int64)
        self._seen: list[torch.Tensor] = []
        self._metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(classes, average="micro"),
                "balanced_accuracy": MulticlassAccuracy(classes, average="macro"),
                "recalls": MulticlassAccuracy(classes, average="none"),
                "macro_f1": MulticlassF1Score(classes, average="macro"),
            }
        )

    def update(self, outputs: Mapping[str, torch.Tensor]) -> None:
        """Take in the probabilities of the next images."""
        start = sum(map(len, self._seen))
        self._seen.append(outputs["probabilities"])
        labels = self._labels[start : start + len(self._seen[-1])]
        self._metrics.update(self._seen[-1], labels)

    def metrics(self) -> dict[str, float]:
        """Return every metric.

        Raises:
            ValueError: If not all images were taken in.
        """
        if (n_seen := sum(map(len, self._seen))) != len(self._labels):
            raise ValueError(f"{n_seen} of {len(self._labels)} images were evaluated")
        found = self._metrics.compute()
        balanced, present = found["balanced_accuracy"], np.unique(self._labels.numpy())
        if len(present) < len(found["recalls"]):
            # torchmetrics counts a class without an image, once predicted, as 0.
            balanced = found["recalls"][present].mean()
        return {
            "accuracy": float(found["accuracy"]),
            "balanced_accuracy": float(balanced),
            "macro_f1": float(found["macro_f1"]),
        }

    def least_score(self) -> float:
        """Return 0: one class is always the answer."""
        return 0.0

    def saved_predictions(self) -> dict[str, NDArray[Any]]:
        """Return ``probabilities (N, classes)`` float32 and ``labels (N,)`` int64."""
        probabilities = torch.cat(self._seen).numpy().astype(np.float32)
        return {"probabilities": probabilities, "labels": self._labels.numpy()}
