"""Every image is decoded once before anything is trained, so that none breaks a training.

So is its mask; and the boxes of its objects are compared with its size. What is known of a file
from an earlier start (``file_facts.py``) is not read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from archfront.trainers.data.file_facts import FileFacts
from archfront.trainers.data.image_files import DEFAULT, WHOLE_RANGE, PixelLimit, ValueRange
from archfront.trainers.data.images import (
    ImageSource,
    Pixels,
    is_turned_by_exif,
    read_pixels,
    read_with_digest,
)
from archfront.trainers.data.objects import checked_objects
from archfront.trainers.data.raw import RawSample, Skipped
from archfront.trainers.data.targets import IGNORED, Indices, Mask, Objects, Target, digest_of
from archfront.trainers.errors import DataError
from archfront.trainers.threads import threads

Progress = Callable[[int, int], None]
Read = Callable[[ImageSource], tuple[Pixels, str]]


@dataclass(frozen=True)
class Sample:
    """One image that was decoded.

    Attributes:
        source: As in ``RawSample``; pixels when they were kept.
        target: As in ``RawSample``, checked.
        name: As in ``RawSample``.
        width: In pixels, after EXIF rotation.
        height: In pixels, after EXIF rotation.
        is_grey: Whether the three channels are equal everywhere.
        digest: SHA-256 of the file, or of the pixels without one.
        value_range: Of 16 bits a pixel, the values that become 0 and 255.
        group: As in ``RawSample``.
    """

    source: ImageSource
    target: Target
    name: str
    width: int
    height: int
    is_grey: bool
    digest: str
    value_range: ValueRange = WHOLE_RANGE
    group: str = ""

    def pixels(self) -> Pixels:
        """Return the pixels, at the size at which the image was verified.

        Raises:
            DataError: If the image can no longer be read; the message is without its name.
        """
        is_placed = isinstance(self.target, Objects | Mask)
        limit = PixelLimit(self.width * self.height, not is_placed, self.value_range)
        return read_pixels(self.source, limit)

    @property
    def n_bytes(self) -> int:
        """Return the size of the decoded pixels."""
        return self.width * self.height * (1 if self.is_grey else 3)


@dataclass(frozen=True)
class Verified:
    """All samples that can be decoded, those that cannot, and objects that were left out."""

    parts: dict[str, list[Sample]]
    broken: list[Skipped]


def verify(
    parts: Mapping[str, tuple[RawSample, ...]],
    n_classes: int,
    *,
    keep_bytes: int,
    progress: Progress | None,
    facts: FileFacts,
    read: Read | None = read_with_digest,
    limit: PixelLimit = DEFAULT,
) -> Verified:
    """Decode every image once, in threads.

    Args:
        parts: Samples of each part.
        n_classes: Number of classes.
        keep_bytes: All decoded pixels are kept if they fit in this, else none, so that memory
            does not depend on which thread came first.
        progress: Called with the images done and in total.
        facts: What is known of files.
        read: Returns the pixels of a source and its digest, or raises a ``DataError``; None to
            decode only images that are not known, and to keep none.
        limit: How large an image that is not known may be.
    """
    is_keeping = read is not None

    def check(raw: RawSample) -> _Checked:
        checked = _check(raw, n_classes, read, facts, limit)
        return checked if is_keeping else replace(checked, pixels=None)

    total = sum(len(samples) for samples in parts.values())
    done = used = 0
    found: dict[str, list[tuple[Sample, Pixels | None]]] = {part: [] for part in parts}
    broken: list[Skipped] = []
    n_threads = threads()
    with ThreadPoolExecutor(n_threads) as pool:
        # A single thread would only wait for another one at each image.
        each = pool.map if n_threads > 1 else map
        for part, samples in parts.items():
            for result in each(check, samples):
                done += 1
                broken += result.problems
                if result.sample is not None:
                    used += result.sample.n_bytes
                    found[part].append((result.sample, result.pixels if is_keeping else None))
                if is_keeping and used > keep_bytes:
                    is_keeping = False
                    found = {p: [(sample, None) for sample, _ in f] for p, f in found.items()}
                if progress is not None:
                    progress(done, total)
    kept = {
        part: [s if pixels is None else replace(s, source=pixels) for s, pixels in pairs]
        for part, pairs in found.items()
    }
    return Verified(kept, broken)


@dataclass(frozen=True)
class _Checked:
    """An image that can be used, if it can, and what is wrong with it."""

    sample: Sample | None
    pixels: Pixels | None
    problems: tuple[Skipped, ...] = ()


def _check(
    raw: RawSample, n_classes: int, read: Read | None, facts: FileFacts, limit: PixelLimit
) -> _Checked:
    pixels = None
    try:
        if read is not None:
            pixels, digest = read(raw.source)
            height, width, channels = pixels.shape
        else:
            height, width, channels, digest = _known_image(raw.source, facts, limit)
    except DataError as error:
        return _Checked(None, None, (Skipped(raw.name, "broken image", str(error)),))
    target, problems = checked_target(
        raw, (width, height), n_classes, lambda mask: _known_mask(mask, facts)
    )
    if target is None:
        return _Checked(None, None, problems)
    sample = Sample(
        raw.source,
        target,
        raw.name,
        width,
        height,
        is_grey=channels == 1,
        digest=digest,
        value_range=limit.value_range,
        group=raw.group,
    )
    return _Checked(sample, pixels, problems)


def _known_image(source: ImageSource, facts: FileFacts, limit: PixelLimit) -> list[Any]:
    """Return height, width, channels and digest of an image, decoded if they are not known."""

    def look() -> list[Any]:
        pixels, digest = read_with_digest(source, limit)
        return [*pixels.shape, digest]

    kind = f"image of up to {limit.pixels} px{', or shrunk' if limit.shrinks else ''}"
    return facts.get(source, kind, look) if isinstance(source, Path) else look()


def _other_size(raw: RawSample, width: int, height: int) -> Skipped:
    assert raw.size is not None
    turned = (
        " (turned: its annotations were made before the rotation that its EXIF data asks for)"
        if raw.size == (height, width)
        else ""
    )
    return Skipped(
        raw.name,
        "image of another size",
        f"{raw.name} has {width} x {height} px and its annotations are for {raw.size[0]} x "
        f"{raw.size[1]}{turned}",
    )


def checked_target(
    raw: RawSample, size: tuple[int, int], n_classes: int, look: Callable[[Mask], list[Any]]
) -> tuple[Target | None, tuple[Skipped, ...]]:
    """Return the part of a target that fits its image, and problems; no target, no image.

    Args:
        raw: The image.
        size: Its width and height as it is decoded.
        n_classes: Number of classes.
        look: Returns what ``seen_mask`` does.
    """
    if raw.size not in (None, size):
        return None, (_other_size(raw, *size),)
    match raw.target:
        case Objects():
            return checked_objects(raw.target, raw.name, *size)
        case Mask():
            return _checked_mask(raw, raw.target, size, n_classes, look)
    return raw.target, ()


def _known_mask(mask: Mask, facts: FileFacts) -> list[Any]:
    if not isinstance(mask.source, Path):
        return seen_mask(mask.indices())
    kind = f"mask as {mask.values}"
    return facts.get(mask.source, kind, lambda: seen_mask(mask.indices()))


def _checked_mask(
    raw: RawSample,
    mask: Mask,
    size: tuple[int, int],
    n_classes: int,
    look: Callable[[Mask], list[Any]],
) -> tuple[Mask | None, tuple[Skipped, ...]]:
    try:
        width, height, counts, digest = look(mask)
    except DataError as error:
        return None, (Skipped(raw.name, "broken mask", str(error)),)
    if (width, height) != size:
        return None, (_mask_of_another_size(raw, (width, height), size),)
    beyond = [n for n, count in enumerate(counts) if count and n_classes <= n != IGNORED]
    if beyond:
        detail = (
            f"the mask has the values {', '.join(map(str, beyond[:5]))} beyond the {n_classes} "
            f"classes; name them in data.classes, or set them to {IGNORED}"
        )
        return None, (Skipped(raw.name, "unknown value in a mask", detail),)
    return replace(mask, counts=tuple(counts[:n_classes]), digest=digest), ()


def seen_mask(indices: Indices) -> list[Any]:
    """Return width, height, the pixels of each class and the digest of a mask."""
    counts = np.bincount(indices.ravel(), minlength=IGNORED + 1).tolist()
    return [indices.shape[1], indices.shape[0], counts, digest_of(indices)]


def _mask_of_another_size(
    raw: RawSample, found: tuple[int, int], size: tuple[int, int]
) -> Skipped:
    is_turned = (
        found == size[::-1] and isinstance(raw.source, Path) and is_turned_by_exif(raw.source)
    )
    why = (
        "the image is turned by its EXIF data and the mask is not; turn the mask as the image is "
        "shown, or remove the EXIF orientation of the image"
        if is_turned
        else "give both the same size"
    )
    detail = f"the mask has {found[0]} x {found[1]} px and the image {size[0]} x {size[1]}; {why}"
    return Skipped(raw.name, "mask of another size", detail)
