"""The order in which images are seen: light iterables that Lightning takes as loaders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from archfront.trainers.seeds import derive_seed

if TYPE_CHECKING:
    from archfront.trainers.data.image_set import Batch


class Indexed(Protocol):
    """Images of a split, or features of them, drawn from by index."""

    def __len__(self) -> int:
        """Return the number of images."""

    def batches(self, order: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """Yield images and targets of each batch of indices."""


class TrainBatches:
    """Batches of one epoch, all of them full, in an order drawn from (seed, epoch).

    The few images that fill no batch are left out of that epoch. A set smaller than a batch is
    one batch.

    Attributes:
        epoch: Counts from 0; set it before an iteration begins.
    """

    def __init__(self, images: Indexed, batch_size: int, seed: int) -> None:
        self.epoch = 0
        self._images = images
        self._batch_size = batch_size
        self._seed = seed

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return max(1, len(self._images) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield uint8 images ``(B, C, S, S)`` and their targets."""
        rng = np.random.default_rng(derive_seed(self._seed, self.epoch))
        order = torch.from_numpy(rng.permutation(len(self._images)))
        return self._images.batches(torch.split(order, self._batch_size)[: len(self)])


class EvalBatches:
    """All images in their own order."""

    def __init__(self, images: Indexed, batch_size: int) -> None:
        self._images = images
        self._batch_size = batch_size

    def __len__(self) -> int:
        """Return the number of batches, the last one possibly smaller."""
        return -(-len(self._images) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield uint8 images ``(B, C, S, S)`` and their targets."""
        order = torch.arange(len(self._images))
        return self._images.batches(torch.split(order, self._batch_size))
