"""The order in which images are seen: light iterables that Lightning takes as loaders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

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
    one batch. Epochs that see a share of the images go on where the one before ended, so that
    none is left out, and all come before any comes again.

    Attributes:
        epoch: Counts from 0; set it before an iteration begins.

    Args:
        images: What is drawn from.
        batch_size: Images of a batch.
        seed: Decides the order.
        share: Of the images that an epoch sees.
        labels: ``(N,)``, where each image has one: a share then has each class in its proportion.
    """

    def __init__(
        self,
        images: Indexed,
        batch_size: int,
        seed: int,
        *,
        share: float = 1.0,
        labels: NDArray[np.int64] | None = None,
    ) -> None:
        self.epoch = 0
        self._images = images
        self._batch_size = batch_size
        self._seed = seed
        self._share = share
        self._labels = np.zeros(len(images), np.int64) if labels is None else labels

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return max(1, int(len(self._images) * self._share) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield uint8 images ``(B, C, S, S)`` and their targets."""
        order = torch.from_numpy(self._whole() if self._share == 1 else self._part())
        return self._images.batches(torch.split(order, self._batch_size)[: len(self)])

    def _whole(self) -> NDArray[Any]:
        rng = np.random.default_rng(derive_seed(self._seed, self.epoch))
        return rng.permutation(len(self._images))

    def _part(self) -> NDArray[Any]:
        """Return the epoch's stretch of the orders of all images, one behind the other."""
        n_images = len(self._images)
        n_seen = min(n_images, len(self) * self._batch_size)
        start = self.epoch * n_seen
        passes = range(start // n_images, (start + n_seen - 1) // n_images + 1)
        # Five parts, so that it is no place of the training itself.
        seeds = [derive_seed(self._seed, one, 0, 0, 0) for one in passes]
        orders = [spread(self._labels, np.random.default_rng(seed)) for seed in seeds]
        start -= passes[0] * n_images
        return np.concatenate(orders)[start : start + n_seen]


def spread(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return an order of all images in which every stretch has each class in its proportion.

    Args:
        labels: ``(N,)``.
        rng: Draws the order within the classes and where each of them begins.
    """
    places = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        places[members] = (np.arange(len(members)) + rng.random()) / len(members)
    order: NDArray[np.int64] = np.argsort(places, kind="stable")
    return order


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
