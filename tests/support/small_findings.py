"""Made-up findings, as an evaluator saves them, and pycocotools' opinion of them."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from archfront.trainers.tasks.judges.average_precision import mask_areas, packed, unpacked, xywh
from archfront.trainers.tasks.judges.paste import encoded

SIDE = 200
Arrays = dict[str, np.ndarray]


def findings(
    seed: int,
    *,
    n_images: int = 6,
    classes: int = 3,
    n_true: int = 8,
    n_found: int = 20,
    crowd: float = 0.0,
    has_masks: bool = False,
) -> Arrays:
    """Return random truth, and findings of which most are near to some of it.

    Up to ``n_true`` and ``n_found`` objects an image, each of another score.
    """
    rng = np.random.default_rng(seed)
    true_images = np.repeat(np.arange(n_images), rng.integers(0, n_true + 1, n_images))
    found_images = np.repeat(np.arange(n_images), rng.integers(0, n_found + 1, n_images))
    true_boxes, true_labels = boxes(rng, len(true_images)), labels(rng, len(true_images), classes)
    found_boxes = boxes(rng, len(found_images))
    found_labels = labels(rng, len(found_images), classes)
    for i, image in enumerate(found_images):
        near = np.flatnonzero(true_images == image)
        if len(near) and rng.random() < 0.8:
            origin = rng.choice(near)
            moved = true_boxes[origin] + rng.normal(0, 4, 4)
            if (moved[2:] > moved[:2] + 1).all():
                found_boxes[i], found_labels[i] = moved.clip(0, SIDE), true_labels[origin]
    kept = {
        "images": np.full((n_images, 2), SIDE),
        "found_boxes": found_boxes,
        "found_scores": rng.permutation(len(found_images)).astype(np.float32) / 1000,
        "found_labels": found_labels,
        "found_images": found_images,
        "true_boxes": true_boxes,
        "true_labels": true_labels,
        "true_crowd": rng.random(len(true_images)) < crowd,
        "true_images": true_images,
        "true_areas": np.prod(xywh(true_boxes)[:, 2:], axis=1),
    }
    return with_masks(kept, rng) if has_masks else kept


def boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    corners = rng.uniform(0, SIDE - 10, (n, 2))
    sides = np.exp(rng.uniform(np.log(5), np.log(150), (n, 2)))
    return np.concatenate([corners, (corners + sides).clip(max=SIDE)], axis=1).astype(np.float32)


def labels(rng: np.random.Generator, n: int, classes: int) -> np.ndarray:
    return rng.integers(0, classes, n)


def with_masks(kept: Arrays, rng: np.random.Generator) -> Arrays:
    """Return the same with a mask in each box: nine tenths of its pixels, at random."""
    kept = dict(kept)
    for side in ("found", "true"):
        rles = []
        for box in kept[f"{side}_boxes"]:
            left, top, right, bottom = np.ceil(box - 0.5).astype(int)
            part = rng.random((right - left, bottom - top)) < 0.9
            rles.append(encoded(part, left=left, top=top, size=(SIDE, SIDE)))
        packing = packed([rle["counts"] for rle in rles])
        kept[f"{side}_masks"], kept[f"{side}_mask_ends"] = packing
        if side == "true":
            kept["true_areas"] = mask_areas(rles)
    return kept


def repeated(kept: Arrays, times: np.ndarray) -> Arrays:
    """Return findings in which image ``i`` is there ``times[i]`` times."""
    order = np.repeat(np.arange(len(times)), times)
    new: dict[str, Any] = {"images": kept["images"][order]}
    for side in ("found", "true"):
        index = [np.flatnonzero(kept[f"{side}_images"] == image) for image in order]
        new[f"{side}_images"] = np.repeat(np.arange(len(order)), [len(part) for part in index])
        chosen = np.concatenate([np.zeros(0, np.int64), *index])
        for name in kept:
            if name.startswith(side) and "mask" not in name and name != f"{side}_images":
                new[name] = kept[name][chosen]
        if f"{side}_masks" in kept:
            counts = [rle["counts"] for rle in unpacked(kept, side)]
            packing = packed([counts[i] for i in chosen])
            new[f"{side}_masks"], new[f"{side}_mask_ends"] = packing
    return new


def by_pycocotools(kept: Arrays, classes: int, kind: str = "bbox") -> dict[str, float]:
    """Return its twelve figures' first six by our names, and the precision of each class."""
    truth, found = COCO(), COCO()
    frame = {
        "images": [
            {"id": i + 1, "width": SIDE, "height": SIDE} for i in range(len(kept["images"]))
        ],
        "categories": [{"id": k + 1} for k in range(classes)],
    }
    for coco, side in ((truth, "true"), (found, "found")):
        shapes = unpacked(kept, side) if kind == "segm" else [None] * len(kept[f"{side}_boxes"])
        areas = kept["true_areas"]
        if side == "found":
            sides = xywh(kept["found_boxes"])[:, 2:]
            areas = mask_areas(shapes) if kind == "segm" else sides.prod(axis=1)
        coco.dataset = {
            **frame,
            "annotations": [
                {
                    "id": i + 1,
                    "image_id": int(kept[f"{side}_images"][i]) + 1,
                    "category_id": int(kept[f"{side}_labels"][i]) + 1,
                    "bbox": xywh(kept[f"{side}_boxes"])[i].tolist(),
                    "area": float(areas[i]),
                    "iscrowd": int(kept["true_crowd"][i]) if side == "true" else 0,
                    "score": float(kept["found_scores"][i]) if side == "found" else 1.0,
                    **({"segmentation": shape} if shape else {}),
                }
                for i, shape in enumerate(shapes)
            ],
        }
    with contextlib.redirect_stdout(io.StringIO()):
        for coco in (truth, found):
            coco.createIndex()
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("map", "map50", "map75", "map_small", "map_medium", "map_large")
    figures = dict(zip(names, evaluation.stats[:6].tolist(), strict=True))
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    for k in range(classes):
        known = precision[:, :, k][precision[:, :, k] > -1]
        figures[f"ap/{k}"] = float(known.mean()) if known.size else -1.0
    return figures
