"""Every image is decoded once before anything is trained, so that none breaks a training.

So is its mask; and the boxes of its objects are compared with its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from archfront.trainers.data.images import ImageSource, Pixels, read_with_digest
from archfront.trainers.data.objects import checked_objects
from archfront.trainers.data.raw import RawSample, Skipped
from archfront.trainers.data.targets import IGNORED, Mask, Objects, Target
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
    """

    source: ImageSource
    target: Target
    name: str
    width: int
    height: int
    is_grey: bool
    digest: str

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
    read: Read = read_with_digest,
) -> Verified:
    """Decode every image once, in threads.

    Args:
        parts: Samples of each part.
        n_classes: Number of classes.
        keep_bytes: All decoded pixels are kept if they fit in this, else none, so that memory
            does not depend on which thread came first.
        progress: Called with the images done and in total.
        read: Returns the pixels of a source and its digest, or raises a ``DataError``.
    """
    is_keeping = True

    def check(raw: RawSample) -> _Checked:
        checked = _check(raw, n_classes, read)
        return checked if is_keeping else replace(checked, pixels=None)

    total = sum(len(samples) for samples in parts.values())
    done = used = 0
    found: dict[str, list[tuple[Sample, Pixels | None]]] = {part: [] for part in parts}
    broken: list[Skipped] = []
    with ThreadPoolExecutor(threads()) as pool:
        for part, samples in parts.items():
            for result in pool.map(check, samples):
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


def _check(raw: RawSample, n_classes: int, read: Read) -> _Checked:
    try:
        pixels, digest = read(raw.source)
    except DataError as error:
        return _Checked(None, None, (Skipped(raw.name, "broken image", str(error)),))
    height, width, channels = pixels.shape
    if raw.size not in (None, (width, height)):
        return _Checked(None, None, (_other_size(raw, width, height),))
    target, problems = _checked_target(raw, width, height, n_classes)
    if target is None:
        return _Checked(None, None, problems)
    sample = Sample(
        raw.source, target, raw.name, width, height, is_grey=channels == 1, digest=digest
    )
    return _Checked(sample, pixels, problems)


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


def _checked_target(
    raw: RawSample, width: int, height: int, n_classes: int
) -> tuple[Target | None, tuple[Skipped, ...]]:
    """Return the part of a target that fits its image, and problems; no target, no image."""
    match raw.target:
        case Objects():
            return checked_objects(raw.target, raw.name, width, height)
        case Mask():
            return _checked_mask(raw.target, raw.name, width, height, n_classes)
    return raw.target, ()


def _checked_mask(
    mask: Mask, name: str, width: int, height: int, n_classes: int
) -> tuple[Mask | None, tuple[Skipped, ...]]:
    try:
        indices = mask.indices()
    except DataError as error:
        return None, (Skipped(name, "broken mask", str(error)),)
    if indices.shape != (height, width):
        detail = (
            f"the mask has {indices.shape[1]} x {indices.shape[0]} px and the image "
            f"{width} x {height}; give both the same size"
        )
        return None, (Skipped(name, "mask of another size", detail),)
    counts = np.bincount(indices.ravel(), minlength=256)
    beyond = [value for value in np.flatnonzero(counts) if n_classes <= value != IGNORED]
    if beyond:
        detail = (
            f"the mask has the values {', '.join(map(str, beyond[:5]))} beyond the {n_classes} "
            f"classes; name them in data.classes, or set them to {IGNORED}"
        )
        return None, (Skipped(name, "unknown value in a mask", detail),)
    return replace(mask, counts=tuple(counts[:n_classes].tolist())), ()
