"""Where the images of a YOLO dataset lie, and what its classes are called.

A yaml file says it (Ultralytics, Roboflow), lists and files of names do (darknet, CVAT), or the
folders do: labels in folders beside those of images, or each beside its image (labelImg).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.readers.find_images import ImageFinder
from archfront.trainers.data.readers.outside_root import is_outside
from archfront.trainers.data.readers.paths import (
    SPLIT_NAMES,
    child,
    images_below,
    images_in,
    is_there,
    name_of,
    split_folders,
)
from archfront.trainers.data.readers.text_files import read_lines
from archfront.trainers.data.readers.yolo_yaml import DataYaml, data_yaml
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError

N_LOOKED_AT = 20_000  # files in a folder that is refused
LAYOUT = (
    "archfront expects <data.root>/data.yaml with names, train and val; or "
    "<data.root>/images/train beside labels/train, or train/images beside train/labels, the same "
    "for val; or images beside labels; or obj.names with train.txt; or labels beside their images"
)
ORDER = ("all", "train", "val", "test")
NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt")


@dataclass(frozen=True)
class Listing:
    """The images of each split, and what is said of all.

    Attributes:
        parts: Images by split, all of them there.
        names: Class names; None where nothing says them.
        key_points: Number of key points behind each box and numbers of each; None for none.
        notes: What is odd and stops nothing.
        broken: Images that are listed and not there.
    """

    parts: Mapping[str, tuple[Path, ...]]
    names: tuple[str, ...] | None
    key_points: tuple[int, int] | None = None
    notes: tuple[Skipped, ...] = ()
    broken: tuple[Skipped, ...] = ()


def listing(root: Path, ref: DataRef) -> Listing:
    """Return the images of a dataset by its yaml file, else by its lists or its folders.

    Raises:
        DataError: If there are none, or a file cannot be used.
    """
    places = _Places(root, ref)
    said = data_yaml(root, ref.annotations)
    if said is not None:
        parts = {part: places.images(said, part) for part in said.parts}
        if "train" not in parts:
            raise DataError(f"{said.name} has no 'train'. {LAYOUT}.")
        _check_apart(parts, said)
        names = said.names or ref.classes or _names_in(root, parts)
        notes = (*said.notes, *places.notes)
        return Listing(_ordered(parts), names, said.key_points, notes, tuple(places.broken))
    lists = _darknet(root)
    if lists:
        parts = {part: places.listed(file) for part, file in lists.items()}
    else:
        parts = _by_folders(root)
    names = ref.classes or _names_in(root, parts)
    return Listing(_ordered(parts), names, broken=tuple(places.broken))


def _ordered(parts: Mapping[str, tuple[Path, ...]]) -> dict[str, tuple[Path, ...]]:
    return {part: parts[part] for part in ORDER if parts.get(part)}


def _check_apart(parts: Mapping[str, tuple[Path, ...]], said: DataYaml) -> None:
    """Raise an error if val or test name the same images as train."""
    for part in ("val", "test"):
        if parts.get(part) and set(parts[part]) <= set(parts["train"]):
            entry = ", ".join(said.parts[part])
            raise DataError(
                f"{said.name} names {entry} for {part}, and its images are the same as those of "
                f"train, on which nothing can be scored. Give {part} images of its own, or remove "
                f"the line {part}, and data.{part} of the images are split off."
            )


class MissingEntryError(DataError):
    """An entry of a yaml file that is not there."""


class _Places:
    """The images that entries of a yaml file and lines of lists name.

    Attributes:
        broken: Those that are not there.
        notes: What is said of a test split that is not there, as exports often name one.
    """

    def __init__(self, root: Path, ref: DataRef) -> None:
        self._root, self._ref = root, ref
        self.broken: list[Skipped] = []
        self.notes: list[Skipped] = []

    def images(self, said: DataYaml, part: str) -> tuple[Path, ...]:
        """Return the images of a split; none of a test split that is not there.

        Raises:
            DataError: If an entry of another split is not there.
        """
        entries = said.parts[part]
        before = len(self.broken)
        try:
            found = self._images(said, entries)
        except MissingEntryError:
            if part != "test":
                raise
            found = ()
        if part == "test" and not found:
            del self.broken[before:]
            detail = f"{said.name} names {', '.join(entries)} for test, where no image is"
            self.notes.append(Skipped("test", "test split without images", detail, is_note=True))
        return found

    def _images(self, said: DataYaml, entries: Sequence[str]) -> tuple[Path, ...]:
        """Return the images of folders or of lists, one or several."""
        found: list[Path] = []
        for entry in entries:
            place = self._resolved(said, entry)
            if place.is_dir():
                # A folder outside is only looked into for the message: it may be the whole disk.
                n_most = N_LOOKED_AT if is_outside(self._ref, self._root, place) else None
                found += images_below(place, n_most)
            elif place.suffix == ".txt":
                found += self.listed(place)
            else:
                raise DataError(
                    f"{said.name} names {entry}, which is neither a folder nor a .txt list."
                )
        return tuple(found)

    def listed(self, file: Path) -> tuple[Path, ...]:
        """Return the images that a list names, one a line."""
        found = []
        try:
            lines = read_lines(file)
        except DataError as error:
            raise DataError(f"{name_of(file, self._root)} cannot be used: {error}.") from error
        finder = ImageFinder(self._ref, self._root, (file.parent, self._root), lines)
        for line in lines:
            path = finder.find(line)
            if path is None:
                self.broken.append(finder.missing(line, what="listed"))
            else:
                found.append(Path(os.path.normpath(path)))
        return tuple(found)

    def _resolved(self, said: DataYaml, entry: str) -> Path:
        """Return where an entry of a yaml file lies, below the root if it can.

        Exports of Roboflow say ``../train/images`` for what lies beside the file; and folders of
        somebody else's machine are left off.
        """
        beside = said.file.parent
        bases = [beside / said.base, beside, self._root] if said.base else [beside, self._root]
        parts = [part for part in Path(entry).parts if part not in ("..", "/")]
        named = [place for place, part in enumerate(parts) if part.lower() in SPLIT_NAMES]
        last = named[0] if named else len(parts) - 1  # images of another split are none of this
        tails = [Path(*parts[place:]) for place in range(last + 1)]
        places = [base / name for base in bases for name in (Path(entry), *tails)]
        places = [Path(os.path.normpath(place)) for place in places]
        there = [place for place in places if is_there(place)]
        inside = [place for place in there if place.is_relative_to(self._root)]
        if there:
            return (inside or there)[0]
        raise MissingEntryError(
            f"{said.name} names {entry}, which is not at {places[0]}. Correct the path."
        )


def _darknet(root: Path) -> dict[str, Path]:
    """Return the lists of each split that lie beside a file of names, as in CVAT's exports."""
    if not (any(root.glob("*.names")) or any(root.glob("*.data"))):
        return {}
    lists = {SPLIT_NAMES.get(file.stem.lower()): file for file in sorted(root.glob("*.txt"))}
    found = {part: file for part, file in lists.items() if part is not None}
    alone = root / "images.txt"  # FiftyOne's export of one split
    return found or ({"all": alone} if alone.is_file() else {})


