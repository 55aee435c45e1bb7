"""Targets of an image: a label, several labels, a mask or objects.

A target is read by a reader, checked against its image once (``checked``), and turned into
what a network of some input size learns (``batch_targets.py``). Its coordinates are pixels of the
image as it is decoded, after EXIF rotation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data.image_files import DEFAULT, PixelLimit
from archfront.trainers.data.images import read_colors, read_index
from archfront.trainers.errors import DataError

# Boxes and outlines are both ``Objects``, the second with segments.
TargetKind = Literal["label", "labels", "mask", "boxes", "outlines"]
# The index of pixels that no loss and no metric looks at.
IGNORED = 255
# Polygons as flat x, y, x, y, ...; or a COCO run-length encoding.
Segment = tuple[tuple[float, ...], ...] | Mapping[str, Any]
Indices = NDArray[np.uint8]


@dataclass(frozen=True)
class Labels:
    """The classes that an image shows, any number of them."""

    present: tuple[int, ...]


@dataclass(frozen=True)
class Mask:
    """The class of every pixel.

    Attributes:
        source: An image of indices or colors, or indices ``(H, W)``, or what gives them.
        values: Class by the value of a pixel (an index, or a color as ``(r, g, b)``);
            ``IGNORED`` for those that do not count. None where values are the classes.
        counts: Pixels per class; filled when it is checked.
        digest: Hash of the classes of all pixels; filled when it is checked.
        limit: How large the image of a file may be.
    """

    source: Path | Indices | Callable[[], Indices]
    values: tuple[tuple[int | tuple[int, ...], int], ...] | None = None
    counts: tuple[int, ...] = ()
    digest: str | None = None
    limit: PixelLimit = DEFAULT

    def indices(self) -> Indices:
        """Return the class of each pixel, ``(H, W)``.

        Raises:
            DataError: If it cannot be read; the message says why, without its name.
        """
        by_color = self.values is not None and not isinstance(self.values[0][0], int)
        if isinstance(self.source, np.ndarray):
            found = self.source
        elif isinstance(self.source, Path):
            read = read_colors if by_color else read_index
            found = read(self.source, self.limit)
        else:
            found = self.source()
        if (found.ndim == 3) is not by_color:
            what = "colors, and its classes are numbers" if found.ndim == 3 else "no colors"
            raise DataError(f"the mask has {what}; data.palette gives the color of each class")
        return found if self.values is None else _mapped(found, dict(self.values))


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of an image.

    Attributes:
        boxes: ``(K, 4)`` float32, x1, y1, x2, y2 in pixels.
        labels: ``(K,)`` int64.
        crowd: ``(K,)`` bool: a group that is neither learned nor counted as missed.
        segments: The outline of each object; None where only boxes are known.
        names: Of each object, for people, such as ``annotation 17``.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    segments: tuple[Segment, ...] | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.labels)

    def only(self, kept: Sequence[int] | NDArray[np.integer[Any]]) -> Objects:
        """Return some of the objects, by index."""
        index = np.asarray(kept, np.int64)
        return Objects(
            self.boxes[index],
            self.labels[index],
            self.crowd[index],
            None if self.segments is None else tuple(self.segments[i] for i in index),
            tuple(self.names[i] for i in index) if self.names else (),
        )


Target = int | Labels | Mask | Objects


def no_objects() -> Objects:
    """Return the target of an image that shows nothing."""
    return Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))


def class_counts(target: Target) -> dict[int, int]:
    """Return counts by class of what an image shows: 1, objects or pixels; none that are 0."""
    match target:
        case Labels(present):
            return dict.fromkeys(present, 1)
        case Mask(counts=counts):
            return {label: count for label, count in enumerate(counts) if count}
        case Objects():
            labels, numbers = np.unique(target.labels[~target.crowd], return_counts=True)
            return dict(zip(labels.tolist(), numbers.tolist(), strict=True))
    return {target: 1}


def relabeled(target: Target, labels: Mapping[int, int]) -> Target | None:
    """Return the target with other class indices; what has none is left out.

    None when nothing is left that could be learned from the image.
    """
    match target:
        case Labels(present):
            return Labels(tuple(labels[label] for label in present if label in labels))
        case Mask():
            known = range(len(target.counts)) if target.values is None else ()
            values = dict(target.values or {value: value for value in known})
            moved = {
                value: labels.get(label, IGNORED) if label != IGNORED else IGNORED
                for value, label in values.items()
            }
            if target.values is None:
                moved.setdefault(IGNORED, IGNORED)
            counts = [0] * len(labels)
            for label, count in enumerate(target.counts):
                if label in labels:
                    counts[labels[label]] = count
            return replace(target, values=tuple(moved.items()), counts=tuple(counts), digest=None)
        case Objects():
            kept = target.only([i for i, label in enumerate(target.labels) if label in labels])
            new = np.array([labels[int(label)] for label in kept.labels], np.int64)
            return replace(kept, labels=new)
    return labels.get(target)


def digest(target: Target) -> Any:
    """Return plain content that two equal targets share, for a fingerprint."""
    match target:
        case Labels(present):
            return sorted(present)
        case Mask():
            return target.digest or digest_of(target.indices())
        case Objects():
            content = hashlib.sha256()
            for part in (target.boxes, target.labels, target.crowd):
                content.update(part.tobytes())
            content.update(repr(target.segments).encode())
            return content.hexdigest()
    return target


def digest_of(indices: Indices) -> str:
    """Return the hash of the class of each pixel."""
    return hashlib.sha256(indices.tobytes()).hexdigest()


def _mapped(found: NDArray[np.uint8], values: Mapping[int | tuple[int, ...], int]) -> Indices:
    """Return the class of each pixel by its value or its color."""
    is_color = found.ndim == 3
    keys = np.array([key if isinstance(key, int) else _code(key) for key in values], np.int32)
    order = np.argsort(keys)
    keys, classes = keys[order], np.array(list(values.values()), np.uint8)[order]
    # Numbers are looked up once, and not for each pixel.
    flat = _packed(found) if is_color else np.arange(256, dtype=np.int32)
    places = np.minimum(np.searchsorted(keys, flat), len(keys) - 1)
    is_unknown, mapped = keys[places] != flat, classes[places]
    if not is_color:
        is_unknown, mapped = is_unknown[found], mapped[found]
    if is_unknown.any():
        unknown = np.unique((flat if is_color else found)[is_unknown])
        shown = [_spelled(int(value), is_color=is_color) for value in unknown[:5]]
        what = "color" if is_color else "value"
        raise DataError(
            f"the mask has {len(unknown)} {what}{'s' * (len(unknown) > 1)} that no class has: "
            f"{', '.join(shown)}"
        )
    return mapped


def _packed(colors: NDArray[np.uint8]) -> NDArray[np.int32]:
    wide = colors.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _code(color: tuple[int, ...]) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]


def _spelled(value: int, *, is_color: bool) -> str:
    return f"({value >> 16}, {value >> 8 & 255}, {value & 255})" if is_color else str(value)
