"""Images outside of the root of their dataset, by names in annotations or through links."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.readers.paths import is_there, name_of
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of

if TYPE_CHECKING:
    from archfront.trainers.data.images import ImageSource

N_EXAMPLES = 3


def refuse_outside(ref: DataRef, root: Path, sources: Iterable[ImageSource]) -> None:
    """Raise an error if images that annotations name lie outside of the root, unless allowed.

    Links are followed: what counts is where the file itself lies. A link to nothing is a missing
    file, not one outside.

    Args:
        ref: Which data.
        root: Its folder.
        sources: Images, and masks where there are some.

    Raises:
        DataError: With the count and a few examples.
    """
    outside = [] if ref.outside_root == "allow" else _outside(root, sources)
    if not outside:
        return
    shown = [f"{file}" if file == real else f"{file} ({real})" for file, real in outside]
    more = f" and {len(outside) - N_EXAMPLES:,} more" if len(outside) > N_EXAMPLES else ""
    lie = count_of(len(outside), "image lies", "images lie")
    raise DataError(
        f"{lie} outside of data.root {root}: {', '.join(shown[:N_EXAMPLES])}{more}. Correct the "
        "annotations, give the folder that holds all as data.root, or set data.outside_root=allow "
        "to read them."
    )


def linked_outside(root: Path, sources: Iterable[ImageSource]) -> tuple[Skipped, ...]:
    """Return a note of each image that a link in a folder of classes or masks leads to.

    Who made the folder made the link, unlike a name in annotations, so the image is read.
    """
    return tuple(
        Skipped(
            name_of(file, root),
            "an image outside of data.root, by a link",
            f"the file itself is {real}",
            is_note=True,
        )
        for file, real in _outside(root, sources)
    )


def _outside(root: Path, sources: Iterable[ImageSource]) -> list[tuple[Path, Path]]:
    """Return the files that lie outside of the root, each with where it lies."""
    real_root = _real(root)
    folders: dict[Path, Path] = {}
    outside = []
    for file in sources:
        if not isinstance(file, Path):
            continue
        folder = folders.setdefault(file.parent, _real(file.parent))
        real = _real(file) if file.is_symlink() else folder / file.name
        if not real.is_relative_to(real_root) and is_there(real):
            outside.append((file, real))
    return outside


def is_outside(ref: DataRef, root: Path, folder: Path) -> bool:
    """Return whether a folder lies outside of the root, and that is not allowed."""
    return ref.outside_root == "forbid" and not _real(folder).is_relative_to(_real(root))


def _real(path: Path) -> Path:
    """Return where a path leads; one that leads to itself stays."""
    return Path(os.path.realpath(path))