def _by_folders(root: Path) -> dict[str, tuple[Path, ...]]:
    """Return the images by the layout of folders, the labels beside them.

    Raises:
        DataError: If the root has none of the layouts.
    """
    found: dict[str, tuple[Path, ...]] = {}
    above = child(root, "images")
    for split, folder in split_folders(above):
        found.setdefault(split, tuple(images_below(folder)))
    for split, folder in split_folders(root):
        place = child(folder, "images")
        place = place if place.is_dir() else folder
        found.setdefault(split, tuple(images_below(place)))
    if found.get("train"):
        return found
    if above.is_dir():
        images = tuple(images_below(above))
        if child(root, "labels").is_dir() or _have_labels(images):
            return {"all": images}
    beside = tuple(file for folder in (root, *_data_folders(root)) for file in images_in(folder))
    if _have_labels(beside):
        return {"all": beside}
    raise DataError(f"data.root {root} is no YOLO dataset. {LAYOUT}.")


def _data_folders(root: Path) -> list[Path]:
    """Return the folders in which darknet's tools put images and labels."""
    places = (root / name for name in ("data", "obj_train_data", "images"))
    return [place for place in places if place.is_dir()]


def _have_labels(images: Iterable[Path]) -> bool:
    return any(image.with_suffix(".txt").is_file() for image in images)


def _names_in(root: Path, parts: Mapping[str, Sequence[Path]]) -> tuple[str, ...] | None:
    """Return the names in a file of names, which tools write beside the labels or above them."""
    firsts = [label_file(images[0], root).parent for images in parts.values() if images]
    folders = dict.fromkeys((root, root / "labels", root / "data", *firsts))
    for folder in folders:
        for file in (*(folder / name for name in NAME_FILES), *sorted(folder.glob("*.names"))):
            if file.is_file():
                return tuple(read_lines(file))
    return None


def label_file(image: Path, root: Path) -> Path:
    """Return the file of an image's labels.

    It lies where ``images`` of the path below the root is ``labels``, the last such folder
    first; or beside the image.
    """
    is_inside = image.is_relative_to(root)
    base = root if is_inside else Path(image.anchor)
    parts = image.relative_to(base).parts
    places = [place for place, part in enumerate(parts[:-1]) if part.lower() == "images"]
    swapped = [
        (child(base / Path(*parts[:place]), "labels") / Path(*parts[place + 1 :])).with_suffix(
            ".txt"
        )
        for place in reversed(places)
    ]
    likely = [*swapped, image.with_suffix(".txt")]
    return next((file for file in likely if file.is_file()), likely[0])
