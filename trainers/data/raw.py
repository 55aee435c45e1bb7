"""What a reader gives: where each image comes from and its label, before any is decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Source = Path | Pixels | Callable[[], Image.Image]


@dataclass(frozen=True)
class RawSample:
    """One labeled image.

    Attributes:
        source: A file, pixels ``(H, W, 1 or 3)``, or a function that gives the image.
        label: Index into the class names.
        name: Name for people and for the fingerprint, the same on every machine.
    """

    source: Source
    label: int
    name: str


@dataclass(frozen=True)
class Skipped:
    """Something that was left out.

    Attributes:
        name: File or class.
        reason: Its kind, the same text for all of a kind.
        detail: What exactly is wrong with it and what to do, as a sentence.
    """

    name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class RawData:
    """All samples of a dataset by the splits that the data itself has.

    Attributes:
        where: What to call the data in an error.
        class_names: Names by label.
        parts: ``{"all": ...}`` without splits of its own, else ``train`` with ``val``, ``test``
            or both.
        skipped: What is no image and so belongs to no part.
    """

    where: str
    class_names: tuple[str, ...]
    parts: Mapping[str, tuple[RawSample, ...]]
    skipped: tuple[Skipped, ...] = ()
