"""A folder of images with one folder per class, with or without folders per split.

``root/<class>/...`` is split by the configuration; ``root/train/<class>/...`` beside ``val`` (or
``valid``, ``validation``), ``test`` or both is taken as it is. Images may lie in folders inside
a class folder. Hidden files are ignored; other files and folders that are not images are named.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.paths import (
    SPLIT_NAMES,
    existing_root,
    folders,
    is_image,
    is_visible,
    visible,
)
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of

LAYOUT = (
    "archfront expects <data.root>/<class>/<image>, or <data.root>/train/<class>/<image> "
    "and the same under val"
)


def read_folder(ref: DataRef) -> RawData:
    """Return the images of a folder, labels by the sorted names of the class folders.

    Raises:
        DataError: If the folder is not there or holds no class folders.
    """
    try:
        return _read(_existing(ref))
    except OSError as error:
        raise DataError(
            f"data.root {ref.root} cannot be read: {error.filename}: {error.strerror}."
        ) from error


def _read(root: Path) -> RawData:
    parts = _split_folders(root)
    class_names = sorted({f.name for folder in parts.values() for f in folders(folder)})
    skipped = [
        Skipped(name, "not in a class folder", "it lies outside of every class folder")
        for name in _strays(root, parts)
    ]
    samples: dict[str, tuple[RawSample, ...]] = {}
    for part, folder in parts.items():
        found = list(_samples(root, folder, class_names))
        samples[part] = tuple(item for item in found if isinstance(item, RawSample))
        skipped += [item for item in found if isinstance(item, Skipped)]
    return RawData(
        where=f"data.root {root}",
        class_names=tuple(class_names),
        parts=samples,
        skipped=tuple(skipped),
    )


def _existing(ref: DataRef) -> Path:
    root = existing_root(ref, "the folder of the images", LAYOUT)
    if not folders(root):
        n_images = sum(is_image(file) for file in root.iterdir())
        images = count_of(n_images, "image lies", "images lie")
        raise DataError(
            f"data.root {root} has no class folders ({images} in it directly). {LAYOUT}."
        )
    return root


def _split_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each split, or ``{"all": folder}`` for one tree of class folders.

    A class may be called ``train``: a folder is a split only if it holds folders and no images.
    """
    named = [f for f in folders(root) if f.name.lower() in SPLIT_NAMES and _holds_classes(f)]
    parts: dict[str, Path] = {}
    for folder in named:
        split = SPLIT_NAMES[folder.name.lower()]
        if split in parts:
            raise DataError(
                f"data.root {root} has two folders for the split {split}: {parts[split].name} and "
                f"{folder.name}. Merge them or move one away."
            )
        parts[split] = folder
    has_others = len(named) < len(folders(root))
    if set(parts) == {"train"} and not has_others:
        return {"all": parts["train"]}
    if len(parts) > 1 and "train" in parts:
        return parts
    if parts and not has_others and "train" not in parts:
        raise DataError(
            f"data.root {root} has {' and '.join(sorted(parts))} but no train folder. {LAYOUT}."
        )
    return {"all": root}


def _samples(root: Path, folder: Path, class_names: list[str]) -> Iterator[RawSample | Skipped]:
    labels = {name: label for label, name in enumerate(class_names)}
    for class_folder in folders(folder):
        for file in _files(class_folder):
            name = file.relative_to(root).as_posix()
            if is_image(file):
                yield RawSample(source=file, target=labels[class_folder.name], name=name)
            else:
                known = "its name has no ending of an image file, as .jpg or .png"
                yield Skipped(name, "not an image file", known)


def _strays(root: Path, parts: Mapping[str, Path]) -> list[str]:
    """Return the entries where only class folders (or split folders) are expected."""
    kept = set(parts.values())
    around = [] if root in kept else [entry for entry in visible(root) if entry not in kept]
    inside = [entry for folder in kept for entry in visible(folder) if not entry.is_dir()]
    return sorted(entry.relative_to(root).as_posix() for entry in around + inside)


def _files(folder: Path) -> list[Path]:
    """Return all visible files below a folder, sorted; links are followed, each folder once."""
    found: list[Path] = []
    seen: set[str] = set()
    for parent, below, files in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(parent)
        below[:] = [] if real in seen else [name for name in below if is_visible(name)]
        if real not in seen:
            found += [Path(parent, name) for name in files if is_visible(name)]
        seen.add(real)
    return sorted(found, key=lambda file: file.relative_to(folder).as_posix())


def _raise(error: OSError) -> None:
    raise error


def _holds_classes(folder: Path) -> bool:
    entries = visible(folder)
    return any(e.is_dir() for e in entries) and not any(is_image(e) for e in entries)
