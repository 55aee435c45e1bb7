"""Where the xml files and the images of a VOC dataset lie, and the text of an xml file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from archfront.trainers.data.readers.paths import (
    images_below,
    images_in,
    is_visible,
    name_of,
    split_folders,
)
from archfront.trainers.data.readers.text_files import marked_encoding, read_lines
from archfront.trainers.errors import DataError

XML_MB = 16
LAYOUT = (
    "archfront expects <data.root>/Annotations/<name>.xml and <data.root>/JPEGImages/<name>.jpg, "
    "and for splits of its own <data.root>/ImageSets/Main/train.txt, val.txt and test.txt; or "
    "images and xml files in <data.root>/train and <data.root>/valid, or together in <data.root>"
)
ORDER = ("train", "val", "test")
ANNOTATIONS = ("Annotations", "annotations", "xml", "xmls")
IMAGES = ("JPEGImages", "images", "Images", "imgs")
FLAG = re.compile(r"(.*\S)\s+(?:-1|0|1)")  # what lists of one class have behind each name
DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
# What declares the first often has letters of the second, which has all of the first.
WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252"}


@dataclass(frozen=True)
class Place:
    """The xml files and images of one split, each by its path below their folder, no ending."""

    part: str
    xmls: Mapping[str, Path]
    images: Mapping[str, Path]
    folder: Path

    @property
    def names(self) -> list[str]:
        """Return the names of all xml files, and of the images that have none."""
        return sorted({*self.xmls, *self.images})


def places(root: Path) -> list[Place]:
    """Return the xml files and images of each split, or of ``all``.

    Raises:
        DataError: If the root has none of the usual layouts.
    """
    together = _place("all", root)
    if together is not None:
        return [together]
    found = {
        split: place
        for split, folder in split_folders(root)
        if (place := _place(split, folder) or _beside(split, folder)) is not None
    }
    if "train" in found:
        return [found[part] for part in ORDER if part in found]
    alone = _beside("all", root)
    if alone is None:
        raise DataError(_not_here(root))
    return [alone]


def _place(part: str, folder: Path) -> Place | None:
    """Return what lies in a folder of xml files and one of images, if both are there."""
    xmls = next((folder / name for name in ANNOTATIONS if _has_xml(folder / name)), None)
    images = next((folder / name for name in IMAGES if (folder / name).is_dir()), None)
    if xmls is None or images is None:
        return None
    return Place(part, _by_stem(xmls, _xmls(xmls)), _by_stem(images, images_below(images)), images)


def _beside(part: str, folder: Path) -> Place | None:
    """Return what lies in a folder where each xml file is beside its image."""
    xmls = {file.stem: file for file in _xmls(folder) if file.parent == folder}
    images = {file.stem: file for file in images_in(folder)}
    return Place(part, xmls, images, folder) if xmls and images else None


def _has_xml(folder: Path) -> bool:
    return folder.is_dir() and bool(_xmls(folder))


def _xmls(folder: Path) -> list[Path]:
    found = (file for file in folder.rglob("*.[xX][mM][lL]") if file.is_file())
    return sorted(file for file in found if is_visible(file.name))


def _by_stem(folder: Path, files: list[Path]) -> dict[str, Path]:
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def split_lists(root: Path, place: Place) -> dict[str, list[str]]:
    """Return the names of each split; without train, what is for training and validation.

    Raises:
        DataError: If a list cannot be read.
    """
    folder = root / "ImageSets" / "Main"
    known = {*place.xmls, *place.images}
    found = {}
    for part in ("train", "val", "test", "trainval"):
        file = folder / f"{part}.txt"
        if not file.is_file():
            continue
        try:
            found[part] = [_listed(line, known) for line in read_lines(file)]
        except DataError as error:
            raise DataError(f"{name_of(file, root)} cannot be used: {error}.") from error
    both = found.pop("trainval", None)
    if both is not None and "train" not in found:
        found = {"train": both, **found}
    return found if "train" in found else {}


def _listed(line: str, known: set[str]) -> str:
    """Return the name in a line of a list: all of it, or without the flag behind it."""
    flagged = FLAG.fullmatch(line)
    if line in known or flagged is None:
        return line
    return flagged[1]


def xml_text(content: bytes) -> str:
    """Return the text of an xml file in the encoding that it says, as Python knows it.

    The library's parser knows no encodings of several bytes a letter, such as gb2312.

    Raises:
        ValueError: If it is not text in this encoding, or declares entities, a few of which can
            stand for gigabytes.
        LookupError: If the encoding is unknown.
    """
    declared = DECLARED.match(content)
    said = declared[1].decode().lower() if declared else "utf-8"
    marked = marked_encoding(content)
    try:
        text = content.decode(marked or WIDER.get(said, said))
    except UnicodeDecodeError:
        text = content.decode(said)
    if "<!ENTITY" in text:
        raise ValueError("it declares entities, which are not read")
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", text)


def _not_here(root: Path) -> str:
    below = [
        f.parent for pattern in ("*/Annotations", "*/*/Annotations") for f in root.glob(pattern)
    ]
    hint = f" {name_of(sorted(below)[0], root)} below it has: give that." if below else ""
    return f"data.root {root} has no folders Annotations and JPEGImages.{hint} {LAYOUT}."
