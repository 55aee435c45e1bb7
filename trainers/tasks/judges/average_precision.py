"""COCO's average precision of saved predictions, by faster-coco-eval.

What is saved of a split with ``n`` images, ``D`` found and ``G`` true objects:

``images (n, 2)``: width and height. ``found_boxes (D, 4)`` and ``true_boxes (G, 4)``: x1, y1, x2,
y2 in pixels of the image. ``found_labels``, ``true_labels``, ``found_images`` and ``true_images``:
indices. ``found_scores (D,)``. ``true_crowd (G,)``: groups, which are neither missed nor wrongly
found. ``true_areas (G,)`` in pixels: of the outline where there is one, else of the box. With
masks, ``found_masks`` and ``true_masks``: the bytes of all their compressed run-length encodings
in one row, and where each ends, ``found_mask_ends (D,)`` and ``true_mask_ends (G,)``. Where more
than ``DETECTIONS`` objects of an image can be found, ``most (1,)``: how many, which are counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.spec import DETECTIONS
from archfront.trainers.tasks.protocol import SavedPredictions

# IoU from which an object is found, and places of the recall: pycocotools' own.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = ("", "_small", "_medium", "_large")
AT_50, AT_75 = 0, 5
# The score from which objects are shown where their scores say nothing.
SCORE_MIN = 0.3
SCORE_STEP = 0.001
# Precisions and scores by threshold, recall, class and area.
Evaluated = Mapping[str, NDArray[np.float64]]


def coco_metrics(
    saved: SavedPredictions, class_names: Sequence[str], boxes: Evaluated | None = None
) -> dict[str, float]:
    """Return ``map``, ``map50``, ``map75``, those by area, and ``ap/<class>``.

    With masks they are by the IoU of masks, and ``box_map50`` by that of boxes. What no object
    is there for is left out, except the first three and ``box_map50``, which then are 0.

    Args:
        saved: What an evaluator saved.
        class_names: Names by label.
        boxes: The evaluation of its boxes; made when None.
    """
    boxes = evaluated_boxes(saved, len(class_names)) if boxes is None else boxes
    of_boxes = _summary(boxes["precision"], class_names)
    if "true_masks" not in saved:
        return of_boxes
    found = _summary(_precision(saved, len(class_names), "segm"), class_names)
    return {**found, "box_map50": of_boxes["map50"]}


def evaluated_boxes(saved: SavedPredictions, classes: int) -> Evaluated:
    """Return COCO's evaluation of boxes, from which their metrics and ``f1_score_of`` are.

    Args:
        saved: What an evaluator saved.
        classes: Number of classes.
    """
    return _evaluated(saved, classes, "bbox")


def class_curves(saved: SavedPredictions, class_names: Sequence[str]) -> dict[str, list[float]]:
    """Return the precision at each of ``RECALLS`` at an IoU of 0.5, of classes with objects."""
    kind = "segm" if "true_masks" in saved else "bbox"
    return _curves(_precision(saved, len(class_names), kind), class_names)


def best_f1_score(saved: SavedPredictions, classes: int) -> float:
    """Return the score from which on the found objects have the largest F1 at an IoU of 0.5.

    Short trainings find objects with small scores, and long ones with large scores. The F1 is the
    mean of that of the classes with objects, at ``RECALLS``, by boxes; of equal ones the largest
    score is taken, down to a multiple of ``SCORE_STEP``, or to its first digit where it is less
    than that. Where nothing is found or there, ``SCORE_MIN``.

    Source: van Rijsbergen 1979 (Information Retrieval), chapter 7.

    Args:
        saved: What an evaluator saved.
        classes: Number of classes.
    """
    return f1_score_of(evaluated_boxes(saved, classes))


def curves_and_score(
    saved: SavedPredictions, class_names: Sequence[str]
) -> tuple[dict[str, list[float]], float]:
    """Return ``class_curves`` and ``best_f1_score``, which of boxes need one evaluation."""
    evaluated = evaluated_boxes(saved, len(class_names))
    if "true_masks" in saved:
        return class_curves(saved, class_names), f1_score_of(evaluated)
    return _curves(evaluated["precision"], class_names), f1_score_of(evaluated)


def most_counted(saved: SavedPredictions) -> int:
    """Return how many detections of an image and class count: COCO's, or all that there can be."""
    return int(saved["most"][0]) if "most" in saved else DETECTIONS


