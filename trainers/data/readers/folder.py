"""A folder of images with one folder per class, with or without folders per split.

``root/<class>/...`` is split by the configuration; ``root/train/<class>/...`` beside ``val`` (or
``valid``, ``Testing``, ``test_set``) is taken as it is. Images may lie in folders inside a class
folder. Hidden files and thumbnails of systems are ignored; other files and folders that are not
images are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.class_folders import LAYOUT, class_folders
from archfront.trainers.data.readers.outside_root import linked_outside
from archfront.trainers.data.readers.paths import (
    existing_root,
    files_below,
    is_image_name,
    name_of,
)
from archfront.trainers.data.ref import DataRef


def read_folder(ref: DataRef) -> RawData:
    """Return the images of a folder, labels by the sorted names of the class folders.

    Raises:
        DataError: If the folder is not there or holds no class folders.
    """
    root = existing_root(ref, "the folder of the images", LAYOUT)
    found = class_folders(root)
    class_names = sorted({name for classes in found.parts.values() for name in classes})
    labels = {name: label for label, name in enumerate(class_names)}
    skipped = list(found.skipped)
    samples: dict[str, tuple[RawSample, ...]] = {}
    for part, classes in found.parts.items():
        items = [
            item
            for name, places in classes.items()
            for folder in places
            for item in _samples(root, folder, labels[name])
        ]
        samples[part] = tuple(item for item in items if isinstance(item, RawSample))
        skipped += [item for item in items if isinstance(item, Skipped)]
    sources = (sample.source for found in samples.values() for sample in found)
    skipped += linked_outside(root, sources)
    return RawData(
        where=f"data.root {root}",
        class_names=tuple(class_names),
        parts=samples,
        skipped=tuple(skipped),
    )


def _samples(root: Path, folder: Path, label: int) -> Iterator[RawSample | Skipped]:
    for file in files_below(folder):
        name = name_of(file, root)
        if is_image_name(file.name):
            yield RawSample(source=file, target=label, name=name)
        else:
            known = "its name has no ending of an image file, as .jpg or .png"
            yield Skipped(name, "not an image file", known)
