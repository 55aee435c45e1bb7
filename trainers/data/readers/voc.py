"""Pascal VOC: one xml file of boxes per image.

``root/Annotations/<id>.xml`` beside ``root/JPEGImages/<id>.jpg``, and the ids of each split in
``root/ImageSets/Main/{train,val,test}.txt``; without such lists the images are one part. Pixels
count from 1 and the last one belongs to the box, so that x from 1 to 640 is the whole width. What
is marked as difficult counts as a crowd: it is not learned, and finding it is not wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from archfront.trainers.data.images import EXTENSIONS
from archfront.trainers.data.objects import Found, gathered
from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.paths import (
    as_parts,
    existing_root,
    images_below,
    missing,
    name_of,
)
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError

LAYOUT = (
    "archfront expects <data.root>/Annotations/<name>.xml and <data.root>/JPEGImages/<name>.jpg, "
    "and for splits of its own <data.root>/ImageSets/Main/train.txt, val.txt and test.txt"
)
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _Read:
    """Content of one xml file: class name and box of each object, and its problems."""

    objects: tuple[tuple[str, Found], ...]
    size: tuple[int, int] | None
    file_name: str | None
    problems: tuple[Skipped, ...]


def read_voc(ref: DataRef) -> RawData:
    """Return the annotated images, classes by the sorted names in the annotations.

    Raises:
        DataError: If the folders are not there.
    """
    root = existing_root(ref, "the folder of Annotations and JPEGImages", LAYOUT)
    annotations, images = root / "Annotations", root / "JPEGImages"
    if not (annotations.is_dir() and images.is_dir()):
        raise DataError(_not_here(root))
    files = {file.stem: file for file in images_below(images)}
    lists = _lists(root) or {"all": _all_ids(annotations, files)}
    broken: list[Skipped] = []
    read: dict[str, _Read] = {}
    for name in dict.fromkeys(name for ids in lists.values() for name in ids):
        found = _annotation(annotations / f"{name}.xml", root)
        if isinstance(found, Skipped):
            broken.append(found)
        else:
            read[name] = found
            broken += found.problems
    classes = sorted({label for item in read.values() for label, _ in item.objects})
    labels = {label: index for index, label in enumerate(classes)}
    parts: dict[str, list[RawSample]] = {}
    lost: dict[str, Skipped] = {}
    for part, ids in lists.items():
        parts[part] = []
        for name in ids:
            if name not in read:
                continue
            path = _image(name, read[name], images, files)
            if path is None:
                shown = read[name].file_name or f"{name}.jpg"
                lost[name] = missing(shown, (images,), root)
            else:
                parts[part].append(_sample(path, read[name], labels, root))
    kept, repeated = as_parts(parts, root)
    return RawData(
        where=f"data.root {root}",
        class_names=tuple(classes),
        parts=kept,
        broken=(*broken, *lost.values(), *repeated),
    )


def _sample(path: Path, read: _Read, labels: Mapping[str, int], root: Path) -> RawSample:
    found = [
        Found(item.box, labels[label], item.name, item.is_crowd) for label, item in read.objects
    ]
    target = gathered(found, has_outlines=False)
    return RawSample(path, target, name_of(path, root), read.size)


def _lists(root: Path) -> dict[str, list[str]]:
    """Return the ids of each split; without train, what is for training and validation."""
    folder = root / "ImageSets" / "Main"
    found = {
        part: [
            line.split()[0]
            for line in file.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
        for part in ("train", "val", "test", "trainval")
        if (file := folder / f"{part}.txt").is_file()
    }
    both = found.pop("trainval", None)
    if both is not None and "train" not in found:
        found = {"train": both, **found}
    return found if "train" in found else {}


def _all_ids(annotations: Path, files: Mapping[str, Path]) -> list[str]:
    """Return the ids of all annotations, and of the images that have none."""
    return sorted({*(file.stem for file in annotations.glob("*.xml")), *files})


def _image(name: str, read: _Read, images: Path, files: Mapping[str, Path]) -> Path | None:
    """Return the image of an annotation: of the same name, or the one that it names."""
    if name in files:
        return files[name]
    named = images / (read.file_name or "")
    return named if named.is_file() and named.suffix.lower() in EXTENSIONS else None


def _annotation(file: Path, root: Path) -> _Read | Skipped:
    name = name_of(file, root)
    if not file.is_file():
        detail = (
            f"{name} is not there; add one without objects if the image shows none, or move the "
            "image away"
        )
        return Skipped(name, "image without an annotation", detail)
    try:
        tree = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError, LookupError) as error:
        detail = f"{name} does not parse as xml: {error}"
        return Skipped(name, "annotation that does not parse", detail)
    objects, problems = [], []
    for index, node in enumerate(tree.findall("object")):
        label = (node.findtext("name") or "").strip()
        what = f"object {index}"
        box = _box(node)
        if not label:
            problems.append(Skipped(f"{name}, {what}", "unknown category", "it has no class name"))
        elif box is None:
            detail = f"it ({label}) has no bndbox of four numbers"
            problems.append(Skipped(f"{name}, {what}", "box that is no numbers", detail))
        else:
            is_crowd = (node.findtext("difficult") or "0").strip() == "1"
            objects.append((label, Found(box, 0, f"{what} ({label})", is_crowd)))
    return _Read(tuple(objects), _size(tree), tree.findtext("filename"), tuple(problems))


def _box(node: ElementTree.Element) -> tuple[float, ...] | None:
    """Return the box in pixels that count from 0."""
    try:
        x1, y1, x2, y2 = (float(node.findtext(f"bndbox/{key}") or "") for key in CORNERS)
    except ValueError:
        return None
    if x2 <= x1 or y2 <= y1:  # a click, not a box of one pixel: refused with the numbers it has
        return x1, y1, x2, y2
    return x1 - 1, y1 - 1, x2, y2


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    """Return the size that was annotated; some tools write 0 for what they did not look at."""
    try:
        width, height = (int(tree.findtext(f"size/{key}") or "") for key in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _not_here(root: Path) -> str:
    below = [
        f.parent for pattern in ("*/Annotations", "*/*/Annotations") for f in root.glob(pattern)
    ]
    hint = f" {name_of(sorted(below)[0], root)} below it has: give that." if below else ""
    return f"data.root {root} has no folders Annotations and JPEGImages.{hint} {LAYOUT}."
