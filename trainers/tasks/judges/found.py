"""The evaluator of found objects: boxes in pixels of their image, compared as COCO does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from archfront.trainers.data.objects import rle_of
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.targets import Objects
from archfront.trainers.data.verify import Sample
from archfront.trainers.spec import DETECTIONS
from archfront.trainers.tasks.judges.average_precision import (
    Evaluated,
    box_areas,
    coco_metrics,
    evaluated_boxes,
    f1_score_of,
    mask_areas,
    packed,
)
from archfront.trainers.tasks.judges.merge import FoundObjects, found_in_tile, merged

Arrays = dict[str, NDArray[Any]]

# Detections that count for each object of the most crowded image: some are wrong.
ROOM = 1.5


class ObjectEvaluator:
    """Average precision of ``detections`` and, where asked for, ``masks``.

    A metric is 0 when the split shows no object at all, so that what is maximized is a number;
    ``map_small``, ``map_medium`` and ``map_large`` (areas up to 32 x 32 and 96 x 96 px of the
    image) and ``ap/<class>`` are there when the split shows such objects.

    Args:
        samples: Images with their objects.
        class_names: Names by label.
        preprocess: How images became the network's input.
        has_masks: Whether masks are compared.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        class_names: Sequence[str],
        preprocess: Preprocess,
        *,
        has_masks: bool,
    ) -> None:
        self._samples = samples
        self._names = class_names
        self._preprocess = preprocess
        self._has_masks = has_masks
        self._found: list[FoundObjects] = []
        self._tiles: list[FoundObjects] = []  # of the image that is not complete yet
        self._boxes: Evaluated | None = None  # as the metrics were found
        self._most = DETECTIONS if preprocess.tiling is None else _room(samples)

    def update(self, outputs: Mapping[str, torch.Tensor]) -> None:
        """Take in the detections, and masks, of the next images or tiles of them."""
        self._boxes = None
        self._most = max(self._most, outputs["detections"].shape[1])
        names = ("detections", "masks") if self._has_masks else ("detections",)
        for values in zip(*(outputs[name].numpy() for name in names), strict=True):
            sample = self._samples[len(self._found)]
            size = sample.width, sample.height
            tiles = self._preprocess.tiles(*size)
            tile = tiles[len(self._tiles)]
            output = dict(zip(names, values, strict=True))
            self._tiles.append(found_in_tile(output, self._preprocess, tile, size))
            if len(self._tiles) == len(tiles):
                self._found.append(_best(merged(self._tiles, tiles), self._most))
                self._tiles = []

    def metrics(self) -> dict[str, float]:
        """Return every metric, those of classes as ``ap/<class>``.

        Raises:
            ValueError: If not all images were taken in.
        """
        if (n_seen := len(self._found)) != len(self._samples):
            raise ValueError(f"{n_seen} of {len(self._samples)} images were evaluated")
        saved = self.saved_predictions()
        self._boxes = evaluated_boxes(saved, len(self._names))
        return coco_metrics(saved, self._names, self._boxes)

    def least_score(self) -> float:
        """Return the score with which boxes have their largest F1."""
        boxes = self._boxes or evaluated_boxes(self.saved_predictions(), len(self._names))
        return f1_score_of(boxes)

    def saved_predictions(self) -> Arrays:
        """Return found and true objects as arrays; see ``average_precision``."""
        found = {
            "found_boxes": _joined([f.boxes for f in self._found], (0, 4), np.float32),
            "found_scores": _joined([f.scores for f in self._found], (0,), np.float32),
            "found_labels": _joined([f.labels for f in self._found], (0,), np.int64),
            "found_images": _places([len(f) for f in self._found]),
        }
        if self._has_masks:
            encodings = [mask["counts"] for f in self._found for mask in f.masks or ()]
            found["found_masks"], found["found_mask_ends"] = packed(encodings)
        if self._most > DETECTIONS:
            found["most"] = np.array([self._most])
        return {**found, **_truth(self._samples, has_masks=self._has_masks)}


def _room(samples: Sequence[Sample]) -> int:
    """Return how many detections of an image count that is cut: no tile says how many it has."""
    n_objects = [len(sample.target) for sample in samples if isinstance(sample.target, Objects)]
    return max(DETECTIONS, math.ceil(ROOM * max(n_objects, default=0)))


def _best(found: FoundObjects, most: int) -> FoundObjects:
    """Return the objects without those that average precision does not look at."""
    if len(found) <= most:
        return found
    order = np.argsort(-found.scores, kind="stable")
    of_class = [order[found.labels[order] == label] for label in np.unique(found.labels)]
    kept = np.concatenate([places[:most] for places in of_class])
    return found.only(np.sort(kept))


def _truth(samples: Sequence[Sample], *, has_masks: bool) -> Arrays:
    """Return the arrays that say what is true."""
    targets = [sample.target for sample in samples if isinstance(sample.target, Objects)]
    boxes = _joined([t.boxes for t in targets], (0, 4), np.float32)
    rles = [
        rle_of(segment, sample.width, sample.height)
        for sample, target in zip(samples, targets, strict=True)
        for segment in target.segments or ()
    ]
    is_outlined = len(rles) == len(boxes)
    truth = {
        "images": np.array([[sample.width, sample.height] for sample in samples], np.int64),
        "true_boxes": boxes,
        "true_labels": _joined([t.labels for t in targets], (0,), np.int64),
        "true_crowd": _joined([t.crowd for t in targets], (0,), np.bool_),
        "true_images": _places([len(t) for t in targets]),
        "true_areas": mask_areas(rles) if is_outlined else box_areas(boxes),
    }
    if has_masks:
        truth["true_masks"], truth["true_mask_ends"] = packed([rle["counts"] for rle in rles])
    return truth


def _joined(parts: Sequence[NDArray[Any]], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(shape, dtype), *parts])


def _places(counts: Sequence[int]) -> NDArray[np.int64]:
    """Return the image index of each object, from the number of objects per image."""
    return np.repeat(np.arange(len(counts)), np.array(counts, np.int64))
