"""Which flips leave a dataset as it is: told by how well flipped images are told from the others.

A classifier two-sample test. Each image is compared with its flipped copy, within its class where
it has one; where even a classifier that saw all other images is right only about as often as a
coin, flipped images are as likely as the others. Source: Lopez-Paz and Oquab 2017 (Revisiting
classifier two-sample tests).

Images are seen in small and in grey: by their places, and by small patterns wherever they are; so
are some of their objects. Whether that shows anything of what matters is told by the classes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.images import Pixels
from archfront.trainers.data.shrunk import ANALYZED_PX, THUMB, grey_image, read_shrunk, thumbnail
from archfront.trainers.data.targets import Mask, Objects, Target
from archfront.trainers.data.verify import Sample
from archfront.trainers.dataset_summary import Symmetries, Told
from archfront.trainers.threads import threads

Images = NDArray[np.float32]
Rows = NDArray[np.float32]
Name = Literal["mirrored", "upside_down", "transposed"]
# Each is its own inverse, so that an image and its copy can be exchanged where the data allows it.
FLIPS: Mapping[Name, Callable[[Images], Images]] = {
    "mirrored": lambda grey: grey[:, :, ::-1],
    "upside_down": lambda grey: grey[:, ::-1],
    "transposed": lambda grey: grey.swapaxes(1, 2),
}
# Images that are compared at most; at least so many where they are large, and then so many pixels.
MOST, LEAST, MOST_PIXELS = 1000, 200, 3e8
NO_CLASS = -1  # the label of an image without one
# Fewer say nothing.
FEWEST = 40
OF_AN_IMAGE = 3  # objects that are compared, at most
# Classes of fewer images are not looked at one by one.
OF_A_CLASS = 20
SIDE = THUMB // 2  # px of an image seen by its places
LIKE = 0.2  # the cosine of a patch and a pattern from which it is shown
CHUNK = 64  # images of which patches are held at a time
PATCH, PATTERNS = 7, 48  # px of a pattern, and patterns at each of two scales
SAME_CLASS = 3.0  # an image of the same class weighs so much more
RIDGE = 1.0  # of the mean squared length of a difference
LEAST_SPREAD = 0.1  # of a patch, where the whole image has 1
TINY = 1e-9  # answers below are draws: of images that are equal to their copies


def symmetries_of(
    samples: Sequence[Sample], class_names: Sequence[str]
) -> tuple[Symmetries | None, Symmetries | None]:
    """Return how well flips of images are told, and flips of their objects; None of too few.

    Args:
        samples: The training images.
        class_names: Names by label.

    Raises:
        DataError: If one can no longer be read.
    """
    sizes = np.array([sample.width * sample.height for sample in samples])
    chosen = [samples[row] for row in chosen_rows(sizes)]
    with ThreadPoolExecutor(threads()) as pool:
        seen = list(pool.map(_seen, chosen))
    images = told_apart(
        np.array([one.thumb for one in seen]), [sample.target for sample in chosen], class_names
    )
    crops = [crop for one in seen for crop in one.objects]
    crops = [crops[row] for row in _spread(len(crops), MOST)]
    thumbs = np.array([thumb for thumb, _ in crops])
    return images, told_apart(thumbs, [label for _, label in crops], class_names)


@dataclass(frozen=True)
class _Seen:
    """An image in small, and some of its objects with their labels."""

    thumb: Pixels
    objects: list[tuple[Pixels, int]]


def _seen(sample: Sample) -> _Seen:
    target = sample.target
    is_placed = isinstance(target, Objects | Mask)
    limit = PixelLimit(sample.width * sample.height, not is_placed, sample.value_range)
    pixels = read_shrunk(sample.source, ANALYZED_PX, limit).pixels
    cut = [] if not isinstance(target, Objects) else _cut(pixels, target, sample.width)
    return _Seen(thumbnail(grey_image(pixels)), cut)


def _cut(pixels: Pixels, objects: Objects, width: int) -> list[tuple[Pixels, int]]:
    """Return a few objects of an image in squares around them, with their labels.

    Args:
        pixels: Of the image, perhaps shrunk.
        objects: In pixels of the whole image.
        width: Of the whole image.
    """
    boxes = objects.boxes[~objects.crowd] * (pixels.shape[1] / width)
    labels = objects.labels[~objects.crowd]
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    able = np.flatnonzero((sides >= SIDE / 2) & (sides <= min(pixels.shape[:2])))
    found = []
    for row in able[_spread(len(able), OF_AN_IMAGE)].tolist():
        side = math.ceil(sides[row])
        middle = (boxes[row, :2] + boxes[row, 2:]) / 2
        most = np.array([pixels.shape[1], pixels.shape[0]]) - side
        x, y = np.clip((middle - side / 2).round().astype(int), 0, most.clip(0)).tolist()
        crop = pixels[y : y + side, x : x + side]
        found.append((thumbnail(grey_image(crop)), int(labels[row])))
    return found


def chosen_rows(sizes: NDArray[np.int64]) -> list[int]:
    """Return the rows of the images that are compared, evenly from all of them.

    Args:
        sizes: Pixels of each image, ``(N,)``.
    """
    wished = MOST_PIXELS / max(float(np.median(sizes)), 1.0) if len(sizes) else 0.0
    return _spread(len(sizes), int(min(max(wished, LEAST), MOST)))


def _spread(n: int, n_chosen: int) -> list[int]:
    """Return so many rows of n, evenly from all; all of them where they are fewer."""
    places = np.linspace(0, n - 1, min(n, n_chosen)).tolist()
    return [round(place) for place in places]


def told_apart(
    thumbs: Pixels, targets: Sequence[Target], class_names: Sequence[str]
) -> Symmetries | None:
    """Return how well each flip is told; None of too few images.

    Args:
        thumbs: Of the images, ``(N, T, T)``.
        targets: Of them. Where each is a label, images are compared within their class.
        class_names: Names by label.
    """
    if len(thumbs) < FEWEST:
        return None
    labels = np.array([t if isinstance(t, int) else NO_CLASS for t in targets])
    counts = Counter(labels[labels != NO_CLASS].tolist())
    of_class = {label: n for label, n in sorted(counts.items()) if n >= OF_A_CLASS}
    grey = _normal(thumbs.reshape(len(thumbs), -1)).reshape(thumbs.shape)
    patterns = [_patterns(images) for images in _scales(grey)]
    plain = _described(grey, patterns)
    found = {}
    for name, flip in FLIPS.items():
        right = _told(plain - _described(flip(grey), patterns), labels)
        shares = {class_names[label]: float(right[labels == label].mean()) for label in of_class}
        found[name] = Told(float(right.mean()), shares)
    n_of_class = {class_names[label]: n for label, n in of_class.items()}
    several = len(counts) > 1
    return Symmetries(
        len(thumbs),
        n_of_class,
        **found,
        class_right=_class_right(plain, labels) if several else None,
        class_chance=max(counts.values()) / len(thumbs) if several else 0.0,
    )


def _described(grey: Images, patterns: Sequence[Rows]) -> Rows:
    """Return images by their places and by their patterns, ``(N, SIDE**2 + 2 PATTERNS)``."""
    scales = _scales(grey)
    shown = [_shown(images, each) for images, each in zip(scales, patterns, strict=True)]
    return np.concatenate([scales[-1].reshape(len(grey), -1), *shown], axis=1)


def _scales(grey: Images) -> tuple[Images, Images]:
    """Return images ``(N, 2 SIDE, 2 SIDE)`` as they are and at half their size."""
    return grey, grey.reshape(-1, SIDE, 2, SIDE, 2).mean(axis=(2, 4))


def _shown(images: Images, patterns: Rows) -> Rows:
    """Return how much of each pattern images show anywhere, ``(N, PATTERNS)``."""
    parts = []
    for start in range(0, len(images), CHUNK):
        patches = _patches(images[start : start + CHUNK])
        parts.append((patches @ patterns - LIKE).clip(0).mean(axis=1))
    return np.concatenate(parts)


def _patterns(images: Images) -> Rows:
    """Return patterns of the images, ``(PATCH**2, PATTERNS)``, with contrast where there is."""
    rng = np.random.default_rng(0)
    patches = _patches(images[rng.integers(len(images), size=CHUNK)]).reshape(-1, PATCH**2)
    strong = patches[np.linalg.norm(patches, axis=1) > 0.5]
    some = strong if len(strong) >= PATTERNS else patches
    return some[rng.choice(len(some), PATTERNS, replace=False)].T


def _patches(images: Images) -> Rows:
    """Return patches around their means, of unit length with contrast: ``(N, P, PATCH**2)``."""
    step = images.shape[-1] // SIDE
    windows = sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))[:, ::step, ::step]
    n = len(images)
    patches = _normal(windows.reshape(-1, PATCH**2)) / np.float32(PATCH)
    return patches.reshape(n, -1, PATCH**2)


def _normal(rows: NDArray[Any]) -> Rows:
    """Return rows with mean 0, and about variance 1 where they have contrast."""
    centered: Rows = rows - rows.mean(axis=1, keepdims=True, dtype=np.float32)
    normal: Rows = centered / (centered.std(axis=1, keepdims=True) + LEAST_SPREAD)
    return normal


def _told(differences: Rows, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return whether each image is told from its copy by all others: 1, 0, or 0.5 for a draw.

    Ridge regression on differences, in which images of the same class weigh more. Each answer is
    that of the regression without its image, in closed form.
    """
    placed, shown = np.split(differences.astype(np.float64), [SIDE**2], axis=1)
    kernel = _kernel(placed)  # changed in place: it is the largest that a profile holds
    kernel += _kernel(shown)
    if len(set(labels.tolist())) > 1:
        for label, row in zip(labels.tolist(), kernel, strict=True):
            row[labels == label] *= 1 + SAME_CLASS
    size = float(np.trace(kernel)) / len(kernel)
    if size == 0:
        return np.full(len(kernel), 0.5)
    kernel.flat[:: len(kernel) + 1] += RIDGE * size
    inverse = np.linalg.inv(kernel)
    answers = 1 - inverse.sum(axis=1) / np.diag(inverse)
    return np.where(np.abs(answers) < TINY, 0.5, (answers > 0).astype(np.float64))


def _class_right(described: Rows, labels: NDArray[np.int64]) -> float:
    """Return the share of the images whose class is told by all others, by the same regression."""
    placed, shown = np.split((described - described.mean(axis=0)).astype(np.float64), [SIDE**2], 1)
    kernel = _kernel(placed) + _kernel(shown)
    size = float(np.trace(kernel)) / len(kernel)
    if size == 0:
        return 0.0
    wanted = (labels[:, None] == np.unique(labels)).astype(np.float64)
    inverse = np.linalg.inv(kernel + RIDGE * size * np.eye(len(kernel)))
    answers = wanted - inverse @ (wanted - wanted.mean(axis=0)) / np.diag(inverse)[:, None]
    return float((answers.argmax(axis=1) == wanted.argmax(axis=1)).mean())


def _kernel(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the products of differences, each column of which counts alike."""
    spread = np.sqrt((part**2).mean(axis=0))
    if not spread.any():
        return np.zeros((len(part), len(part)))
    part = part / (spread + LEAST_SPREAD * spread.max())
    products: NDArray[np.float64] = part @ part.T
    products /= part.shape[1]
    return products
