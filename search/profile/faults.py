"""Faults of a dataset, and images to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal[
    "broken files",
    "broken annotations",
    "copies across splits",
    "near copies across splits",
    "groups torn apart",
    "contradicting labels",
    "copies within a split",
    "near copies within a split",
    "empty classes",
    "unusable classes",
    "odd image sizes",
]


@dataclass(frozen=True)
class ImageRef:
    """One image by its split and its name; the split ``all`` is that of data without splits."""

    split: str
    name: str


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a dataset, or looks wrong.

    Attributes:
        kind: What it is.
        count: How many images, or classes, it concerns.
        text: The fault as a sentence.
        remedy: What to do, as a sentence.
        groups: Some of the images concerned; those of a group belong together.
    """

    kind: FaultKind
    count: int
    text: str
    remedy: str
    groups: tuple[tuple[ImageRef, ...], ...] = ()


@dataclass(frozen=True)
class SmallObject:
    """One of the smallest objects: its image, its class and its box in pixels."""

    image: ImageRef
    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Examples:
    """Images to look at.

    Attributes:
        per_class: Some that show each class.
        smallest: The smallest objects.
        unlike: Those least like the others, by their colors and what they show in small.
    """

    per_class: dict[str, tuple[ImageRef, ...]] = field(default_factory=dict)
    smallest: tuple[SmallObject, ...] = ()
    unlike: tuple[ImageRef, ...] = ()
