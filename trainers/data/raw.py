"""Results of readers: the source and target of each image, before any is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archfront.trainers.data.images import ImageSource

if TYPE_CHECKING:
    from archfront.trainers.data.targets import Target


@dataclass(frozen=True)
class RawSample:
    """One image and what is known of it.

    Attributes:
        source: A file, pixels ``(H, W, 1 or 3)``, or a function that gives the image.
        target: Index into the class names, or what else the reader gives.
        name: Name for people and for the fingerprint, the same on every machine.
        size: Width and height that the annotations are for, where they say.
        group: What the data itself says that it belongs to, as a video; empty where it does not.
    """

    source: ImageSource
    target: Target
    name: str
    size: tuple[int, int] | None = None
    group: str = ""


@dataclass(frozen=True)
class Skipped:
    """Something that was left out, or that is worth a note.

    Attributes:
        name: File or class.
        reason: Its kind, the same text for all of a kind.
        detail: What exactly is wrong with it and what to do, as a sentence.
        is_note: Whether nothing was left out.
    """

    name: str
    reason: str
    detail: str
    is_note: bool = False


@dataclass(frozen=True)
class RawData:
    """All samples of a dataset by the splits that the data itself has.

    Attributes:
        where: What to call the data in an error.
        class_names: Names by label.
        parts: ``{"all": ...}`` without splits of its own, else ``train`` with ``val``, ``test``
            or both.
        skipped: What is no image and so belongs to no part, and what stops nothing.
        broken: What is wrong with annotations that no image can be blamed for.
    """

    where: str
    class_names: tuple[str, ...]
    parts: Mapping[str, tuple[RawSample, ...]]
    skipped: tuple[Skipped, ...] = ()
    broken: tuple[Skipped, ...] = ()
