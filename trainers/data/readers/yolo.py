"""The text files of Ultralytics' YOLO: one per image, one line per object.

An image without a file of labels shows nothing. What a line may hold is in ``yolo_lines.py``,
where the images lie in ``yolo_files.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archfront.trainers.data.file_facts import FileFacts, file_facts
from archfront.trainers.data.images import image_size
from archfront.trainers.data.objects import Found, gathered
from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.outside_root import refuse_outside
from archfront.trainers.data.readers.paths import as_parts, existing_root, name_of
from archfront.trainers.data.readers.text_files import read_text
from archfront.trainers.data.readers.yolo_files import LAYOUT, label_file, listing
from archfront.trainers.data.readers.yolo_lines import (
    BadLineError,
    Line,
    Meaning,
    meaning_of,
    object_of,
    parsed_line,
)
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of


def read_yolo(ref: DataRef) -> RawData:
    """Return the images with the objects of their text files.

    Class names are those of the yaml file, of ``data.classes`` or of a file of names, else
    ``class 0``, ``class 1``, ...

    Raises:
        DataError: If the layout is another, or not one image has labels.
    """
    root = existing_root(ref, "the folder of data.yaml, or of images and labels", LAYOUT)
    found = listing(root, ref)
    images = [image for files in found.parts.values() for image in files]
    refuse_outside(ref, root, images)
    files = {image: label_file(image, root) for image in dict.fromkeys(images)}
    without = [image for image, file in files.items() if not file.is_file()]
    if len(without) == len(files):
        raise DataError(_no_labels(root, files, found.broken))
    n_names = None if found.names is None else len(found.names)
    reading = _Reading(root, n_names, file_facts(ref.shared, ref.root))
    read = {image: reading.lines(image, file) for image, file in files.items()}
    all_lines = [line for lines in read.values() for line in lines or ()]
    meaning = meaning_of(all_lines, found.key_points)
    has_outlines = ref.target == "outlines"
    parts = {
        part: [
            reading.sample(image, lines, meaning, has_outlines=has_outlines)
            for image in images
            if (lines := read[image]) is not None
        ]
        for part, images in reading.sharing_no_labels(found.parts, files).items()
    }
    names = found.names
    notes = [*found.notes, *_without_labels(without, files, root)]
    if names is None:
        largest = max((line.label for line in all_lines), default=0)
        names = tuple(f"class {number}" for number in range(largest + 1))
        notes.append(_unnamed(root, names))
    kept, repeated = as_parts(parts, root)
    return RawData(
        where=f"data.root {root}",
        class_names=names,
        parts=kept,
        skipped=tuple(notes),
        broken=(*found.broken, *dict.fromkeys(reading.broken), *repeated),
    )


def _no_labels(root: Path, files: Mapping[Path, Path], broken: Sequence[Skipped]) -> str:
    """Return why there is nothing to learn: listed images are not there, or labels are not."""
    if not files and broken:
        n = count_of(len(broken), "image that is listed", "images that are listed")
        shown = "; ".join(problem.detail for problem in broken[:3])
        return f"data.root {root} has none of the {n}: {shown}. Correct the lists. {LAYOUT}."
    if not files:
        return f"data.root {root} has no images where its labels are. {LAYOUT}."
    example = name_of(next(iter(files.values())), root)
    return (
        f"data.root {root} has {count_of(len(files), 'image')} and no file of labels for any of "
        f"them, as {example}. {LAYOUT}."
    )


def _without_labels(
    without: Iterable[Path], files: Mapping[Path, Path], root: Path
) -> list[Skipped]:
    return [
        Skipped(
            name_of(image, root),
            "image without a file of labels",
            f"{name_of(files[image], root)} is not there, so the image shows no object",
            is_note=True,
        )
        for image in without
    ]


def _unnamed(root: Path, names: Sequence[str]) -> Skipped:
    detail = (
        f"nothing in data.root names the classes, so they are called {names[0]} to {names[-1]}; "
        "name them with data.classes"
    )
    return Skipped(root.name, "classes without names", detail, is_note=True)


@dataclass
class _Reading:
    """Text files that are read, and what was wrong in them."""

    root: Path
    n_names: int | None
    facts: FileFacts
    broken: list[Skipped] = field(default_factory=list)

    def lines(self, image: Path, file: Path) -> list[Line] | None:
        """Return the lines of an image's labels; None if they cannot be read."""
        where = name_of(file, self.root)
        try:
            rows = read_text(file).splitlines() if file.is_file() else []
        except DataError as error:
            name = name_of(image, self.root)
            detail = f"{where} has labels that are not to be used: {error}"
            self.broken.append(Skipped(name, "annotation that does not parse", detail))
            return None
        found: list[Line] = []
        seen = set()
        for number, row in enumerate(rows, 1):
            words = tuple(row.split())
            if not words:
                continue
            try:
                if words in seen:
                    raise BadLineError("object listed twice", "is the same as an earlier line")
                seen.add(words)
                found.append(parsed_line(words, number, self.n_names))
            except BadLineError as error:
                self._tell(where, number, error)
        return found

    def sample(
        self, image: Path, lines: Sequence[Line], meaning: Meaning, *, has_outlines: bool
    ) -> RawSample:
        """Return an image with its objects."""
        # An image that cannot be opened is reported when it is decoded.
        size = self._size(image)
        found: list[Found] = []
        for line in lines:
            if size is None:
                break
            try:
                found.append(object_of(line, meaning, size, has_outlines=has_outlines))
            except BadLineError as error:
                where = name_of(label_file(image, self.root), self.root)
                self._tell(where, line.number, error)
        target = gathered(found, has_outlines=has_outlines)
        return RawSample(image, target, name_of(image, self.root), size)

    def _size(self, image: Path) -> tuple[int, int] | None:
        width, height = self.facts.get(image, "size", lambda: list(image_size(image) or (0, 0)))
        return (width, height) if width and height else None

    def sharing_no_labels(
        self, parts: Mapping[str, Sequence[Path]], files: Mapping[Path, Path]
    ) -> dict[str, list[Path]]:
        """Return the images without those that have the labels of an earlier one."""
        owner: dict[Path, Path] = {}
        kept: dict[str, list[Path]] = {part: [] for part in parts}
        for part, images in parts.items():
            for image in images:
                first = owner.setdefault(files[image], image)
                if first == image:
                    kept[part].append(image)
                    continue
                name, other = name_of(image, self.root), name_of(first, self.root)
                where = name_of(files[image], self.root)
                detail = f"{name} and {other} share the labels {where}; move one away"
                self.broken.append(Skipped(name, "labels of two images", detail))
        return kept

    def _tell(self, where: str, number: int, error: BadLineError) -> None:
        reason, detail = error.args
        self.broken.append(Skipped(f"{where}, line {number}", reason, f"it {detail}"))
