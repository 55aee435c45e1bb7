"""What saved predictions say of each class: shares, confusions and curves, by torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional import classification as tm

from archfront.trainers.data.targets import TargetKind
from archfront.trainers.tasks.judges.average_precision import (
    curves_and_score,
    of_images,
)
from archfront.trainers.tasks.judges.overlap import class_iou, margins
from archfront.trainers.tasks.judges.weighted import THRESHOLD
from archfront.trainers.tasks.protocol import SavedPredictions

# Sides of a confusion matrix beyond this say nothing in a picture.
CLASSES_MAX = 60
# A mean of precisions that are all 1 is this far below 1 at most.
ROUNDING = 1e-9
# Images whose objects are judged at a time: what that takes grows with the square of them.
IMAGES_AT_ONCE = 64


@dataclass(frozen=True)
class ClassDetails:
    """What a network's validation predictions are worth by class.

    Attributes:
        class_names: Names by label.
        metrics: By name, a value of each class; None where it has none.
        confusion: Images or pixels, true class by predicted class; empty where there is none.
        curves: Precision at 101 recalls by class, of the classes with an object, at IoU 0.5.
        score_min: The score from which on an answer counts, as evaluators have it.
    """

    class_names: tuple[str, ...]
    metrics: dict[str, list[float | None]]
    confusion: list[list[int]] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    score_min: float = 0.0


def class_details(
    kind: TargetKind, saved: SavedPredictions, class_names: Sequence[str]
) -> ClassDetails:
    """Return what saved predictions of a kind of task say of each class."""
    names = tuple(class_names)
    if kind in ("boxes", "outlines"):
        curves, least = curves_and_score(saved, names)
        values = {name: float(np.mean(curve)) for name, curve in curves.items()}
        metrics = {"ap50": [values.get(n) for n in names]}
        return ClassDetails(names, metrics, curves=curves, score_min=least)
    if kind == "mask":
        total = saved["confusion"].sum(axis=0, dtype=np.int64)
        hits, true, _ = margins(total)
        recall = np.divide(hits, true, out=np.full(len(hits), np.nan), where=true > 0)
        metrics = {"iou": _known(class_iou(total)), "recall": _known(recall)}
        return ClassDetails(names, metrics, _small(total))
    probabilities = torch.from_numpy(saved["probabilities"])
    labels = torch.from_numpy(saved["labels"].astype(np.int64))
    n = len(names)
    if kind == "labels":
        # Class by class: torchmetrics' functions for several take no single one.
        named = {
            "precision": tm.binary_precision,
            "recall": tm.binary_recall,
            "f1": tm.binary_f1_score,
        }
        columns = list(zip(probabilities.T, labels.T, strict=True))
        by_class = {
            name: np.array([float(metric(*column, THRESHOLD)) for column in columns])
            for name, metric in named.items()
        }
        metrics = {name: _known(values) for name, values in by_class.items()}
        return ClassDetails(names, metrics, score_min=THRESHOLD)
    of_one = {
        "precision": tm.multiclass_precision,
        "recall": tm.multiclass_recall,
        "f1": tm.multiclass_f1_score,
    }
    metrics = {
        name: _known(metric(probabilities, labels, n, average="none").numpy())
        for name, metric in of_one.items()
    }
    confusion = tm.multiclass_confusion_matrix(probabilities, labels, n).numpy()
    return ClassDetails(names, metrics, _small(confusion))


def worst_images(kind: TargetKind, saved: SavedPredictions, n: int) -> list[int]:
    """Return the at most ``n`` images with the worst answers, worst first, right ones left out."""
    losses = image_losses(kind, saved)
    is_wrong = losses > ROUNDING
    if kind == "label":
        is_wrong = saved["probabilities"].argmax(axis=1) != saved["labels"]
    elif kind == "labels":
        is_wrong = ((saved["probabilities"] > THRESHOLD) != (saved["labels"] > 0)).any(axis=1)
    worst: list[int] = [i for i in np.argsort(-losses, kind="stable").tolist() if is_wrong[i]]
    return worst[:n]


def image_losses(kind: TargetKind, saved: SavedPredictions) -> NDArray[np.float64]:
    """Return how wrong the answer to each image is, ``(N,)``; right and sure answers have 0."""
    if kind in ("boxes", "outlines"):
        return 1 - np.nan_to_num(_image_precisions(saved), nan=1.0)
    if kind == "mask":
        hits, true, _ = margins(saved["confusion"])
        n_true = true.sum(axis=1)
        right = np.divide(hits.sum(axis=1), n_true, out=np.ones(len(true)), where=n_true > 0)
        return np.asarray(1 - right)
    chances = torch.from_numpy(saved["probabilities"]).double().clamp(1e-12, 1)
    labels = torch.from_numpy(saved["labels"].astype(np.int64))
    if kind == "labels":
        losses = torch.nn.functional.binary_cross_entropy(
            chances, labels.double(), reduction="none"
        ).mean(dim=1)
    else:
        losses = torch.nn.functional.nll_loss(chances.log(), labels, reduction="none")
    found: NDArray[np.float64] = losses.numpy()
    return found


def _image_precisions(saved: SavedPredictions) -> NDArray[np.float64]:
    """Return the average precision of each image ``(N,)``; NaN where it has no object."""
    from archfront.trainers.tasks.judges.resampled_ap import resampled_ap

    arrays = {name: saved[name] for name in saved}
    n = len(arrays["images"])
    found = np.full(n, np.nan)
    for start in range(0, n, IMAGES_AT_ONCE):
        part = of_images(arrays, start, min(start + IMAGES_AT_ONCE, n))
        if not part["true_crowd"].all():
            n_images = len(part["images"])
            found[start : start + n_images] = resampled_ap("map50", part)(np.eye(n_images))
    return found


def _known(values: NDArray[np.floating]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _small(confusion: NDArray[np.integer]) -> list[list[int]]:
    cells: list[list[int]] = confusion.tolist()
    return cells if len(cells) <= CLASSES_MAX else []
