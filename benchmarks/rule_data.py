"""Drawn data that has the property of a rule, or not, for ``profile_rules.py``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

N_IMAGES = {"train": 160, "valid": 60}
SMALL_SIDE, CROWDED_SIDE = 448, 256
CLASSES = ("disc", "ring")

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """One kind of data.

    Attributes:
        words: Of archfront, without ``data.root``; none where ``--word`` gives them.
        metric: Metric in which classes count alike; runs are compared by it, whatever they search.
            Empty where ``--metric`` gives it.
        draw: Draws the data into a folder; None where archfront has it.
    """

    words: tuple[str, ...]
    metric: str
    draw: Callable[[Path], None] | None = None


def small_objects(rng: np.random.Generator) -> tuple[int, Boxes]:
    """Return the side of an image and boxes of 3 to 5 px, with two of 20 to 60 px."""
    sides = np.concatenate([rng.uniform(3, 5, 12), rng.uniform(20, 60, 2)])
    corners = rng.uniform(0, SMALL_SIDE - sides[:, None], (len(sides), 2))
    return SMALL_SIDE, np.column_stack([corners, corners + sides[:, None]])


def crowd(rng: np.random.Generator) -> tuple[int, Boxes]:
    """Return the side of an image and 150 boxes of 9 to 13 px, each in a cell of its own."""
    cells = 14
    cell = CROWDED_SIDE / cells
    places = rng.permutation(cells**2)[:150]
    sides = rng.uniform(9, 13, 150)
    free = (cell - sides)[:, None] * rng.uniform(0, 1, (150, 2))
    corners = np.stack([places % cells, places // cells], axis=1) * cell + free
    return CROWDED_SIDE, np.column_stack([corners, corners + sides[:, None]])


def coco(layout: Callable[[np.random.Generator], tuple[int, Boxes]]) -> Callable[[Path], None]:
    """Return what draws discs and rings into the boxes of a layout, as COCO has them."""

    def draw(root: Path) -> None:
        rng = np.random.default_rng(0)
        for split, n_images in N_IMAGES.items():
            (root / split).mkdir(parents=True, exist_ok=True)
            images, annotations = [], []
            for number in range(n_images):
                side, boxes = layout(rng)
                labels = rng.integers(0, len(CLASSES), len(boxes))
                name = f"{split}-{number:04}.png"
                Image.fromarray(_drawn(side, boxes, labels, rng)).save(root / split / name)
                images.append({"id": number, "file_name": name, "width": side, "height": side})
                annotations += [
                    {
                        "id": len(annotations) + place + 1,
                        "image_id": number,
                        "category_id": int(label) + 1,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "iscrowd": 0,
                    }
                    for place, ((x1, y1, x2, y2), label) in enumerate(
                        zip(boxes.tolist(), labels, strict=True)
                    )
                ]
            categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
            content = {"images": images, "annotations": annotations, "categories": categories}
            (root / split / "_annotations.coco.json").write_text(json.dumps(content))

    return draw


def _drawn(
    side: int, boxes: Boxes, labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a noisy image ``(side, side, 3)`` with a disc or a ring in each box."""
    pixels = rng.normal(110, 20, (side, side, 3))
    rows, columns = np.mgrid[:side, :side] + 0.5
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        part = np.s_[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))]
        far = np.hypot(columns[part] - (x1 + x2) / 2, rows[part] - (y1 + y2) / 2)
        radius = (x2 - x1) / 2
        inside = (far <= radius) & ((label == 0) | (far >= radius / 2))
        pixels[part][inside] = rng.normal((220, 200, 60), 15)
    return pixels.clip(0, 255).astype(np.uint8)


FEW = (
    *("task=classification", "space=small", "data=shapes", "data.shapes.images=500"),
    *("data.train=200", "data.test=50", "data.shapes.classes=6"),
    *("data.shapes.objects_max=1", "task.metric=balanced_accuracy"),
    "space.backbones=[mobilenetv3_small_050,lcnet_050,resnet10t]",
)
DETECTION = (
    *("task=detection", "space=detection", "data=coco", "task.metric=map50"),
    *("space.backbones=[mobilenetv3_small_050,lcnet_050,resnet10t]", "space.heads=[yolo,fcos]"),
)
KINDS = {
    "digits": Kind(("experiment=digits", "budget.trials=null"), "balanced_accuracy"),
    "unequal": Kind(
        (
            *("task=classification", "space=small", "data=shapes", "data.shapes.imbalance=50"),
            *("data.shapes.images=1500", "data.shapes.classes=4", "data.shapes.objects_max=1"),
            "space.backbones=[mobilenetv3_small_050,lcnet_050,resnet10t]",
        ),
        "balanced_accuracy",
    ),
    "few": Kind((*FEW, "data.val=250"), "balanced_accuracy"),
    "few_validated": Kind((*FEW, "data.val=60"), "balanced_accuracy"),
    "small_objects": Kind(DETECTION, "map50", coco(small_objects)),
    "crowded": Kind(DETECTION, "map50", coco(crowd)),
    "own": Kind((), ""),
}
