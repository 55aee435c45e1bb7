"""One parallel pass over all images of a dataset, in memory that hardly grows with them."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from archfront.search.profile.dataset_profile import ImageProfile, MaskProfile, ObjectProfile
from archfront.search.profile.distribution import Numbers
from archfront.search.profile.faults import ImageRef, SmallObject
from archfront.search.profile.look import Facts, Look, look
from archfront.search.profile.object_counts import MaskCounts, ObjectCounts
from archfront.search.profile.stored_rows import StoredRows
from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.shrunk import THUMB
from archfront.trainers.data.targets import Mask, Objects, Target
from archfront.trainers.threads import threads

Progress = Callable[[int, int], None]
# Images that a thread looks at before it takes the next ones, and such tasks a thread waits for.
CHUNK, AHEAD = 16, 3
# Colors and texture of an image: three means, three deviations, entropy, edges.
N_TRAITS = 8


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """One image that can be used.

    Attributes:
        index: Its row in the arrays of ``Gathered``.
        part: In which the data has it.
        name: Of the image.
        target: What it shows, checked.
        size: Width and height.
        group: What the data itself says that it belongs to; empty where it does not.
    """

    index: int
    part: str
    name: str
    target: Target
    size: tuple[int, int]
    group: str = ""


@dataclass(frozen=True)
class Gathered:
    """What one pass over the images found.

    Attributes:
        entries: The images that can be used, in the order of the rows below.
        problems: What is wrong with the others, and with objects that were left out.
        thumbs: Grey values in small, uint8 ``(N, THUMB, THUMB)``, in a file.
        traits: Colors and texture, float32 ``(N, N_TRAITS)``.
        keys: Hashes of the pixels.
        images: Their profile.
        objects: Of the tasks with objects.
        masks: Of the tasks with masks.
        smallest: The smallest objects.
    """

    entries: list[Entry]
    problems: list[Skipped]
    thumbs: StoredRows
    traits: NDArray[np.float32]
    keys: list[bytes]
    images: ImageProfile
    objects: ObjectProfile | None
    masks: MaskProfile | None
    smallest: tuple[SmallObject, ...]


def gather(raw: RawData, limit: PixelLimit, progress: Progress | None = None) -> Gathered:
    """Look at every image once, in threads, and return what all of them are like.

    Args:
        raw: The images.
        limit: How large an image may be.
        progress: Called with the images done and in total.
    """
    samples = [(part, one) for part, some in raw.parts.items() for one in some]
    n, n_classes = len(samples), len(raw.class_names)
    thumbs = StoredRows((THUMB, THUMB))
    traits = np.empty((n, N_TRAITS), np.float32)
    keys: list[bytes] = []
    entries: list[Entry] = []
    problems: list[Skipped] = []
    images, objects, masks = _ImageCounts(), ObjectCounts(), MaskCounts(n_classes)
    kinds: set[type] = set()
    sizes: dict[tuple[int, int], tuple[int, int]] = {}  # each once in memory
    looks = _looks([one for _, one in samples], n_classes, limit)
    for done, ((part, one), found) in enumerate(zip(samples, looks, strict=True), 1):
        problems += found.problems
        if found.facts is not None:
            facts, index = found.facts, len(entries)
            size = sizes.setdefault(asked := (facts.width, facts.height), asked)
            entries.append(Entry(index, part, one.name, facts.target, size, one.group))
            thumbs.append(facts.thumb)
            traits[index] = _traits(facts)
            keys.append(facts.key)
            images.add(facts)
            kinds.add(type(facts.target))
            if isinstance(facts.target, Objects):
                objects.add(ImageRef(part, one.name), facts.target, size, facts.boundary)
            elif isinstance(facts.target, Mask):
                masks.add(facts.target, size, facts.boundary or 0.0)
        if progress is not None:
            progress(done, n)
    return Gathered(
        entries,
        problems,
        thumbs,
        traits[: len(entries)],
        keys,
        images.profile(),
        objects.profile(raw.class_names) if Objects in kinds else None,
        masks.profile(raw.class_names) if Mask in kinds else None,
        objects.smallest(raw.class_names),
    )


def _looks(samples: Sequence[RawSample], n_classes: int, limit: PixelLimit) -> Iterator[Look]:
    """Yield what is known of each image, with a bounded number of them looked at ahead."""

    def look_at(some: list[RawSample]) -> list[Look]:
        return [look(one, n_classes, limit) for one in some]

    chunks = _chunks(samples)
    with ThreadPoolExecutor(threads()) as pool:
        try:
            waiting: deque[Future[list[Look]]] = deque(
                pool.submit(look_at, some) for some in islice(chunks, threads() * AHEAD)
            )
            while waiting:
                found = waiting.popleft().result()
                waiting.extend(pool.submit(look_at, some) for some in islice(chunks, 1))
                yield from found
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _chunks(samples: Iterable[RawSample]) -> Iterator[list[RawSample]]:
    left = iter(samples)
    while some := list(islice(left, CHUNK)):
        yield some


def _traits(facts: Facts) -> list[float]:
    pairs = zip(facts.means, facts.squares, strict=True)
    deviations = (math.sqrt(max(0.0, square - mean**2)) for mean, square in pairs)
    return [*facts.means, *deviations, facts.entropy / 8, facts.edges]


@dataclass
class _ImageCounts:
    """Counts of images."""

    width: Numbers = field(default_factory=Numbers)
    height: Numbers = field(default_factory=Numbers)
    longer_side: Numbers = field(default_factory=Numbers)
    aspect: Numbers = field(default_factory=Numbers)
    entropy: Numbers = field(default_factory=Numbers)
    edges: Numbers = field(default_factory=Numbers)
    bits_per_pixel: Numbers = field(default_factory=Numbers)
    bits: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    moments: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 3)))
    n: int = 0
    n_grey: int = 0

    def add(self, facts: Facts) -> None:
        """Count an image."""
        self.width.add(facts.width)
        self.height.add(facts.height)
        self.longer_side.add(max(facts.width, facts.height))
        self.aspect.add(facts.width / facts.height)
        self.entropy.add(facts.entropy)
        self.edges.add(facts.edges)
        if facts.bits_per_pixel is not None:
            self.bits_per_pixel.add(facts.bits_per_pixel)
            self.formats[facts.format] += 1
        self.bits[str(facts.bits)] += 1
        self.moments += np.array([facts.means, facts.squares])
        self.n += 1
        self.n_grey += facts.is_grey

    def profile(self) -> ImageProfile:
        """Return what was counted."""
        n = max(self.n, 1)
        mean, square = self.moments / n
        std = np.sqrt((square - mean**2).clip(0))
        channels = 1 if self.n == self.n_grey else 3
        return ImageProfile(
            width=self.width.distribution(),
            height=self.height.distribution(),
            longer_side=self.longer_side.distribution(),
            aspect=self.aspect.distribution(),
            grey_share=self.n_grey / n,
            channels=channels,
            bit_depths=dict(sorted(self.bits.items())),
            formats=dict(sorted(self.formats.items())),
            mean=tuple(mean[:channels].tolist()),
            std=tuple(std[:channels].tolist()),
            entropy=self.entropy.distribution(),
            edge_density=self.edges.distribution(),
            bits_per_pixel=self.bits_per_pixel.distribution(),
        )
