"""Where the files of a dataset lie: its root, its images, and what the splits are called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from archfront.trainers.data.images import EXTENSIONS
from archfront.trainers.data.raw import RawSample, Skipped
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError
from archfront.trainers.files import plain_path
from archfront.trainers.safe_text import visible_line

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# Folders that systems leave beside files: from archives, of thumbnails, of what was deleted.
LITTER = frozenset(
    (
        *("__macosx", "__pycache__", "lost+found", "lost.dir", "system volume information"),
        *("@eadir", "@__thumb", "@tmp", "@recycle", "@recently-snapshot"),
        *("#recycle", "#snapshot", "$recycle.bin", "recycler"),
    )
)


def existing_root(ref: DataRef, what: str, layout: str) -> Path:
    """Return the folder of a dataset.

    Args:
        ref: Which data.
        what: What the folder is, in words.
        layout: What is expected in it, in words.

    Raises:
        DataError: If no folder is given, or it is not there.
    """
    if ref.root is None:
        raise DataError(f"data={ref.reader} needs data.root, {what}.")
    root = plain_path(ref.root)
    if not root.exists():
        near = next(parent for parent in root.parents if parent.is_dir())
        raise DataError(
            f"data.root {root} is not there; the nearest folder that is: {near}. Check the path."
        )
    if not root.is_dir():
        raise DataError(f"data.root {root} is a file, not a folder. {layout}.")
    return root


def folders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder, sorted."""
    return [entry for entry in visible(folder) if entry.is_dir()]


def child(folder: Path, name: str) -> Path:
    """Return the folder of a name in a folder, in capitals too; as it is where there is none."""
    exact = folder / name
    if exact.is_dir() or not folder.is_dir():
        return exact
    return next((entry for entry in folders(folder) if entry.name.lower() == name), exact)


def split_folders(folder: Path, split: str | None = None) -> list[tuple[str, Path]]:
    """Return the folders that are called like a split, or like this one, each with its split."""
    if not folder.is_dir():
        return []
    named = [(SPLIT_NAMES.get(entry.name.lower()), entry) for entry in folders(folder)]
    return [(name, entry) for name, entry in named if name is not None and split in (None, name)]


def visible(folder: Path) -> list[Path]:
    """Return the visible entries of a folder, sorted."""
    return sorted((e for e in folder.iterdir() if is_visible(e.name)), key=lambda e: e.name)


def is_visible(name: str) -> bool:
    """Return whether a file is neither hidden nor what a system leaves behind."""
    return not name.startswith(".") and name.casefold() not in LITTER


def is_image_name(name: str) -> bool:
    """Return whether a name has an ending of an image, in capitals too."""
    return Path(name).suffix.lower() in EXTENSIONS


def is_image(file: Path) -> bool:
    """Return whether a file has an ending of an image."""
    return is_image_name(file.name) and not file.is_dir()


def images_in(folder: Path) -> list[Path]:
    """Return the visible images directly in a folder, sorted."""
    return [entry for entry in visible(folder) if is_image(entry)]


def images_below(folder: Path, n_most: int | None = None) -> list[Path]:
    """Return the visible images in a folder and the folders below it; see ``files_below``."""
    return [file for file in files_below(folder, n_most) if is_image_name(file.name)]


def files_below(folder: Path, n_most: int | None = None) -> list[Path]:
    """Return all visible files below a folder, sorted; links are followed, each folder once.

    Args:
        folder: Where to look; nothing is found in one that is not there.
        n_most: Files to look at; None for all.

    Raises:
        OSError: If a folder cannot be read.
    """
    found = sorted(islice(_walked(folder), n_most)) if folder.is_dir() else []
    return [file for _, file in found]


def _walked(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the visible files below a folder, each with its path from there."""
    seen: set[str] = set()
    for parent, below, files in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(parent)
        below[:] = [] if real in seen else sorted(filter(is_visible, below))
        if real not in seen:
            found = (Path(parent, name) for name in files if is_visible(name))
            yield from ((file.relative_to(folder).as_posix(), file) for file in found)
        seen.add(real)


def _raise(error: OSError) -> None:
    """Raise the error of a folder that cannot be read; one that has gone has no files."""
    if not isinstance(error, FileNotFoundError):
        raise error


def is_there(path: Path) -> bool:
    """Return whether a path leads to something, not in a folder that this user may not enter."""
    try:
        return path.exists()
    except OSError:  # such a folder, as /root of another machine, or a name too long for one
        return False


def name_of(file: Path, root: Path) -> str:
    """Return the name of a file for people: relative to the root where it lies below it.

    What a terminal would obey in it is written out, so that it is one line.
    """
    inside = file.is_relative_to(root)
    return visible_line((file.relative_to(root) if inside else file).as_posix())


def as_parts(
    parts: Mapping[str, Sequence[RawSample]], root: Path
) -> tuple[dict[str, tuple[RawSample, ...]], list[Skipped]]:
    """Return the parts with every image once, and those that were listed again.

    What a part already has, or an earlier one, is left out of the later: an image that is trained
    on and evaluated by says nothing. A lone ``train`` becomes ``all``, to be split.

    Raises:
        DataError: If there is no image for training.
    """
    seen: dict[object, str] = {}
    kept: dict[str, tuple[RawSample, ...]] = {}
    problems = []
    for part, samples in parts.items():
        fresh = []
        for sample in samples:
            key = sample.source if isinstance(sample.source, Path) else id(sample.source)
            if key in seen:
                problems.append(_listed_twice(sample.name, seen[key], part))
                continue
            seen[key] = part
            fresh.append(sample)
        kept[part] = tuple(fresh)
    if "all" not in kept and "train" not in kept:
        having = f"{' and '.join(kept)} but " if kept else ""
        raise DataError(f"data.root {root} has {having}no images to train on.")
    if set(kept) == {"train"}:
        kept = {"all": kept["train"]}
    return kept, problems


def _listed_twice(name: str, first: str, part: str) -> Skipped:
    if first == part:
        return Skipped(name, "image listed twice", f"{name} is listed twice; the first counts")
    return Skipped(
        name,
        "image in two splits",
        f"{name} is in {first} and in {part}; it was left out of {part}",
    )
