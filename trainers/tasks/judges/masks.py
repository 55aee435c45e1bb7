"""The evaluator of images in which every pixel has a class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.targets import IGNORED, Mask
from archfront.trainers.data.verify import Sample
from archfront.trainers.tasks.judges.class_map import put_core
from archfront.trainers.tasks.judges.overlap import METRICS, class_iou, margins

# Logits at the size of an image that are held at once, 64 MB: a photo of 12 million pixels with
# 150 classes would have 7 GB.
CHUNK = 16_000_000


class MaskEvaluator:
    """Compares logits ``(N, C, S, S)`` with masks at the size of their images.

    The padding is cut off, the logits are resized to the image, and the largest one is the
    prediction of a pixel: so that no input size is compared with a smaller truth.

    Args:
        samples: The images with their masks, in order.
        class_names: Names by class.
        preprocess: How the images became the input.
    """

    def __init__(
        self, samples: Sequence[Sample], class_names: Sequence[str], preprocess: Preprocess
    ) -> None:
        self._samples = samples
        self._class_names = class_names
        self._preprocess = preprocess
        self._confusions: list[NDArray[np.uint32]] = []
        self._maps: list[NDArray[np.uint8]] = []
        self._n_tiles = 0  # of the image that is not complete yet
        self._classes = np.zeros((0, 0), np.uint8)  # of its pixels

    def update(self, outputs: Mapping[str, torch.Tensor]) -> None:
        """Take in the logits of the next images or tiles of them."""
        for logits in outputs["logits"]:
            sample = self._samples[len(self._confusions)]
            if self._preprocess.tiling is not None:
                self._take_tile(sample, logits)
                continue
            across, down = self._preprocess.inside(sample.width, sample.height)
            inside = logits[:, :down, :across]
            self._maps.append(self._square(inside.argmax(dim=0).numpy()))
            bands = labels_at(inside, sample.width, sample.height)
            self._confusions.append(_confusion(sample, bands, len(self._class_names)))

    def _take_tile(self, sample: Sample, logits: torch.Tensor) -> None:
        """Put in the classes of a tile, and judge the image with the last one of its tiles."""
        tiles = self._preprocess.tiles(sample.width, sample.height)
        tile = tiles[self._n_tiles]
        if self._n_tiles == 0:
            self._classes = np.empty((sample.height, sample.width), np.uint8)
        across, down = self._preprocess.inside(tile.width, tile.height)
        found = np.empty((tile.height, tile.width), np.uint8)
        for rows, labels in labels_at(logits[:, :down, :across], tile.width, tile.height):
            found[rows] = labels
        put_core(self._classes, found, tile)
        self._n_tiles = (self._n_tiles + 1) % len(tiles)
        if self._n_tiles == 0:
            size = self._preprocess.inside(sample.width, sample.height)
            small = Image.fromarray(self._classes).resize(size, Image.Resampling.NEAREST)
            self._maps.append(self._square(np.asarray(small)))
            bands = [(slice(0, sample.height), self._classes.astype(np.int64))]
            self._confusions.append(_confusion(sample, bands, len(self._class_names)))

    def _square(self, classes: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the classes of the part of the input that an image fills, in the whole of it."""
        side = self._preprocess.input_size
        square = np.full((side, side), IGNORED, np.uint8)
        square[: classes.shape[0], : classes.shape[1]] = classes
        return square

    def metrics(self) -> dict[str, float]:
        """Return every metric, and ``iou/<class>`` of each class that is true or predicted.

        Raises:
            ValueError: If not all images were taken in.
        """
        total = np.stack(self._checked()).sum(axis=0, dtype=np.int64)
        values = {name: float(metric(*margins(total))) for name, metric in METRICS.items()}
        by_class = zip(self._class_names, class_iou(total), strict=True)
        return values | {f"iou/{name}": float(iou) for name, iou in by_class if np.isfinite(iou)}

    def least_score(self) -> float:
        """Return 0: one class is always the answer."""
        return 0.0

    def saved_predictions(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that metrics and pictures are made of.

        ``images (N,)`` numbers them; ``confusion (N, C, C)`` has the pixels of each, true class
        by predicted class; ``maps (N, S, S)`` the predictions at the input's size, ``IGNORED``
        beside the image.

        Raises:
            ValueError: If not all images were taken in.
        """
        confusion = np.stack(self._checked())
        return {
            "images": np.arange(len(confusion), dtype=np.int64),
            "confusion": confusion,
            "maps": np.stack(self._maps),
        }

    def _checked(self) -> list[NDArray[np.uint32]]:
        if len(self._confusions) != len(self._samples):
            raise ValueError(
                f"{len(self._confusions)} of {len(self._samples)} images were evaluated"
            )
        return self._confusions


def _confusion(
    sample: Sample, bands: Iterable[tuple[slice, NDArray[np.int64]]], classes: int
) -> NDArray[np.uint32]:
    """Return the pixels of an image by true and predicted class, from bands of predictions."""
    assert isinstance(sample.target, Mask)
    true = sample.target.indices()
    counts = np.zeros(classes * classes, np.int64)
    for rows, predicted in bands:
        known = true[rows] != IGNORED
        cells = true[rows][known].astype(np.int64) * classes + predicted[known]
        counts += np.bincount(cells, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.uint32)


def labels_at(
    logits: torch.Tensor, width: int, height: int, *, chunk: int = CHUNK
) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Yield rows of an image and the classes of their pixels, ``(rows, width)``.

    Logits are interpolated as ``torch.nn.functional.interpolate`` does it with ``bilinear``, a
    band of rows at a time.

    Args:
        logits: ``(C, h, w)`` of the same part of the image.
        width: Of the image.
        height: Of the image.
        chunk: Logits that are held at once.
    """
    classes, low_height, _ = logits.shape
    places = ((torch.arange(height) + 0.5) * (low_height / height) - 0.5).clamp(min=0)
    above = places.long().clamp(max=low_height - 1)
    below = (above + 1).clamp(max=low_height - 1)
    share = (places - above).view(-1, 1)
    n_rows = max(1, chunk // (classes * width))
    for start in range(0, height, n_rows):
        rows = slice(start, min(start + n_rows, height))
        band = torch.lerp(logits[:, above[rows]], logits[:, below[rows]], share[rows])
        size = (band.shape[1], width)
        full = F.interpolate(band[None], size=size, mode="bilinear", align_corners=False)[0]
        yield rows, full.argmax(dim=0).numpy()
