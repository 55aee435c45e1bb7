"""Pascal VOC: one xml file of boxes per image.

Pixels count from 1 and the last one belongs to the box, so that x from 1 to 640 is the whole
width. What is marked as difficult counts as a crowd: it is not learned, and finding it is not
wrong. Where the files lie is in ``voc_files.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from archfront.trainers.data.objects import Found, gathered
from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.find_images import ImageFinder
from archfront.trainers.data.readers.outside_root import refuse_outside
from archfront.trainers.data.readers.paths import as_parts, existing_root, name_of
from archfront.trainers.data.readers.voc_files import (
    LAYOUT,
    XML_MB,
    Place,
    places,
    split_lists,
    xml_text,
)
from archfront.trainers.data.ref import DataRef
from archfront.trainers.files import read_file

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
    found = places(root)
    lists = split_lists(root, found[0]) if len(found) == 1 else {}
    asked = [(found[0], part, names) for part, names in lists.items()]
    asked = asked or [(place, place.part, place.names) for place in found]
    broken: list[Skipped] = []
    read: dict[Path, _Read] = {}
    for place, _, names in asked:
        for name in names:
            file = _xml(place, name)
            if file in read:
                continue
            result = _annotation(file, root)
            if isinstance(result, Skipped):
                broken.append(result)
            else:
                read[file] = result
                broken += result.problems
    classes = sorted({label for item in read.values() for label, _ in item.objects})
    labels = {label: index for index, label in enumerate(classes)}
    parts: dict[str, list[RawSample]] = {}
    lost: dict[str, Skipped] = {}
    for place, part, names in asked:
        finder = ImageFinder(ref, root, (place.folder,), _other_names(read, place, names))
        samples = parts.setdefault(part, [])
        for name in names:
            content = read.get(_xml(place, name))
            if content is None:
                continue
            path = _image(name, content, place, finder)
            if path is None:
                shown = content.file_name or f"{name}.jpg"
                lost[name] = finder.missing(shown)
            else:
                samples.append(_sample(path, content, labels, root))
    refuse_outside(ref, root, (s.source for samples in parts.values() for s in samples))
    kept, repeated = as_parts(parts, root)
    return RawData(
        where=f"data.root {root}",
        class_names=tuple(classes),
        parts=kept,
        broken=(*dict.fromkeys(broken), *lost.values(), *repeated),
    )


def _xml(place: Place, name: str) -> Path:
    """Return the xml file of a name, or where it would lie."""
    some = next(iter(place.xmls.values()))
    return place.xmls.get(name, some.parent / f"{name}.xml")


def _other_names(read: Mapping[Path, _Read], place: Place, names: Iterable[str]) -> list[str]:
    """Return what annotations call their images, of those that no image shares its name with."""
    lone = (read.get(_xml(place, name)) for name in names if name not in place.images)
    return [content.file_name for content in lone if content and content.file_name]


def _sample(path: Path, read: _Read, labels: Mapping[str, int], root: Path) -> RawSample:
    found = [
        Found(item.box, labels[label], item.name, item.is_crowd) for label, item in read.objects
    ]
    target = gathered(found, has_outlines=False)
    return RawSample(path, target, name_of(path, root), read.size)


def _image(name: str, read: _Read, place: Place, finder: ImageFinder) -> Path | None:
    """Return the image of an annotation: of the same name, or the one that it names."""
    if name in place.images:
        return place.images[name]
    return finder.find(read.file_name) if read.file_name else None


def _annotation(file: Path, root: Path) -> _Read | Skipped:
    name = name_of(file, root)
    if not file.is_file():
        detail = (
            f"{name} is not there; add one without objects if the image shows none, or move the "
            "image away"
        )
        return Skipped(name, "image without an annotation", detail)
    try:
        tree = ElementTree.fromstring(xml_text(read_file(file, XML_MB)))
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
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
        width, height = (float(tree.findtext(f"size/{key}") or "") for key in ("width", "height"))
    except ValueError:
        return None
    is_size = width > 0 and height > 0 and width.is_integer() and height.is_integer()
    return (int(width), int(height)) if is_size else None
