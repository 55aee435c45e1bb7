"""From the outputs of a network to answers in plain JSON, by task.

Places are in pixels of the image as it is shown, after the rotation that EXIF asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.search.errors import ArtifactError
from archfront.search.predict.manifest import Manifest
from archfront.trainers.words import count_of

Outputs = Mapping[str, NDArray[Any]]
Answer = dict[str, Any]


@dataclass(frozen=True)
class PredictedImage:
    """One image with the outputs of a network for it.

    Attributes:
        outputs: Of this image, by name, without the axis of the batch.
        width: Of the image.
        height: Of the image.
        manifest: Of the network.
        threshold: Least score that counts.
    """

    outputs: Outputs
    width: int
    height: int
    manifest: Manifest
    threshold: float


def threshold_of(manifest: Manifest, requested: float | None) -> float:
    """Return the least score that counts: the requested one, else the manifest's."""
    return manifest.thresholds.get("score", 0.0) if requested is None else requested


def answer(predicted: PredictedImage) -> Answer:
    """Return the answer of the network for an image.

    ``label`` with its score and all probabilities; or ``labels``; or ``classes`` of pixels with
    their shares and masks; or ``objects`` with boxes ``x1, y1, x2, y2`` and, of outlines, masks.
    Masks are compressed COCO run-length encodings of the whole image.

    Raises:
        ArtifactError: If the outputs are not of the task and the classes that the manifest says.
    """
    try:
        return ANSWERS[predicted.manifest.task](predicted)
    # Of an export of somebody else, whose arrays may have any shape and values.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        shapes = {name: list(output.shape) for name, output in predicted.outputs.items()}
        raise ArtifactError(
            f"The outputs {shapes} of the model are not those of {predicted.manifest.task} with "
            f"{count_of(len(predicted.manifest.class_names), 'class', 'classes')} ({error})."
        ) from error


def _classification(predicted: PredictedImage) -> Answer:
    shares = predicted.outputs["probabilities"]
    names = predicted.manifest.class_names
    best = int(shares.argmax())
    return {
        "label": names[best],
        "score": float(shares[best]),
        "probabilities": dict(zip(names, map(float, shares), strict=True)),
    }


def _multilabel(predicted: PredictedImage) -> Answer:
    shares = predicted.outputs["probabilities"]
    names = predicted.manifest.class_names
    order = np.argsort(-shares, kind="stable")
    return {
        "labels": [
            {"label": names[i], "score": float(shares[i])}
            for i in order
            if shares[i] > predicted.threshold
        ],
        "probabilities": dict(zip(names, map(float, shares), strict=True)),
    }


def _semantic(predicted: PredictedImage) -> Answer:
    found = map_of(predicted)
    pixels = np.bincount(found.ravel(), minlength=len(predicted.manifest.class_names))
    return {
        **_size(predicted),
        "classes": [
            {
                "label": predicted.manifest.class_names[label],
                "share": float(pixels[label] / found.size),
                "mask": _encoded(found == label, predicted),
            }
            for label in np.flatnonzero(pixels).tolist()
        ],
    }


def map_of(predicted: PredictedImage) -> NDArray[np.uint8]:
    """Return the class of each pixel of the image, ``(height, width)``."""
    from archfront.trainers.tasks.judges.class_map import class_map

    across, down = predicted.manifest.preprocess.inside(predicted.width, predicted.height)
    inside = predicted.outputs["logits"][:, :down, :across]
    return class_map(inside, predicted.width, predicted.height)


def _detection(predicted: PredictedImage) -> Answer:
    rows = predicted.outputs["detections"]
    kept = np.flatnonzero((rows[:, 4] > 0) & (rows[:, 4] >= predicted.threshold))
    scale = predicted.manifest.preprocess.scale(predicted.width, predicted.height)
    limits = np.array([predicted.width, predicted.height] * 2, np.float32)
    boxes = (rows[:, :4] / np.array([*scale, *scale], np.float32)).clip(0, limits)
    objects: list[Answer] = [
        {
            "label": predicted.manifest.class_names[int(rows[i, 5])],
            "score": float(rows[i, 4]),
            "box": [float(value) for value in boxes[i]],
        }
        for i in kept
    ]
    if "masks" in predicted.outputs:
        from archfront.trainers.tasks.judges.paste import pasted

        for i, found in zip(kept, objects, strict=True):
            rle = pasted(
                predicted.outputs["masks"][i],
                boxes[i],
                size=(predicted.width, predicted.height),
                scale=scale,
                side=predicted.manifest.preprocess.input_size,
            )
            found["mask"] = _plain(rle)
    return {**_size(predicted), "objects": objects}


def _size(predicted: PredictedImage) -> Answer:
    return {"width": predicted.width, "height": predicted.height}


def _encoded(mask: NDArray[np.bool_], predicted: PredictedImage) -> Answer:
    from archfront.trainers.tasks.judges.paste import encoded

    return _plain(encoded(mask.T, left=0, top=0, size=(predicted.width, predicted.height)))


def _plain(rle: Mapping[str, Any]) -> Answer:
    """Return a compressed run-length encoding as JSON has it: with its counts as text."""
    counts = rle["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in rle["size"]], "counts": text}


ANSWERS: dict[str, Callable[[PredictedImage], Answer]] = {
    "classification": _classification,
    "multilabel": _multilabel,
    "semantic": _semantic,
    "detection": _detection,
    "instance": _detection,
}
