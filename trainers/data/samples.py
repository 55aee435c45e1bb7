"""A dataset in memory or on disk behind one interface, with equal pixels either way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data.decoded import DECODING
from archfront.trainers.data.disk_cache import DiskCache
from archfront.trainers.data.image_files import ValueRange
from archfront.trainers.data.images import Pixels
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.summary import summarize, summarize_tiles
from archfront.trainers.data.tile_samples import tiles_to_learn
from archfront.trainers.data.tiles import Tiling
from archfront.trainers.data.verify import Sample
from archfront.trainers.dataset_summary import DatasetSummary
from archfront.trainers.errors import DataError
from archfront.trainers.threads import threads

SHARED_MIN_MB = 4.0  # smaller sets are resized sooner than they are read
RESIZED = "images.npy"
CHUNK = 64  # images a thread resizes before it takes the next ones

Key = tuple[str, tuple[int | float | str, ...]]


class PixelCache:
    """Resized images of a process, the least recently used dropped first.

    A size is held in memory only when all splits fit at once, so that training and validation
    images never push each other out. Larger sets are shared with the machine's other processes,
    where there is a disk cache.

    Args:
        limit_bytes: What all that is held may take.
        sizes: Width and height of each image of the whole dataset.
        disk_cache: Where resized images are shared; None for nowhere.
        fingerprint: Of the dataset.
    """

    def __init__(
        self,
        limit_bytes: int,
        sizes: Sequence[tuple[int, int]],
        disk_cache: DiskCache | None = None,
        fingerprint: str = "",
    ) -> None:
        self._limit = limit_bytes
        self._sizes = sizes
        self._disk_cache = disk_cache
        self._fingerprint = fingerprint
        self._held: OrderedDict[Key, NDArray[np.uint8]] = OrderedDict()

    def fits(self, preprocess: Preprocess) -> bool:
        """Return whether every image of the dataset, or every tile, fits at this size."""
        tiling = preprocess.tiling
        n_inputs = (
            len(self._sizes)
            if tiling is None
            else sum(tiling.count(width, height) for width, height in self._sizes)
        )
        return n_inputs * preprocess.channels * preprocess.input_size**2 <= self._limit

    def get(
        self, split: str, samples: tuple[Sample, ...], preprocess: Preprocess
    ) -> NDArray[np.uint8]:
        """Return the images of a split, uint8 ``(N, C, S, S)``."""
        key = (split, preprocess.geometry)
        if key not in self._held:
            needed = len(samples) * preprocess.channels * preprocess.input_size**2
            while self._held and self.held_bytes + needed > self._limit:
                self._held.popitem(last=False)
            is_large = self._disk_cache is not None and needed >= SHARED_MIN_MB * 1e6
            shared = self._shared(split, samples, preprocess) if is_large else None
            self._held[key] = _stacked(samples, preprocess) if shared is None else shared
        self._held.move_to_end(key)
        return self._held[key]

    def _shared(
        self, split: str, samples: tuple[Sample, ...], preprocess: Preprocess
    ) -> NDArray[np.uint8] | None:
        assert self._disk_cache is not None
        geometry = "-".join(map(str, (*preprocess.geometry, DECODING)))

        def make(folder: Path) -> None:
            np.save(folder / RESIZED, _stacked(samples, preprocess))

        folder = self._disk_cache.folder(f"resized-{self._fingerprint}-{split}-{geometry}", make)
        try:
            # Mapped for copying on write, since torch warns of what cannot be written.
            return None if folder is None else np.load(folder / RESIZED, "c")
        except OSError:  # removed by a process that needed the room
            return None

    @property
    def held_bytes(self) -> int:
        """Return the size of what is held."""
        return sum(images.nbytes for images in self._held.values())


@dataclass(frozen=True)
class Samples:
    """The images and targets of one split, in a fixed order.

    Attributes:
        split: Name of the split.
        samples: Its images.
        cache: Keeps them as networks see them.
        classes: Number of classes.
        cut: Tiles to learn from by their tiling, which are found once for all candidates.
    """

    split: str
    samples: tuple[Sample, ...]
    cache: PixelCache
    classes: int
    cut: dict[Tiling, tuple[Sample, ...]] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.samples)

    def tiles_to_learn(self, tiling: Tiling) -> tuple[Sample, ...]:
        """Return the tiles that a network learns from."""
        if tiling not in self.cut:
            self.cut[tiling] = tiles_to_learn(self.samples, tiling)
        return self.cut[tiling]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Return the label of each image that has one, ``(N,)``."""
        return np.array([sample.target for sample in self.samples], np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of each image, relative to the data's root where it is a file."""
        return tuple(sample.name for sample in self.samples)


@dataclass(frozen=True)
class Dataset:
    """Images by split, all of them known to decode.

    Attributes:
        class_names: Names by label.
        splits: ``train``, ``val`` and, where there is one, ``test``.
        channels: 1 or 3, what the networks should take.
        skipped: What was left out and why.
        fingerprint: Hash over names, contents, labels and splits.
        division: How the splits came about, for people.
        tiling: How images are cut for a network; None where they stay whole.
        value_range: Of images with 16 bits a pixel, the values that became 0 and 255; None where
            there are none.
        has_own_val: Whether the data itself has the split ``val``.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, Samples]
    channels: int
    skipped: tuple[Skipped, ...]
    fingerprint: str
    division: str
    tiling: Tiling | None = None
    value_range: ValueRange | None = None
    has_own_val: bool = False

    def summary(self) -> DatasetSummary:
        """Return what a report says: counts, sizes, what was left out."""
        splits = {name: samples.samples for name, samples in self.splits.items()}
        found = summarize(splits, self.class_names, self.skipped)
        tiles = None
        if self.tiling is not None:
            learned = self.splits["train"].tiles_to_learn(self.tiling)
            tiles = summarize_tiles(splits, self.tiling, learned)
        return replace(
            found,
            channels=self.channels,
            fingerprint=self.fingerprint,
            division=self.division,
            tiles=tiles,
        )


def _stacked(samples: tuple[Sample, ...], preprocess: Preprocess) -> NDArray[np.uint8]:
    side, channels = preprocess.input_size, preprocess.channels
    images = np.empty((len(samples), channels, side, side), np.uint8)

    def fill(start: int) -> None:
        for index, sample in enumerate(samples[start : start + CHUNK], start):
            images[index] = pixels_of(sample, preprocess).transpose(2, 0, 1)

    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(fill, range(0, len(samples), CHUNK)))
    return images


def pixels_of(sample: Sample, preprocess: Preprocess) -> Pixels:
    """Return an image as networks of one size see it.

    Raises:
        DataError: If it can no longer be read.
    """
    try:
        return preprocess.pixels(sample.pixels())
    except DataError as error:
        raise DataError(
            f"{sample.name} could be decoded when the data was loaded, but now {error}. Was it "
            "changed or removed meanwhile?"
        ) from error
