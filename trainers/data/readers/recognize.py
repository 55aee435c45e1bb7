"""The format of a dataset by its files, for those who do not say it: a look, not a reading."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from archfront.trainers.data.readers.mask_folders import IMAGES, MASKS, Pairing
from archfront.trainers.data.readers.paths import (
    SPLIT_NAMES,
    images_below,
    is_image_name,
    is_visible,
    name_of,
)
from archfront.trainers.data.readers.text_files import marked_encoding
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of, join_words

# How far is looked: folders below the root, folders in all, entries of each, bytes of a file.
DEPTH, FOLDERS, ENTRIES, BYTES = 3, 3000, 2000, 65_536
# Folders that are no classes, beside those of splits.
LAYOUT_NAMES = {*IMAGES, *MASKS, "annotations", "xml", "xmls", "imagesets", "data"}
YOLO_NAMES = {"obj.names", "obj.data", "_darknet.labels"}
# A line of a YOLO label: a class number and shares.
YOLO_LINE = re.compile(r"\d+(\.0+)?(\s+[-+.\deE]+){4,}\s*")
COCO_KEYS = (b'"images"', b'"annotations"', b'"categories"')
YAML_KEYS = re.compile(r"^\s*(names|nc|train)\s*:", re.MULTILINE)
N_SHOWN = 3


@dataclass(frozen=True)
class Folder:
    """A folder at or below the root, with its visible files.

    Attributes:
        path: Where it is.
        names: Names of the folders from the root to it, in lower case.
        files: Its files, of which a large folder has more.
    """

    path: Path
    names: tuple[str, ...]
    files: tuple[Path, ...]

    @property
    def n_images(self) -> int:
        """Return the number of its images."""
        return sum(is_image_name(file.name) for file in self.files)

    def having(self, *suffixes: str) -> list[Path]:
        """Return its files with one of some endings."""
        return [file for file in self.files if file.suffix.lower() in suffixes]


Tree = tuple[Folder, ...]


def recognized(root: Path) -> dict[str, str]:
    """Return the readers whose format the files have, each with what speaks for it in words."""
    tree = tuple(_tree(root))
    found = {name: look(root, tree) for name, look in LOOKS.items()}
    return {name: words for name, words in found.items() if words is not None}


def contents(root: Path) -> str:
    """Return what lies in a folder in words, such as ``12 .jpg and 3 folders``."""
    entries = [entry for entry in islice(root.iterdir(), ENTRIES) if is_visible(entry.name)]
    kinds = Counter(e.suffix.lower() or "files" for e in entries if not e.is_dir())
    words = [f"{n:,} {kind}" for kind, n in kinds.most_common(N_SHOWN)]
    n_folders = sum(entry.is_dir() for entry in entries)
    words += [count_of(n_folders, "folder")] if n_folders else []
    return join_words(words) or "nothing"


def _tree(root: Path) -> Iterator[Folder]:
    """Yield the root and the folders below it, the upper ones first."""
    queue: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    for place, names in queue:
        try:
            with os.scandir(place) as entries:
                seen = [entry for entry in islice(entries, ENTRIES) if is_visible(entry.name)]
        except OSError:  # read by the reader, which says what is wrong
            continue
        below = sorted(entry.name for entry in seen if entry.is_dir())
        if len(names) < DEPTH:
            room = FOLDERS - len(queue)
            queue += [(place / name, (*names, name.lower())) for name in below[: max(0, room)]]
        yield Folder(place, names, tuple(Path(e.path) for e in seen if not e.is_dir()))


def _classes(root: Path, tree: Tree) -> str | None:
    """Return the folders of images that are no splits and no part of another layout."""
    found: dict[str, None] = {}
    for folder in tree:
        names = folder.names
        is_class = 0 < len(names) <= 2 and names[-1] not in LAYOUT_NAMES
        if len(names) == 2 and names[0] not in SPLIT_NAMES:
            continue
        if is_class and not (len(names) == 1 and names[0] in SPLIT_NAMES) and _has_image(folder):
            found[folder.path.name] = None
    if not found:
        return None
    return f"{count_of(len(found), 'folder')} of images: {_some(list(found))}"


def _has_image(folder: Folder) -> bool:
    if folder.n_images:
        return True
    return bool(images_below(folder.path, ENTRIES))


def _table(root: Path, tree: Tree) -> str | None:
    files = [
        file
        for folder in tree
        if folder.names == () or (len(folder.names) == 1 and folder.names[0] in SPLIT_NAMES)
        for file in folder.having(".csv", ".tsv")
        if _names_images(file)
    ]
    return _some([name_of(file, root) for file in files]) if files else None


def _names_images(file: Path) -> bool:
    """Return whether a cell of the first rows is the name of an image."""
    rows = csv.reader(islice(_text(file).replace(";", ",").replace("\t", ",").splitlines(), 4))
    try:
        cells = [cell.strip().lower() for row in rows for cell in row]
    except csv.Error:
        return False
    return any(is_image_name(cell) for cell in cells)


def _masks(root: Path, tree: Tree) -> str | None:
    try:
        n_pairs = sum(len(pairs) for pairs in Pairing(root).parts().values())
    except (DataError, OSError):
        return None
    return count_of(n_pairs, "image with a mask", "images with masks") if n_pairs else None


def _coco(root: Path, tree: Tree) -> str | None:
    files = [
        file
        for folder in tree
        if len(folder.names) < DEPTH
        for file in folder.having(".json")
        if sum(key in _head(file) + _tail(file) for key in COCO_KEYS) > 1
    ]
    return _some([name_of(file, root) for file in files]) if files else None


def _voc(root: Path, tree: Tree) -> str | None:
    files = [file for folder in tree for file in folder.having(".xml")]
    if not any(b"<annotation" in _head(file) for file in files[:N_SHOWN]):
        return None
    return count_of(len(files), "xml file")


def _yolo(root: Path, tree: Tree) -> str | None:
    for folder in tree:
        said = [f for f in folder.having(".yaml", ".yml") if len(_yaml_keys(f)) > 1]
        said += [file for file in folder.files if file.name.lower() in YOLO_NAMES]
        if said:
            return _some([name_of(file, root) for file in said])
    texts = [file for folder in tree for file in folder.having(".txt")]
    labels = [file for file in texts if YOLO_LINE.fullmatch(_first_line(file))]
    return count_of(len(labels), "file of labels", "files of labels") if labels else None


def _yaml_keys(file: Path) -> set[str]:
    return set(YAML_KEYS.findall(_text(file)))


def _first_line(file: Path) -> str:
    return next(iter(_text(file).splitlines()), "").strip()


def _text(file: Path) -> str:
    head = _head(file)
    encoding = marked_encoding(head) or "utf-8"
    return head.decode(encoding, "replace")


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as content:
            return content.read(BYTES)
    except OSError:
        return b""


def _tail(file: Path) -> bytes:
    try:
        with file.open("rb") as content:
            content.seek(max(0, file.stat().st_size - BYTES))
            return content.read()
    except OSError:
        return b""


def _some(names: list[str]) -> str:
    more = len(names) - N_SHOWN
    return ", ".join(names[:N_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


LOOKS: Mapping[str, Callable[[Path, Tree], str | None]] = {
    "folder": _classes,
    "csv": _table,
    "masks": _masks,
    "coco": _coco,
    "voc": _voc,
    "yolo": _yolo,
}
