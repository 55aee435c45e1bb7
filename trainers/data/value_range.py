"""The range of values that images of 16 bits a pixel use, which becomes 256 levels of grey.

Cameras and scanners write values of 10, 12 or 14 bits into files of 16. All images of a dataset
are scaled alike, so that the darkness of one beside another stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from archfront.trainers.data.file_facts import FileFacts
from archfront.trainers.data.image_files import WHOLE_RANGE, PixelLimit, ValueRange
from archfront.trainers.data.images import deepest_value, is_deep
from archfront.trainers.data.raw import RawSample, Skipped
from archfront.trainers.data.ref import DataRef
from archfront.trainers.threads import threads
from archfront.trainers.words import count_of

# Endings of files that may have 16 bits a pixel.
DEEP = {".png", ".tif", ".tiff", ".pgm", ".pnm"}
N_TRIED = 200  # files by which it is decided whether some have 16 bits
UNUSED = 4  # whole range over the part that is used, from which that part is stretched
REASON = "images of 16 bits a pixel"


@dataclass(frozen=True)
class FoundRange:
    """Which values become 0 and 255, and what is to be told of that.

    Attributes:
        values: The smallest and the largest one; None where no image has 16 bits.
        notes: At most one.
    """

    values: ValueRange | None
    notes: tuple[Skipped, ...] = ()


def value_range(
    ref: DataRef, parts: Mapping[str, Sequence[RawSample]], facts: FileFacts, where: str
) -> FoundRange:
    """Return the range of values that is asked for, else the one that the images use.

    The largest value of all images decides, rounded up to whole bits: 4095 for 12. Where it needs
    15 or 16 bits, the range is the whole one, from 0 to 65535.

    Args:
        ref: Which data.
        parts: Samples of each part.
        facts: What is known of files; largest values are remembered there.
        where: What the data is, in words.
    """
    sources = [raw.source for samples in parts.values() for raw in samples]
    files = [file for file in sources if isinstance(file, Path) and file.suffix.lower() in DEEP]
    tried = files[:: max(1, len(files) // N_TRIED)]
    with ThreadPoolExecutor(threads()) as pool:
        if not any(pool.map(is_deep, tried)):
            return FoundRange(ref.value_range)
        deepest = list(pool.map(lambda file: _deepest(file, facts, ref.pixel_limit), files))
    largest = max(deepest)
    n_deep = sum(value > 0 for value in deepest)
    have = f"{count_of(n_deep, 'image has', 'images have')} 16 bits a pixel"
    if ref.value_range is not None:
        n_above = sum(value > ref.value_range[1] for value in deepest)
        return FoundRange(ref.value_range, _above(where, n_above, ref.value_range[1]))
    bits = largest.bit_length()
    if not bits or 2**16 >> bits < UNUSED:
        return FoundRange(WHOLE_RANGE)
    values = 0, 2**bits - 1
    detail = (
        f"{have} and no value above {largest:,}, so values from 0 to {values[1]:,} become the 256 "
        "levels of gray, in images to predict, too; data.value_range=[0,65535] takes the whole "
        "range of 16 bits instead"
    )
    return FoundRange(values, (Skipped(where, REASON, detail, is_note=True),))


def _deepest(file: Path, facts: FileFacts, limit: PixelLimit) -> int:
    (value,) = facts.get(file, "deepest", lambda: [deepest_value(file, limit)])
    return int(value)


def _above(where: str, n_above: int, high: int) -> tuple[Skipped, ...]:
    """Return the note that some values are above the range that was asked for."""
    if not n_above:
        return ()
    have = count_of(n_above, "image has", "images have")
    detail = f"{have} values above {high:,}, the end of data.value_range, which all become white"
    return (Skipped(where, REASON, detail, is_note=True),)
