"""Images of one split at one size, with their targets: the part of the data that needs torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archfront.trainers.data.batch_targets import (
    BatchTargets,
    NoTargets,
    Targets,
    batch_targets,
)
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.samples import Samples, pixels_of
from archfront.trainers.data.tile_samples import tile_samples
from archfront.trainers.data.verify import Sample
from archfront.trainers.threads import threads

AHEAD = 2  # batches that are read while one is trained on

Batch = tuple[Tensor, Targets]


class ImageSet(torch.utils.data.Dataset[Tensor]):
    """One split at one size: uint8 images, or tiles of them, and their targets.

    Attributes:
        targets: Targets by the indices of a batch.
        tensor: All images, uint8 ``(N, C, S, S)``, when they fit into memory, else None. It is
            shared: do not write to it.
    """

    def __init__(
        self,
        samples: tuple[Sample, ...],
        preprocess: Preprocess,
        images: NDArray[np.uint8] | None,
        targets: BatchTargets,
    ) -> None:
        self.targets = targets
        self.tensor = None if images is None else torch.from_numpy(images)
        self._samples = samples
        self._preprocess = preprocess

    @classmethod
    def of(cls, samples: Samples, preprocess: Preprocess) -> Self:
        """Return the images of a split at one size, in memory when they fit.

        They are remembered by the process for the next candidate of the same size. Where images
        are cut, these are all tiles of each image in order, without targets.
        """
        if preprocess.tiling is None:
            return cls._of(samples, samples.samples, preprocess)
        tiles = tile_samples(samples.samples, preprocess.tiling)
        return cls._of(samples, tiles, preprocess, NoTargets())

    @classmethod
    def to_learn(cls, samples: Samples, preprocess: Preprocess) -> Self:
        """Return what a network learns from: the same images, or some of the tiles of them."""
        if preprocess.tiling is None:
            return cls.of(samples, preprocess)
        tiles = samples.tiles_to_learn(preprocess.tiling)
        name = f"{samples.split}-learned"
        return cls._of(replace(samples, split=name), tiles, preprocess)

    @classmethod
    def _of(
        cls,
        samples: Samples,
        shown: tuple[Sample, ...],
        preprocess: Preprocess,
        targets: BatchTargets | None = None,
    ) -> Self:
        is_held = samples.cache.fits(preprocess)
        images = samples.cache.get(samples.split, shown, preprocess) if is_held else None
        targets = targets or batch_targets(shown, preprocess, samples.classes)
        return cls(shown, preprocess, images, targets)

    def __len__(self) -> int:
        """Return the number of images, or of tiles."""
        return len(self._samples)

    def __getitem__(self, index: int) -> Tensor:
        """Return one image, uint8 ``(C, S, S)``."""
        if self.tensor is not None:
            return self.tensor[index]
        pixels = pixels_of(self._samples[index], self._preprocess)
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    def batches(self, order: Iterable[Tensor]) -> Iterator[Batch]:
        """Yield images ``(B, C, S, S)`` and their targets for each batch of indices.

        From memory by indexing; else threads read a few batches ahead. The order is that of
        ``order`` either way.

        Args:
            order: int64 indices of each batch, ``(B,)``.
        """
        if self.tensor is not None:
            for indices in order:
                yield self.tensor[indices], self.targets.of(indices)
            return
        waiting: deque[tuple[Tensor, list[Future[Tensor]]]] = deque()
        with ThreadPoolExecutor(threads()) as pool:
            try:
                for indices in order:
                    read = [pool.submit(self.__getitem__, i) for i in indices.tolist()]
                    waiting.append((indices, read))
                    if len(waiting) > AHEAD:
                        yield self._collected(*waiting.popleft())
                while waiting:
                    yield self._collected(*waiting.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _collected(self, indices: Tensor, read: list[Future[Tensor]]) -> Batch:
        return torch.stack([future.result() for future in read]), self.targets.of(indices)
