"""COCO's json files: boxes, outlines (polygons or run-length encodings), and masks made of them.

The categories become classes in the order of their ids, which may be numbers or text. A crowd
(``iscrowd``) is kept as one: it is not learned, and what is found in it is not wrong; in a mask
its pixels do not count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from archfront.trainers.data.objects import Found, gathered, rasterized
from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.coco_files import (
    LAYOUT,
    AnnotationFile,
    annotation_files,
    read_json,
)
from archfront.trainers.data.readers.coco_objects import (
    Unusable,
    found_in,
    key_of,
    numbers,
    polygons,
)
from archfront.trainers.data.readers.find_images import ImageFinder
from archfront.trainers.data.readers.outside_root import refuse_outside
from archfront.trainers.data.readers.paths import as_parts, existing_root, name_of
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import IGNORED, Mask, Segment, Target
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of, quoted

BACKGROUND = "background"
Entry = Mapping[str, Any]


def read_coco(ref: DataRef) -> RawData:
    """Return the images that annotation files list, with the objects of each.

    An image without objects is one: nothing of any class is there. In a mask the background is
    class 0, and later objects lie over earlier ones.

    Raises:
        DataError: If a file is not there or does not parse, or the categories contradict, or are
            more than a mask can hold.
    """
    root = existing_root(ref, "the folder of annotations and images", LAYOUT)
    files = annotation_files(root, ref.annotations)
    contents, notes = _contents(files, root)
    categories = _categories([(f, content["categories"]) for f, content in contents], root)
    used = {key_of(a.get("category_id")) for _, c in contents for a in c["annotations"]}
    names = [(key, name) for key, name in categories.items() if key in used]
    # What annotation tools add as the parent of the real ones.
    said = (c.get("supercategory") for _, content in contents for c in content["categories"])
    parents = {name for name in said if isinstance(name, str)}
    for key, name in categories.items():
        if key not in used and name in parents:
            detail = f"{name!r} is only the parent of other categories; it is no class"
            notes.append(Skipped(name, "category without objects", detail, is_note=True))
        elif key not in used:
            names.append((key, name))
    names.sort(key=_by_number)
    is_mask = ref.target == "mask"
    if is_mask and len(names) >= IGNORED:
        raise DataError(
            f"data.root {root} has {len(names):,} categories, and a mask holds {IGNORED - 1} "
            "classes at most beside its background. Remove categories from the files, or learn "
            "boxes or outlines: task=detection, task=instance."
        )
    grounds = {key: -1 for key, name in names if is_mask and name == BACKGROUND}
    names = [(key, name) for key, name in names if key not in grounds]
    # Classes of a mask are one more, so that -1 is the background.
    labels = {key: label for label, (key, _) in enumerate(names)} | grounds
    parts = {}
    broken: list[Skipped] = []
    for file, content in contents:
        reading = _Reading(root, file, labels, ref)
        parts[file.part] = reading.samples(content)
        broken += reading.broken
        notes += reading.notes
    refuse_outside(ref, root, (s.source for found in parts.values() for s in found))
    kept, repeated = as_parts(parts, root)
    classes = tuple(name for _, name in names)
    return RawData(
        where=f"data.root {root}",
        class_names=(BACKGROUND, *classes) if is_mask else classes,
        parts=kept,
        skipped=tuple(notes),
        broken=(*broken, *repeated),
    )


def _contents(
    files: Iterable[AnnotationFile], root: Path
) -> tuple[list[tuple[AnnotationFile, dict[str, list[dict[str, Any]]]]], list[Skipped]]:
    """Return what the files hold; a test file without annotations is left out and told.

    Raises:
        DataError: If a file cannot be used, or has shares of the image for pixels.
    """
    contents, notes = [], []
    for file in files:
        content = read_json(file.file, root, needs_annotations=file.part != "test")
        name = name_of(file.file, root)
        if file.part == "test" and not content["annotations"]:
            detail = f"{name} has no annotations, so nothing can be scored on its images"
            notes.append(Skipped(name, "test split without annotations", detail, is_note=True))
            continue
        _check_pixels(content, name)
        contents.append((file, content))
    return contents, notes


def _check_pixels(content: Mapping[str, list[dict[str, Any]]], name: str) -> None:
    """Raise an error if all boxes, or all polygons, of a file lie within 0 to 1: no pixels."""
    annotations = content["annotations"]
    boxes = (numbers(annotation.get("bbox")) for annotation in annotations)
    outlines = (polygons(annotation.get("segmentation")) or () for annotation in annotations)
    for one, many, found in (
        ("box", "boxes", _all_shares(boxes)),
        ("polygon", "polygons", _all_shares(part for parts in outlines for part in parts)),
    ):
        if found:
            first = ", ".join(f"{value:.3g}" for value in found[0][:8])
            raise DataError(
                f"{name} has {count_of(len(found), one, many)} and all of their numbers lie "
                f"within 0 to 1, as {first}: those are shares of the image. COCO's are pixels, "
                "a box x and y of its upper left corner, width and height. Multiply what is along "
                "x by the width of the image, and what is along y by its height."
            )


def _all_shares(found: Iterable[tuple[float, ...] | None]) -> list[tuple[float, ...]]:
    """Return what has numbers if all of them lie within 0 to 1, else nothing."""
    shares = []
    for values in found:
        if values and not all(0 <= value <= 1 for value in values):
            return []  # nothing behind it is looked at
        shares += [values] if values else []
    return shares


def _by_number(category: tuple[str, str]) -> tuple[bool, int, str]:
    """Return what sorts categories by their ids: numbers first."""
    key = category[0]
    is_number = key.isascii() and key.isdigit()
    return not is_number, int(key) if is_number else 0, key


def _categories(
    lists: Iterable[tuple[AnnotationFile, list[dict[str, Any]]]], root: Path
) -> dict[str, str]:
    """Return the name of each category id, which all files must agree on."""
    names: dict[str, str] = {}
    for file, categories in lists:
        where = name_of(file.file, root)
        for category in categories:
            key, name = key_of(category.get("id")), str(category.get("name") or "")
            if key is None or not name:
                raise DataError(f"{where} has a category without id or name: {category}.")
            if names.setdefault(key, name) != name:
                raise DataError(
                    f"{where} calls category {key} {name!r}, but it is {names[key]!r} elsewhere. "
                    "Give the files the same categories."
                )
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        keys = [key for key, name in names.items() if name == twice[0]]
        raise DataError(
            f"data.root {root} has categories {' and '.join(keys)} of the same name {twice[0]!r}. "
            "Give each a name of its own."
        )
    return names


@dataclass
class _Reading:
    """One annotation file that is read, and what was wrong in it."""

    root: Path
    file: AnnotationFile
    labels: Mapping[str, int]
    ref: DataRef
    broken: list[Skipped] = field(default_factory=list)
    notes: list[Skipped] = field(default_factory=list)

    def samples(self, content: Mapping[str, list[dict[str, Any]]]) -> list[RawSample]:
        """Return the images that are there, each with its target."""
        images = self._images(content["images"])
        objects = self._objects(content["annotations"], images)
        names = [_image_name(image) for image in images.values()]
        finder = ImageFinder(self.ref, self.root, self.file.folders, names)
        samples = []
        for key, image in images.items():
            name = _image_name(image)
            path = finder.find(name)
            if path is None:
                self.broken.append(finder.missing(name))
                continue
            size = _size(image)
            target = self._target(objects[key], size)
            if target is None:
                detail = f"{name} has no width and height in {self._name}, which its mask needs"
                self.broken.append(Skipped(name, "image without a size", detail))
                continue
            samples.append(RawSample(path, target, name_of(path, self.root), size))
        return samples

    @property
    def _name(self) -> str:
        return name_of(self.file.file, self.root)

    def _images(self, entries: Iterable[Entry]) -> dict[str, Entry]:
        images: dict[str, Entry] = {}
        for image in entries:
            key, name = key_of(image.get("id")), _image_name(image)
            if key is None or not name:
                detail = f"{self._name} has an image without id or file_name: {dict(image)}"
                self.broken.append(Skipped(self._name, "image without id or file_name", detail))
            elif key in images:
                first = _image_name(images[key])
                detail = f"{name} has the id {key} of {first} in {self._name}; it was left out"
                self.broken.append(Skipped(name, "image id that stands twice", detail))
            else:
                images[key] = image
        return images

    def _objects(
        self, annotations: Iterable[Entry], images: Mapping[str, Entry]
    ) -> dict[str, list[Found]]:
        """Return the usable objects of each image, in their order."""
        objects: defaultdict[str, list[Found]] = defaultdict(list)
        ids: Counter[str] = Counter()
        flat: list[str] = []
        seen = set()
        for number, annotation in enumerate(annotations, 1):
            own = key_of(annotation.get("id"))
            name = f"annotation {own or f'number {number}'}"
            ids[name] += 1
            key = key_of(annotation.get("image_id"))
            image = images.get(key) if key is not None else None
            try:
                if key is None or image is None:
                    what = annotation.get("image_id")
                    raise Unusable(
                        "annotation of an unknown image", f"has the image id {quoted(what)}"
                    )
                found, n_flat = found_in(
                    annotation, name, self.labels, self.ref.target, _size(image)
                )
                if (same := (key, found.label, found.box, _hashable(found.segment))) in seen:
                    raise Unusable("object listed twice", "is the same as an earlier one")
            except Unusable as error:
                where = self._name if image is None else _image_name(image)
                self.broken.append(Skipped(f"{where}, {name}", error.reason, f"it {error.detail}"))
                continue
            seen.add(same)
            flat += [name] * bool(n_flat)
            objects[key].append(found)
        self._note_flat(flat)
        repeated = sum(count - 1 for count in ids.values())
        if repeated:
            were = "it was" if repeated == 1 else "they were"
            detail = (
                f"{count_of(repeated, 'annotation has', 'annotations have')} the id of another "
                f"one; nothing needs ids, so {were} kept"
            )
            reason = "annotation ids that stand twice"
            self.notes.append(Skipped(self._name, reason, detail, is_note=True))
        return objects

    def _note_flat(self, names: list[str]) -> None:
        if names:
            have = count_of(len(names), "outline has", "outlines have")
            detail = (
                f"{have} parts of fewer than three points or without an area, as that of "
                f"{names[0]}; those parts are left out"
            )
            reason = "outline with a part without an area"
            self.notes.append(Skipped(self._name, reason, detail, is_note=True))

    def _target(self, found: list[Found], size: tuple[int, int] | None) -> Target | None:
        objects = gathered(found, has_outlines=self.ref.target != "boxes")
        if self.ref.target != "mask":
            return objects
        if size is None:
            return None
        labels = np.asarray(objects.labels + 1, np.int64)  # 0 is the background
        return Mask(partial(rasterized, objects, labels, *size))


def _image_name(image: Entry) -> str:
    """Return the file name of an image; of LVIS, that of its address; empty without one."""
    name = image.get("file_name")
    address = image.get("coco_url")
    if not name and isinstance(address, str):
        name = "/".join(address.split("/")[-2:])
    return name if isinstance(name, str) else ""


def _hashable(segment: Segment | None) -> Hashable:
    """Return the content that two equal outlines share: polygons, or runs."""
    if not isinstance(segment, Mapping):
        return segment
    counts = segment["counts"]
    return tuple(counts) if isinstance(counts, list) else counts


def _size(image: Entry) -> tuple[int, int] | None:
    """Return width and height that an image was annotated at, where they are said."""
    size = numbers((image.get("width"), image.get("height")))
    return (int(size[0]), int(size[1])) if size and min(size) >= 1 else None
