"""The evaluator of images in which every pixel has a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.targets import IGNORED, Mask
from archfront.trainers.data.verify import Sample
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

    def update(self, outputs: Mapping[str, torch.Tensor]) -> None:
        """Take in the logits of the next images."""
        for logits in outputs["logits"]:
            sample = self._samples[len(self._confusions)]
            across, down = self._preprocess.inside(sample.width, sample.height)
            inside = logits[:, :down, :across]
            square = np.full(logits.shape[1:], IGNORED, np.uint8)
            square[:down, :across] = inside.argmax(dim=0).numpy()
            self._maps.append(square)
            self._confusions.append(self._confusion(sample, inside))

    def metrics(self) -> dict[str, float]:
        """Return every metric, and ``iou/<class>`` of each class that is true or predicted.

        Raises:
            ValueError: If not all images were taken in.
        """
        total = np.stack(self._checked()).sum(axis=0, dtype=np.int64)
        values = {name: float(metric(*margins(total))) for name, metric in METRICS.items()}
        by_class = zip(self._class_names, class_iou(total), strict=True)
        return values | {f"iou/{name}": float(iou) for name, iou in by_class if np.isfinite(iou)}

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

    def _confusion(self, sample: Sample, logits: torch.Tensor) -> NDArray[np.uint32]:
        assert isinstance(sample.target, Mask)
        true = sample.target.indices()
        classes = len(logits)
        counts = np.zeros(classes * classes, np.int64)
        for rows, predicted in labels_at(logits, sample.width, sample.height):
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