def box_areas(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the areas of boxes ``(K, 4)``."""
    sides = xywh(boxes)[:, 2:]
    areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas


def mask_areas(rles: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return the pixels of each run-length encoding."""
    from faster_coco_eval.core import mask as coco

    areas: NDArray[np.float64] = np.array([coco.area(dict(rle)) for rle in rles], np.float64)
    return areas


def xywh(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return boxes ``(K, 4)`` as COCO has them: corner, width and height."""
    corners = boxes.astype(np.float64)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def packed(encodings: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of all in one row, and where each ends."""
    lengths = np.array([len(encoding) for encoding in encodings], np.int64)
    return np.frombuffer(b"".join(encodings), np.uint8), lengths.cumsum()


def unpacked(saved: SavedPredictions, side: str) -> list[dict[str, Any]]:
    """Return the run-length encodings of the ``found`` or the ``true`` objects."""
    content, ends = saved[f"{side}_masks"].tobytes(), saved[f"{side}_mask_ends"].tolist()
    sizes = saved["images"][saved[f"{side}_images"]].tolist()
    starts = [0, *ends][: len(ends)]
    return [
        {"size": [height, width], "counts": content[start:end]}
        for (width, height), start, end in zip(sizes, starts, ends, strict=True)
    ]


def of_images(saved: SavedPredictions, start: int, stop: int) -> dict[str, NDArray[Any]]:
    """Return what is saved of the images from one place to another, which count from 0."""
    part = {name: saved[name] for name in saved if name == "most"}
    part["images"] = saved["images"][start:stop]
    for side in ("found", "true"):
        images = saved[f"{side}_images"]
        rows = np.flatnonzero((images >= start) & (images < stop))
        masks, ends = f"{side}_masks", f"{side}_mask_ends"
        for name in saved:
            if name.startswith(f"{side}_") and name not in (masks, ends):
                part[name] = saved[name][rows]
        part[f"{side}_images"] = images[rows] - start
        if masks in saved:
            bounds = np.concatenate([[0], saved[ends]])
            pairs = zip(bounds[rows], bounds[rows + 1], strict=True)
            content = [saved[masks][first:last].tobytes() for first, last in pairs]
            part[masks], part[ends] = packed(content)
    return part


def _curves(precision: NDArray[np.float64], class_names: Sequence[str]) -> dict[str, list[float]]:
    curves = {name: precision[AT_50, :, k, 0] for k, name in enumerate(class_names)}
    return {name: curve.tolist() for name, curve in curves.items() if (curve > -1).all()}


def f1_score_of(evaluated: Evaluated) -> float:
    """Return ``best_f1_score`` of an evaluation of boxes."""
    precision, scores = (evaluated[name][AT_50, :, :, 0] for name in ("precision", "scores"))
    is_there = (precision > -1).all(axis=0)
    precision, scores = precision[:, is_there], scores[:, is_there]
    is_reached = precision > 0
    if not is_reached.any():
        return SCORE_MIN
    recall = np.broadcast_to(RECALLS[:, None], precision.shape)
    f1 = np.zeros((len(RECALLS) + 1, precision.shape[1]))  # after each place; nothing before all
    f1[1:][is_reached] = (2 * precision * recall)[is_reached] / (precision + recall)[is_reached]
    tried = np.unique(np.quantile(scores[is_reached], RECALLS, method="nearest"))
    means = [
        np.take_along_axis(f1, (is_reached & (scores >= score)).sum(axis=0)[None], axis=0).mean()
        for score in tried
    ]
    best = float(tried[len(tried) - 1 - int(np.argmax(means[::-1]))])
    step = min(SCORE_STEP, 10.0 ** math.floor(math.log10(best)))
    return min(best, math.floor(best / step) * step)


def _precision(saved: SavedPredictions, classes: int, kind: str) -> NDArray[np.float64]:
    """Return precisions by threshold, recall, class and area, -1 where there is no object."""
    return _evaluated(saved, classes, kind)["precision"]


def _evaluated(saved: SavedPredictions, classes: int, kind: str) -> Evaluated:
    """Return precisions and scores by threshold, recall, class and area.

    The precision is -1 where there is no object, and both are 0 where a recall is not reached.

    Args:
        saved: What an evaluator saved.
        classes: Number of classes.
        kind: ``bbox`` or ``segm``.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(_truth(saved, classes, kind))
    evaluation = COCOeval_faster(truth, truth.loadRes(_found(saved, kind)), kind)
    evaluation.params.imgIds = list(range(len(saved["images"])))
    evaluation.params.catIds = list(range(classes))
    evaluation.params.maxDets = [1, 10, most_counted(saved)]
    evaluation.evaluate()
    evaluation.accumulate()
    return {name: np.asarray(evaluation.eval[name])[..., -1] for name in ("precision", "scores")}


def _truth(saved: SavedPredictions, classes: int, kind: str) -> dict[str, Any]:
    images, crowd = saved["true_images"].tolist(), saved["true_crowd"].tolist()
    labels, areas = saved["true_labels"].tolist(), saved["true_areas"].tolist()
    boxes = xywh(saved["true_boxes"]).tolist()
    annotations = [
        {
            "id": i + 1,
            "image_id": images[i],
            "category_id": labels[i],
            "bbox": boxes[i],
            "area": areas[i],
            "iscrowd": int(crowd[i]),
        }
        for i in range(len(labels))
    ]
    if kind == "segm":
        for annotation, rle in zip(annotations, unpacked(saved, "true"), strict=True):
            annotation["segmentation"] = rle
    return {
        "images": [
            {"id": i, "width": width, "height": height}
            for i, (width, height) in enumerate(saved["images"].tolist())
        ],
        "categories": [{"id": label, "name": str(label)} for label in range(classes)],
        "annotations": annotations,
    }


def _found(saved: SavedPredictions, kind: str) -> list[dict[str, Any]]:
    """Return the detections; by masks without their boxes, so that areas are of the masks."""
    if kind == "bbox":
        shapes = [{"bbox": box} for box in xywh(saved["found_boxes"]).tolist()]
    else:
        shapes = [{"segmentation": rle} for rle in unpacked(saved, "found")]
    images, labels = saved["found_images"].tolist(), saved["found_labels"].tolist()
    scores = saved["found_scores"].tolist()
    return [
        {"image_id": images[i], "category_id": labels[i], "score": scores[i], **shape}
        for i, shape in enumerate(shapes)
    ]


def _summary(precision: NDArray[np.float64], class_names: Sequence[str]) -> dict[str, float]:
    found = {f"map{area}": _mean(precision[..., i]) for i, area in enumerate(AREAS)}
    found["map50"], found["map75"] = (_mean(precision[at, ..., 0]) for at in (AT_50, AT_75))
    by_class = {f"ap/{name}": _mean(precision[:, :, k, 0]) for k, name in enumerate(class_names)}
    known = {name: value for name, value in (found | by_class).items() if value is not None}
    return {"map": 0.0, "map50": 0.0, "map75": 0.0} | known


def _mean(precision: NDArray[np.float64]) -> float | None:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None
