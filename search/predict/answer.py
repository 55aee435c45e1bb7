"""From the outputs of a network to what a person asks for, as plain JSON, by task.

Places are in pixels of the image as it is looked at, after the rotation that EXIF asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.search.predict.manifest import Manifest

Outputs = Mapping[str, NDArray[Any]]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One image whose answer is wanted.

    Attributes:
        outputs: Of this image, by name, without the axis of the batch.
        width: Of the image.
        height: Of the image.
        manifest: What the network is.
        threshold: From which score on something counts.
    """

    outputs: Outputs
    width: int
    height: int
    manifest: Manifest
    threshold: float


def threshold_of(manifest: Manifest, asked: float | None) -> float:
    """Return the least score that counts: the requested one, else the manifest's."""
    return manifest.thresholds.get("score", 0.0) if asked is None else asked


def answer(asked: Asked) -> Answer:
    """Return what the network says of an image.

    ``label`` with its score and all probabilities; or ``labels``; or ``classes`` of pixels with
    their shares and masks; or ``objects`` with boxes ``x1, y1, x2, y2`` and, of outlines, masks.
    Masks are compressed COCO run-length encodings of the whole image.
    """
    return ANSWERS[asked.manifest.task](asked)


def _classification(asked: Asked) -> Answer:
    shares = asked.outputs["probabilities"]
    names = asked.manifest.class_names
    best = int(shares.argmax())
    return {
        "label": names[best],
        "score": float(shares[best]),
        "probabilities": dict(zip(names, map(float, shares), strict=True)),
    }


def _multilabel(asked: Asked) -> Answer:
    shares = asked.outputs["probabilities"]
    names = asked.manifest.class_names
    order = np.argsort(-shares, kind="stable")
    return {
        "labels": [
            {"label": names[i], "score": float(shares[i])}
            for i in order
            if shares[i] > asked.threshold
        ],
        "probabilities": dict(zip(names, map(float, shares), strict=True)),
    }


def _semantic(asked: Asked) -> Answer:
    found = map_of(asked)
    pixels = np.bincount(found.ravel(), minlength=len(asked.manifest.class_names))
    return {
        **_size(asked),
        "classes": [
            {
                "label": asked.manifest.class_names[label],
                "share": float(pixels[label] / found.size),
                "mask": _encoded(found == label, asked),
            }
            for label in np.flatnonzero(pixels).tolist()
        ],
    }


def map_of(asked: Asked) -> NDArray[np.uint8]:
    """Return the class of each pixel of the image, ``(height, width)``."""
    from archfront.trainers.tasks.judges.class_map import class_map

    across, down = asked.manifest.preprocess.inside(asked.width, asked.height)
    inside = asked.outputs["logits"][:, :down, :across]
    return class_map(inside, asked.width, asked.height)


def _detection(asked: Asked) -> Answer:
    rows = asked.outputs["detections"]
    kept = np.flatnonzero((rows[:, 4] > 0) & (rows[:, 4] >= asked.threshold))
    scale = asked.manifest.preprocess.scale(asked.width, asked.height)
    limits = np.array([asked.width, asked.height] * 2, np.float32)
    boxes = (rows[:, :4] / np.array([*scale, *scale], np.float32)).clip(0, limits)
    objects: list[Answer] = [
        {
            "label": asked.manifest.class_names[int(rows[i, 5])],
            "score": float(rows[i, 4]),
            "box": [float(value) for value in boxes[i]],
        }
        for i in kept
    ]
    if "masks" in asked.outputs:
        from archfront.trainers.tasks.judges.paste import pasted

        for i, found in zip(kept, objects, strict=True):
            rle = pasted(
                asked.outputs["masks"][i],
                boxes[i],
                size=(asked.width, asked.height),
                scale=scale,
                side=asked.manifest.preprocess.input_size,
            )
            found["mask"] = _plain(rle)
    return {**_size(asked), "objects": objects}


def _size(asked: Asked) -> Answer:
    return {"width": asked.width, "height": asked.height}


def _encoded(mask: NDArray[np.bool_], asked: Asked) -> Answer:
    from archfront.trainers.tasks.judges.paste import encoded

    return _plain(encoded(mask.T, left=0, top=0, size=(asked.width, asked.height)))


def _plain(rle: Mapping[str, Any]) -> Answer:
    """Return a compressed run-length encoding as JSON has it: with its counts as text."""
    counts = rle["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in rle["size"]], "counts": text}


ANSWERS: dict[str, Callable[[Asked], Answer]] = {
    "classification": _classification,
    "multilabel": _multilabel,
    "semantic": _semantic,
    "detection": _detection,
    "instance": _detection,
}
