"""Every image is decoded once before anything is trained, so that none breaks a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch

from trainers.data.images import read_with_digest
from trainers.data.raw import Pixels, RawSample, Skipped, Source
from trainers.errors import DataError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sample:
    """One image that was decoded.

    Attributes:
        source: As in ``RawSample``; pixels when they were kept.
        label: Index into the class names.
        name: As in ``RawSample``.
        width: In pixels, after EXIF rotation.
        height: In pixels, after EXIF rotation.
        is_grey: Whether the three channels are equal everywhere.
        digest: SHA-256 of the file, or of the pixels without one.
    """

    source: Source
    label: int
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
    """All samples that can be decoded, and those that cannot."""

    parts: dict[str, list[Sample]]
    broken: list[Skipped]


def verify(
    parts: Mapping[str, tuple[RawSample, ...]], *, keep_bytes: int, progress: Progress | None
) -> Verified:
    """Decode every image once, in threads.

    Args:
        parts: Samples of each part.
        keep_bytes: All decoded pixels are kept if they fit in this, else none, so that memory
            does not depend on which thread came first.
        progress: Called with the images done and in total.
    """
    is_keeping = True

    def check(raw: RawSample) -> tuple[Sample, Pixels | None] | Skipped:
        checked = _check(raw)
        if isinstance(checked, Skipped) or is_keeping:
            return checked
        return checked[0], None

    total = sum(len(samples) for samples in parts.values())
    done = used = 0
    found: dict[str, list[tuple[Sample, Pixels | None]]] = {part: [] for part in parts}
    broken: list[Skipped] = []
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for part, samples in parts.items():
            for result in pool.map(check, samples):
                done += 1
                if isinstance(result, Skipped):
                    broken.append(result)
                else:
                    used += result[0].n_bytes
                    found[part].append(result if is_keeping else (result[0], None))
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


def _check(raw: RawSample) -> tuple[Sample, Pixels] | Skipped:
    try:
        pixels, digest = read_with_digest(raw.source)
    except DataError as error:
        return Skipped(raw.name, "broken image", str(error))
    height, width, channels = pixels.shape
    sample = Sample(
        raw.source, raw.label, raw.name, width, height, is_grey=channels == 1, digest=digest
    )
    return sample, pixels
