"""The targets of a split for a network of one input size, batch by batch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from archfront.trainers.data.objects import resized_rle
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.targets import IGNORED, Labels, Mask, Objects
from archfront.trainers.data.verify import Sample

# One entry an image: ``boxes (K, 4)`` x1, y1, x2, y2 in input pixels, ``labels (K,)`` and, where
# the data has outlines, ``masks (K, S, S)`` uint8.
ObjectTargets = list[dict[str, Tensor]]
Targets = Tensor | ObjectTargets


class BatchTargets(Protocol):
    """The targets of a split at one input size."""

    def of(self, indices: Tensor) -> Targets:
        """Return the targets of the images with these indices ``(B,)``."""


def batch_targets(samples: Sequence[Sample], preprocess: Preprocess, classes: int) -> BatchTargets:
    """Return the targets of samples for a network, by their kind."""
    match samples[0].target:
        case Labels():
            return _Several(samples, classes)
        case Mask():
            return _Masks(samples, preprocess)
        case Objects():
            return _Boxes(samples, preprocess)
    return _Ones(samples)


class NoTargets:
    """The targets of what is only predicted on."""

    def of(self, indices: Tensor) -> ObjectTargets:
        """Return nothing."""
        return []


class _Ones:
    """Labels ``(B,)`` int64."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._labels = torch.tensor([sample.target for sample in samples], dtype=torch.int64)

    def of(self, indices: Tensor) -> Tensor:
        return self._labels[indices]


class _Several:
    """1 for every class that an image shows, else 0: ``(B, classes)`` float32."""

    def __init__(self, samples: Sequence[Sample], classes: int) -> None:
        self._shown = torch.zeros(len(samples), classes)
        for row, sample in zip(self._shown, samples, strict=True):
            assert isinstance(sample.target, Labels)
            row[list(sample.target.present)] = 1.0

    def of(self, indices: Tensor) -> Tensor:
        return self._shown[indices]


class _Masks:
    """Class indices ``(B, S, S)`` uint8, ``IGNORED`` where there is no image.

    They are kept compressed, since those of a thousand tiles of 512 px have 262 MB.
    """

    def __init__(self, samples: Sequence[Sample], preprocess: Preprocess) -> None:
        self._side = preprocess.input_size
        self._masks = [self._packed(sample, preprocess) for sample in samples]

    def _packed(self, sample: Sample, preprocess: Preprocess) -> bytes:
        assert isinstance(sample.target, Mask)
        across, down = preprocess.inside(sample.width, sample.height)
        mask = Image.fromarray(sample.target.indices())
        square = np.full((self._side, self._side), IGNORED, np.uint8)
        small = mask.resize((across, down), Image.Resampling.NEAREST)
        square[:down, :across] = np.asarray(small)
        return zlib.compress(square.tobytes(), level=1)

    def of(self, indices: Tensor) -> Tensor:
        raw = b"".join(zlib.decompress(self._masks[index]) for index in indices.tolist())
        masks = np.frombuffer(raw, np.uint8).reshape(-1, self._side, self._side)
        return torch.from_numpy(masks.copy())


class _Boxes:
    """Boxes, labels and masks of the objects that are no crowd."""

    def __init__(self, samples: Sequence[Sample], preprocess: Preprocess) -> None:
        self._side = preprocess.input_size
        self._boxes: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._outlines: list[list[dict[str, Any]] | None] = []
        for sample in samples:
            assert isinstance(sample.target, Objects)
            objects = sample.target.only(np.flatnonzero(~sample.target.crowd))
            scale = preprocess.scale(sample.width, sample.height)
            scales = np.array([*scale, *scale], np.float32)
            self._boxes.append(torch.from_numpy(objects.boxes * scales))
            self._labels.append(torch.from_numpy(objects.labels))
            self._outlines.append(self._resized(objects, sample, scale))

    def _resized(
        self, objects: Objects, sample: Sample, scale: tuple[float, float]
    ) -> list[dict[str, Any]] | None:
        if objects.segments is None:
            return None
        size = sample.width, sample.height
        return [resized_rle(segment, size, scale, self._side) for segment in objects.segments]

    def of(self, indices: Tensor) -> ObjectTargets:
        return [self._one(index) for index in indices.tolist()]

    def _one(self, index: int) -> dict[str, Tensor]:
        target = {"boxes": self._boxes[index], "labels": self._labels[index]}
        outlines = self._outlines[index]
        if outlines is not None:
            target["masks"] = _decoded(outlines, self._side)
        return target


def _decoded(outlines: list[dict[str, Any]], side: int) -> Tensor:
    """Return masks ``(K, S, S)``."""
    from faster_coco_eval.core import mask as coco

    if not outlines:
        return torch.zeros(0, side, side, dtype=torch.uint8)
    masks = coco.decode(outlines)
    return torch.from_numpy(np.ascontiguousarray(masks.transpose(2, 0, 1)))
