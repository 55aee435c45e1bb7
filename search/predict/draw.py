"""The answer of a network for an image, drawn on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from archfront.search.predict.answer import Answer, PredictedImage
from archfront.trainers.data.images import Pixels
from archfront.trainers.drawing.colors import class_color
from archfront.trainers.drawing.labels import with_labels
from archfront.trainers.drawing.panels import tinted
from archfront.trainers.drawing.paper import LEGEND_MAX, Line, captioned, shortened
from archfront.trainers.words import score_text

# Longest side of a picture, in px: a photo of 12 million pixels is drawn on a smaller one.
SIDE_MAX = 1600
# Labels of a picture that has several, the best first.
N_SHOWN = 5


def drawn(pixels: Pixels, predicted: PredictedImage, answered: Answer) -> Image.Image:
    """Return an image with its answer on it.

    Args:
        pixels: The image, uint8 ``(H, W, 1 or 3)``.
        predicted: Its outputs.
        answered: The answer made of them.
    """
    image = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy())
    scale = min(1.0, SIDE_MAX / max(image.size))
    if scale < 1:
        across, down = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((across, down), Image.Resampling.LANCZOS)
    return DRAWN[predicted.manifest.task](image, predicted, answered, scale)


def _label(
    image: Image.Image, predicted: PredictedImage, answered: Answer, scale: float
) -> Image.Image:
    return _listed(image, predicted, [(answered["label"], answered["score"])])


def _labels(
    image: Image.Image, predicted: PredictedImage, answered: Answer, scale: float
) -> Image.Image:
    found = [(one["label"], one["score"]) for one in answered["labels"][:N_SHOWN]]
    return _listed(image, predicted, found)


def _listed(
    image: Image.Image, predicted: PredictedImage, found: list[tuple[str, float]]
) -> Image.Image:
    """Return an image with classes and their numbers below it, each with its color."""
    names = predicted.manifest.class_names
    lines = [
        Line(f"{name} {number:.2f}", swatch=class_color(names.index(name)))
        for name, number in found
    ]
    return captioned(image, lines)


def _map(
    image: Image.Image, predicted: PredictedImage, answered: Answer, scale: float
) -> Image.Image:
    found = Image.fromarray(predicted.classes)
    fitted = np.asarray(found.resize(image.size, Image.Resampling.NEAREST))
    image = tinted(image, fitted)
    shares = [(one["label"], one["share"]) for one in answered["classes"][:N_SHOWN]]
    return _listed(image, predicted, shares)


def _objects(
    image: Image.Image, predicted: PredictedImage, answered: Answer, scale: float
) -> Image.Image:
    names = predicted.manifest.class_names
    for one in reversed(answered["objects"]):  # the best on top
        label = names.index(one["label"])
        if "mask" in one:
            image = tinted(image, _painted(one["mask"], label, image.size))
    found = answered["objects"]
    boxes = np.array([one["box"] for one in found], np.float64).reshape(-1, 4) * scale
    texts = [f"{one['label']} {score_text(one['score'])}" for one in found]
    colors = [class_color(names.index(one["label"])) for one in found]
    unlabeled = {found[i]["label"] for i in with_labels(image, boxes, texts, colors)}
    lines = [Line(name, swatch=class_color(names.index(name))) for name in sorted(unlabeled)]
    return captioned(image, shortened(lines, LEGEND_MAX)) if lines else image


def _painted(rle: Answer, label: int, size: tuple[int, int]) -> np.ndarray:
    from faster_coco_eval.core import mask as coco

    from archfront.trainers.data.targets import IGNORED

    mask = coco.decode({"size": rle["size"], "counts": rle["counts"].encode()})
    fitted = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return np.where(fitted > 0, np.uint8(label % IGNORED), np.uint8(IGNORED))


DRAWN: dict[str, Callable[[Image.Image, PredictedImage, Answer, float], Image.Image]] = {
    "classification": _label,
    "multilabel": _labels,
    "semantic": _map,
    "detection": _objects,
    "instance": _objects,
}
