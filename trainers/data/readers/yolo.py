"""The text files of Ultralytics' YOLO: one per image, one line per object.

``class cx cy w h`` is a box and ``class x y x y x y ...`` a polygon, in shares of the image's
width and height. An image without a file of labels shows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archfront.trainers.data.images import image_size
from archfront.trainers.data.objects import Found, gathered, polygon_box
from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.paths import as_parts, existing_root, missing, name_of
from archfront.trainers.data.readers.yolo_files import LAYOUT, label_file, listing
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of

# Shares may exceed 1 by rounding and by objects that stand out; pixels exceed it by far.
SHARE_MAX = 2.0


def read_yolo(ref: DataRef) -> RawData:
    """Return the images with the objects of their text files.

    Class names are those of the yaml file, of ``data.classes`` or of ``classes.txt``, else
    ``class 0``, ``class 1``, ...

    Raises:
        DataError: If the layout is another, or not one image has labels.
    """
    root = existing_root(ref, "the folder of data.yaml, or of images and labels", LAYOUT)
    found = listing(root, ref)
    images = [image for files in found.parts.values() for image in files]
    with_labels = {image for image in images if label_file(image).is_file()}
    if not with_labels:
        example = f", as {name_of(label_file(images[0]), root)}" if images else ""
        raise DataError(
            f"data.root {root} has {count_of(len(images), 'image')} and no file of labels for any "
            f"of them{example}. {LAYOUT}."
        )
    reading = _Reading(root, found.names, has_outlines=ref.target == "outlines")
    parts = {
        part: [sample for image in files if (sample := reading.sample(image)) is not None]
        for part, files in found.parts.items()
    }
    names = found.names
    if names is None:
        names = tuple(f"class {number}" for number in range(reading.largest + 1))
    kept, repeated = as_parts(parts, root)
    return RawData(
        where=f"data.root {root}",
        class_names=names,
        parts=kept,
        skipped=_without_labels(images, with_labels, root),
        broken=(*dict.fromkeys(reading.broken), *repeated),
    )


def _without_labels(
    images: Sequence[Path], with_labels: set[Path], root: Path
) -> tuple[Skipped, ...]:
    return tuple(
        Skipped(
            name_of(image, root),
            "image without a file of labels",
            f"{name_of(label_file(image), root)} is not there, so the image shows no object",
            is_note=True,
        )
        for image in images
        if image not in with_labels
    )


class _Bad(Exception):
    """A line that is no object: reason and detail."""


@dataclass
class _Reading:
    """Text files that are read, and what was wrong in them."""

    root: Path
    names: tuple[str, ...] | None
    has_outlines: bool
    largest: int = -1
    broken: list[Skipped] = field(default_factory=list)

    def sample(self, image: Path) -> RawSample | None:
        """Return an image with its objects; None if it is not there or its labels unreadable."""
        name = name_of(image, self.root)
        if not image.is_file():
            self.broken.append(missing(name, (), self.root))
            return None
        file = label_file(image)
        try:
            lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        except (OSError, UnicodeDecodeError) as error:
            detail = f"{name_of(file, self.root)} cannot be read as text: {error}"
            self.broken.append(Skipped(name, "annotation that does not parse", detail))
            return None
        # An image that cannot be opened is reported when it is decoded.
        size = image_size(image)
        found = self._objects(file, lines, size) if size is not None else []
        target = gathered(found, has_outlines=self.has_outlines)
        return RawSample(image, target, name, size)

    def _objects(self, file: Path, lines: Sequence[str], size: tuple[int, int]) -> list[Found]:
        objects: list[Found] = []
        seen = set()
        where = name_of(file, self.root)
        for number, line in enumerate(lines, 1):
            values = line.split()
            if not values:
                continue
            name = f"line {number}"
            try:
                if tuple(values) in seen:
                    raise _Bad("object listed twice", "is the same as an earlier line")
                seen.add(tuple(values))
                objects.append(self._object(values, name, size))
            except _Bad as error:
                reason, detail = error.args
                self.broken.append(Skipped(f"{where}, {name}", reason, f"it {detail}"))
        return objects

    def _object(self, values: Sequence[str], name: str, size: tuple[int, int]) -> Found:
        label = self._label(values[0])
        try:
            shares = [float(value) for value in values[1:]]
        except ValueError:
            raise _Bad("line that is no object", "has what is no number") from None
        is_polygon = len(shares) >= 6 and len(shares) % 2 == 0
        if len(shares) != 4 and not is_polygon:
            raise _Bad(
                "line that is no object",
                f"has {count_of(len(shares), 'number')} after its class; a box has 4, a polygon "
                "6, 8, 10, ...",
            )
        if not all(math.isfinite(share) and abs(share) <= SHARE_MAX for share in shares):
            raise _Bad(
                "coordinates that are no shares",
                "has coordinates beyond 0 to 1; YOLO's are shares of the image's width and height",
            )
        if is_polygon:
            polygon = tuple(share * size[place % 2] for place, share in enumerate(shares))
            segment = (polygon,) if self.has_outlines else None
            return Found(polygon_box((polygon,)), label, name, segment=segment)
        if self.has_outlines:
            raise _Bad("object without an outline", "is a box, without an outline")
        across, down = (shares[2] * size[0] / 2, shares[3] * size[1] / 2)
        x, y = shares[0] * size[0], shares[1] * size[1]
        return Found((x - across, y - down, x + across, y + down), label, name)

    def _label(self, text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else -1
        if number < 0:
            raise _Bad("line that is no object", f"begins with {text!r}, not with a class number")
        if self.names is not None and number >= len(self.names):
            raise _Bad(
                "unknown category",
                f"has the class {number}, but there are names for 0 to {len(self.names) - 1}",
            )
        self.largest = max(self.largest, number)
        return number
