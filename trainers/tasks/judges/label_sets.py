"""The evaluator of images that have any number of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    binary_average_precision,
    binary_f1_score,
    multilabel_f1_score,
)

from archfront.trainers.tasks.judges.weighted import THRESHOLD


class LabelSetEvaluator:
    """Mean average precision and F1 of probabilities ``(N, classes)``.

    Args:
        targets: ``Labels`` of the images, in their order.
        class_names: Names by label.
    """

    def __init__(self, targets: Sequence[Any], class_names: Sequence[str]) -> None:
        self._names = tuple(class_names)
        self._labels = torch.zeros(len(targets), len(class_names), dtype=torch.int64)
        for row, target in zip(self._labels, targets, strict=True):
            row[list(target.present)] = 1
        self._seen: list[torch.Tensor] = []

    def update(self, outputs: Mapping[str, torch.Tensor]) -> None:
        """Take in the probabilities of the next images."""
        self._seen.append(outputs["probabilities"])

    def metrics(self) -> dict[str, float]:
        """Return every metric, and ``ap/<class>`` of the classes that an image shows.

        Raises:
            ValueError: If not all images were taken in.
        """
        if (n_seen := sum(map(len, self._seen))) != len(self._labels):
            raise ValueError(f"{n_seen} of {len(self._labels)} images were evaluated")
        probabilities = torch.cat(self._seen)
        precisions = {
            name: float(binary_average_precision(probabilities[:, label], self._labels[:, label]))
            for label, name in enumerate(self._names)
            if bool(self._labels[:, label].any())
        }
        f1 = {name: self._f1(probabilities, name) for name in ("macro", "micro")}
        mean = float(np.mean(list(precisions.values()))) if precisions else 0.0
        by_class = {f"ap/{name}": value for name, value in precisions.items()}
        return {"map": mean, "macro_f1": f1["macro"], "micro_f1": f1["micro"], **by_class}

    def _f1(self, probabilities: torch.Tensor, average: Literal["macro", "micro"]) -> float:
        n = len(self._names)
        if n == 1:  # torchmetrics' function for several takes no single one
            return float(binary_f1_score(probabilities[:, 0], self._labels[:, 0], THRESHOLD))
        return float(
            multilabel_f1_score(
                probabilities, self._labels, num_labels=n, threshold=THRESHOLD, average=average
            )
        )

    def least_score(self) -> float:
        """Return the probability from which on an image shows a class."""
        return THRESHOLD

    def saved_predictions(self) -> dict[str, NDArray[Any]]:
        """Return ``images (N,)``, ``probabilities (N, classes)`` and ``labels (N, classes)``."""
        probabilities = torch.cat(self._seen).numpy().astype(np.float32)
        return {
            "images": np.arange(len(self._labels)),
            "probabilities": probabilities,
            "labels": self._labels.numpy().astype(np.uint8),
        }
