"""One image with what a network said of it beside what is true.

What is right or wrong is said in words too, not by color alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from archfront.trainers.data.images import Pixels
from archfront.trainers.data.objects import rle_of
from archfront.trainers.data.targets import IGNORED, Labels, Mask, Objects, Target, TargetKind
from archfront.trainers.drawing.colors import Color, class_color
from archfront.trainers.drawing.labels import with_labels
from archfront.trainers.drawing.paper import (
    LEGEND_MAX,
    SOFT,
    Line,
    Panel,
    framed,
    shortened,
    shown,
)
from archfront.trainers.words import score_text

RIGHT: Color = (0, 122, 89)
WRONG: Color = (190, 40, 30)
TINT = 0.55  # share of a class's color over the image
# Objects that are drawn where fewer are true; all that are found are counted.
OBJECTS_MAX = 30
NAMED = 0.5
# What the pictures of a panel show, by the kind of target.
TITLES: dict[TargetKind, str] = {
    "label": "Predicted class with its probability",
    "labels": "Predicted classes with their probabilities",
    "mask": "Left the truth, right the prediction",
    "boxes": "Left the truth, right what was found",
    "outlines": "Left the truth, right what was found",
}


@dataclass(frozen=True, eq=False)
class DrawnPrediction:
    """Prediction of a network for one image; only the fields of its task are filled.

    Attributes:
        scores: A probability per class, ``(classes,)``; or a score per object, ``(K,)``.
        mask: The class of each pixel, ``(h, w)`` uint8, at any scale of the image.
        objects: Boxes and labels, and outlines where there are some, in pixels of the image.
        score_min: The score from which on objects are shown.
    """

    scores: NDArray[np.floating] | None = None
    mask: NDArray[np.uint8] | None = None
    objects: Objects | None = None
    score_min: float = 0.0


def panel(
    kind: TargetKind,
    pixels: Pixels,
    truth: Target,
    said: DrawnPrediction,
    class_names: Sequence[str],
) -> Panel:
    """Return the prediction for an image beside its truth.

    Args:
        kind: What the task learns from.
        pixels: The image, uint8 ``(H, W, 1 or 3)``.
        truth: A target of this kind.
        said: What a network of the task says.
        class_names: Names by label.
    """
    return PANELS[kind](pixels, truth, said, class_names)


def _label(pixels: Pixels, truth: Target, said: DrawnPrediction, names: Sequence[str]) -> Panel:
    assert isinstance(truth, int)
    assert said.scores is not None
    found = int(said.scores.argmax())
    is_right = found == truth
    color = RIGHT if is_right else WRONG
    lines = (
        Line(f"{names[found]} {said.scores[found]:.2f}", color),
        Line("right" if is_right else f"wrong, it is {names[truth]}", SOFT),
    )
    return Panel((framed(shown(pixels), color),), lines)


def _labels(pixels: Pixels, truth: Target, said: DrawnPrediction, names: Sequence[str]) -> Panel:
    assert isinstance(truth, Labels)
    assert said.scores is not None
    lines = []
    for label in np.argsort(-said.scores, kind="stable").tolist():
        text, is_named = f"{names[label]} {said.scores[label]:.2f}", said.scores[label] > NAMED
        if is_named and label in truth.present:
            lines.append(Line(text, RIGHT))
        elif is_named:
            lines.append(Line(f"{text}, wrong", WRONG))
        elif label in truth.present:
            lines.append(Line(f"{text}, missed", WRONG))
    is_right = all(line.color == RIGHT for line in lines)
    picture = framed(shown(pixels), RIGHT if is_right else WRONG)
    return Panel((picture,), shortened(lines) or (Line("nothing, right", RIGHT),))


def _mask(pixels: Pixels, truth: Target, said: DrawnPrediction, names: Sequence[str]) -> Panel:
    assert isinstance(truth, Mask)
    assert said.mask is not None
    image = shown(pixels)
    true, found = (_fitted(mask, image.size) for mask in (truth.indices(), said.mask))
    found = np.where(true == IGNORED, np.uint8(IGNORED), found)
    either = np.bincount(np.concatenate([true, found], axis=None), minlength=256)[: len(names)]
    lines = []
    for label in np.argsort(-either, kind="stable")[: np.count_nonzero(either)].tolist():
        both = np.count_nonzero((true == label) & (found == label))
        iou = both / (either[label] - both)
        lines.append(Line(f"{names[label]}, IoU {iou:.2f}", swatch=class_color(label)))
    pictures = tuple(tinted(image, mask) for mask in (true, found))
    return Panel(pictures, shortened(lines, LEGEND_MAX) or (Line("no pixel that counts", SOFT),))


def _objects(pixels: Pixels, truth: Target, said: DrawnPrediction, names: Sequence[str]) -> Panel:
    assert isinstance(truth, Objects)
    assert said.objects is not None
    assert said.scores is not None
    order = np.argsort(-said.scores, kind="stable")
    kept = order[said.scores[order] >= said.score_min]
    found, scores = said.objects.only(kept), said.scores[kept]
    true = truth.only(np.flatnonzero(~truth.crowd))
    n_drawn = max(OBJECTS_MAX, len(true))
    counts = Counter([*true.labels.tolist(), *found.labels.tolist()])
    lines = []
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        n_true, n_found = (int((part.labels == label).sum()) for part in (true, found))
        text = f"{names[label]}: {n_true} true, {n_found} found"
        lines.append(Line(text, swatch=class_color(label)))
    best = found.only(np.arange(min(len(found), n_drawn)))
    texts = [f"{names[n]} {score_text(s)}" for n, s in zip(best.labels, scores, strict=False)]
    pictures = (
        with_objects(pixels, true, [names[label] for label in true.labels]),
        with_objects(pixels, best, texts),
    )
    below = shortened(lines, LEGEND_MAX) or (Line("nothing true, nothing found", SOFT),)
    if len(found) > n_drawn:
        below = (*below, Line(f"of those found the best {n_drawn:,} are drawn", SOFT))
    return Panel(pictures, below)


PANELS: dict[TargetKind, Callable[[Pixels, Target, DrawnPrediction, Sequence[str]], Panel]] = {
    "label": _label,
    "labels": _labels,
    "mask": _mask,
    "boxes": _objects,
    "outlines": _objects,
}


def tinted(image: Image.Image, mask: NDArray[np.uint8]) -> Image.Image:
    """Return an image with the color of each pixel's class over it, but where it is ignored."""
    colors = np.array([class_color(label) for label in range(256)], np.float32)
    pixels = np.asarray(image, np.float32)
    mixed = (1 - TINT) * pixels + TINT * colors[mask]
    kept = np.where((mask == IGNORED)[..., None], pixels, mixed)
    return Image.fromarray(kept.round().astype(np.uint8))


def with_objects(pixels: Pixels, objects: Objects, texts: Sequence[str]) -> Image.Image:
    """Return an image with boxes, outlines and texts on it, the first object on top.

    A text that would hide an object is left out: the lines below the picture name the colors.
    """
    height, width = pixels.shape[:2]
    image = shown(pixels)
    scale = np.array([image.width / width, image.height / height] * 2)
    for i in range(len(objects) - 1, -1, -1):
        if objects.segments is not None:
            inside = _filled(rle_of(objects.segments[i], width, height), image.size)
            label = np.uint8(objects.labels[i] % IGNORED)
            image = tinted(image, np.where(inside, label, np.uint8(IGNORED)))
    colors = [class_color(int(label)) for label in objects.labels]
    with_labels(image, objects.boxes * scale, texts, colors)
    return image


def _filled(rle: dict[str, object], size: tuple[int, int]) -> NDArray[np.bool_]:
    from faster_coco_eval.core import mask as coco

    return _fitted(coco.decode(rle), size) > 0


def _fitted(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    image = Image.fromarray(np.ascontiguousarray(mask, np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.NEAREST))
