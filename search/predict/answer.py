"""From the outputs of a network to answers in plain JSON, by task.

Places are in pixels of the image as it is shown, after the rotation that EXIF asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archfront.search.errors import ArtifactError
from archfront.search.predict.manifest import Manifest
from archfront.trainers.words import count_of

if TYPE_CHECKING:
    from archfront.trainers.tasks.judges.merge import FoundObjects

Outputs = Mapping[str, NDArray[Any]]
Answer = dict[str, Any]


@dataclass(frozen=True, eq=False)
class PredictedImage:
    """One image with the outputs of a network for it.

    Attributes:
        outputs: Of each tile of this image in their order, by name, without the axis of the
            batch; of the image itself where images are not cut. They are looked at once.
        width: Of the image.
        height: Of the image.
        manifest: Of the network.
        threshold: Least score that counts.
        shapes: Of the outputs that were looked at, by name, for errors.
    """

    outputs: Iterable[Outputs]
    width: int
    height: int
    manifest: Manifest
    threshold: float
    shapes: dict[str, list[int]] = field(default_factory=dict)

    def _seen(self) -> Iterator[Outputs]:
        for outputs in self.outputs:
            self.shapes.update({name: list(output.shape) for name, output in outputs.items()})
            yield outputs

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Return the probability of each class that the image shows it."""
        (whole,) = self._seen()
        shares: NDArray[np.float32] = whole["probabilities"]
        return shares

    @cached_property
    def classes(self) -> NDArray[np.uint8]:
        """Return the class of each pixel of the image, ``(height, width)``."""
        from archfront.trainers.tasks.judges.class_map import classes_of_image

        return classes_of_image(self._seen(), self.manifest.preprocess, (self.width, self.height))

    @cached_property
    def objects(self) -> FoundObjects:
        """Return the objects of the image that count, each once."""
        from archfront.trainers.tasks.judges.merge import found_in_image

        size = self.width, self.height
        return found_in_image(self._seen(), self.manifest.preprocess, size, self.threshold)


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
        manifest, shapes = predicted.manifest, predicted.shapes
        raise ArtifactError(
            f"The outputs {shapes} of the model are not those of {manifest.task} with "
            f"{count_of(len(manifest.class_names), 'class', 'classes')} ({error})."
        ) from error


def _classification(predicted: PredictedImage) -> Answer:
    shares = predicted.probabilities
    names = predicted.manifest.class_names
    best = int(shares.argmax())
    return {
        "label": names[best],
        "score": float(shares[best]),
        "probabilities": dict(zip(names, map(float, shares), strict=True)),
    }


def _multilabel(predicted: PredictedImage) -> Answer:
    shares = predicted.probabilities
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
    found = predicted.classes
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


def _detection(predicted: PredictedImage) -> Answer:
    found = predicted.objects
    objects: list[Answer] = [
        {
            "label": predicted.manifest.class_names[int(label)],
            "score": float(score),
            "box": [float(value) for value in box],
        }
        for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True)
    ]
    for one, rle in zip(objects, found.masks or (), strict=False):
        one["mask"] = _plain(rle)
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
