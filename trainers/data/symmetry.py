"""Which flips leave a dataset as it is: told by how well flipped images are told from the others.

A classifier two-sample test. Each image is compared with its flipped copy, within its class where
it has one; where even a classifier that saw all other images is right only about as often as a
coin, flipped images are as likely as the others. Source: Lopez-Paz and Oquab 2017 (Revisiting
classifier two-sample tests).

Images are seen in small and in grey: by their places, and by small patterns wherever they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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


def symmetries_of(samples: Sequence[Sample], class_names: Sequence[str]) -> Symmetries | None:
    """Return how well flips of some of the images are told; None of too few images.

    Args:
        samples: The training images.
        class_names: Names by label.

    Raises:
        DataError: If one can no longer be read.
    """
    sizes = np.array([sample.width * sample.height for sample in samples])
    chosen = [samples[row] for row in chosen_rows(sizes)]

    def seen(sample: Sample) -> Pixels:
        is_placed = isinstance(sample.target, Objects | Mask)
        limit = PixelLimit(sample.width * sample.height, not is_placed, sample.value_range)
        return thumbnail(grey_image(read_shrunk(sample.source, ANALYZED_PX, limit).pixels))

    with ThreadPoolExecutor(threads()) as pool:
        thumbs = list(pool.map(seen, chosen))
    return told_apart(np.array(thumbs), [sample.target for sample in chosen], class_names)


def chosen_rows(sizes: NDArray[np.int64]) -> list[int]:
    """Return the rows of the images that are compared, evenly from all of them.

    Args:
        sizes: Pixels of each image, ``(N,)``.
    """
    wished = MOST_PIXELS / max(float(np.median(sizes)), 1.0) if len(sizes) else 0.0
    n = min(len(sizes), int(min(max(wished, LEAST), MOST)))
    return [round(place) for place in np.linspace(0, len(sizes) - 1, n).tolist()]


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
    return Symmetries(len(thumbs), n_of_class, **found)


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


def _kernel(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the products of differences, each column of which counts alike."""
    spread = np.sqrt((part**2).mean(axis=0))
    if not spread.any():
        return np.zeros((len(part), len(part)))
    part = part / (spread + LEAST_SPREAD * spread.max())
    products: NDArray[np.float64] = part @ part.T
    products /= part.shape[1]
    return products
