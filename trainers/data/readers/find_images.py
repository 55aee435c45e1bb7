"""Files of the images that annotations, lists and tables name, as another machine wrote the names.

A name may have backslashes, another case or Unicode form than its file, ``%20`` for a blank, no
ending, the folders of another machine, or none at all. It is found where one meaning is clear.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.readers.paths import (
    SPLIT_NAMES,
    images_below,
    is_image,
    is_image_name,
    is_visible,
    name_of,
)
from archfront.trainers.data.ref import DataRef

N_TRIED = 200  # names by which it is decided whether all begin with folders that are none here
N_SHOWN = 4
DRIVE = re.compile(r"[A-Za-z]:")
LABEL_STUDIO = "?d="  # before the path in what Label Studio writes of local files


@dataclass
class _Names:
    """Images by what all spellings of a file name, or of one without its ending, share."""

    by_name: dict[str, list[Path]] = field(default_factory=dict)
    by_stem: dict[str, list[Path]] = field(default_factory=dict)

    def add(self, file: Path) -> None:
        """Take an image in."""
        self.by_name.setdefault(_spelling(file.name), []).append(file)
        self.by_stem.setdefault(_spelling(file.stem), []).append(file)

    def named(self, name: str) -> list[Path]:
        """Return the images of a name, which may lack its ending."""
        found = self.by_name.get(_spelling(name), [])
        return found if found or is_image_name(name) else self.by_stem.get(_spelling(name), [])


class ImageFinder:
    """Finds images by their names.

    A name is looked for in the likely folders as it is, and then in any spelling. Else it is the
    one image below the root whose path ends alike: the last folder of a name has to agree, too,
    unless the name is absolute or begins with ``..``, as those of other machines do. If no image
    is found by its name, folders that all names begin with are left off. An absolute name of a
    file outside of the root counts last, or first with ``data.outside_root=allow``.

    Args:
        ref: Which data.
        root: Its folder.
        places: Folders that names are relative to, the likeliest first.
        names: All names that will be looked for.
    """

    def __init__(
        self, ref: DataRef, root: Path, places: Sequence[Path], names: Sequence[str]
    ) -> None:
        self._ref, self._root = ref, root
        self._places = tuple(dict.fromkeys(places))
        self._folders: dict[Path, tuple[_Names, dict[str, list[Path]]]] = {}
        self._n_dropped = 0  # folders at the beginning of all names that are none here
        tried = names[:: max(1, len(names) // N_TRIED)]
        if tried and not self._finds_any(tried):
            self._drop_folders(tried)

    def find(self, name: str) -> Path | None:
        """Return the image of a name; None where there is none, or where two fit."""
        named = Path(name) if os.path.isabs(name) and _is_file(Path(name)) else None
        is_first = named is not None and named.is_relative_to(self._root)
        if is_first or (named is not None and self._ref.outside_root == "allow"):
            return named
        parts = _parts(name)
        found = self._in_places(name, parts)
        if found is None and parts:
            # The folders of a file that is there are those of this machine.
            is_foreign = named is None and _is_foreign(name)
            found = self._ending_alike(parts, is_foreign=is_foreign)
        return found or named

    def missing(self, name: str, *, what: str = "annotated") -> Skipped:
        """Return the problem of an image that is not found, with those that nearly have its name.

        Args:
            name: Of the image.
            what: What its name is, such as ``listed``.
        """
        near = self._near(name)
        places = [name_of(folder, self._root) for folder in self._places[:N_SHOWN]]
        where = ""
        if near:
            where = f", but {' and '.join(near)} {'are' if len(near) > 1 else 'is'}"
        elif places != ["."]:
            where = f"; looked for in {', '.join(places)}"
        return Skipped(name, "missing image file", f"{name} is {what} but not there{where}")

    def _near(self, name: str) -> list[str]:
        """Return the images in the folder of a name that differ from it by their ending only."""
        parts = _parts(name)
        inside = parts[-2:-1] or [place.name for place in self._places]
        folders = set(map(_spelling, inside))
        alike = self._all_below.by_stem.get(_spelling(Path(parts[-1]).stem), []) if parts else []
        return [f.name for f in alike if _spelling(f.parent.name) in folders][:N_SHOWN]

    def _finds_any(self, names: Iterable[str]) -> bool:
        return any(self.find(name) is not None for name in names)

    def _drop_folders(self, tried: Sequence[str]) -> None:
        """Take folders off the beginning of all names, as many as make some name an image."""
        levels = list(zip(*(_parts(name)[:-1] for name in tried), strict=False))
        n_common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
        for self._n_dropped in range(1, n_common + 1):
            if any(self._in_places(name, _parts(name)) is not None for name in tried):
                return
        self._n_dropped = 0

    def _in_places(self, name: str, parts: Sequence[str]) -> Path | None:
        """Return the image in the likely folders: of the very name, else in another spelling."""
        dropped, kept = parts[: self._n_dropped], parts[self._n_dropped :]
        for place in self._places:
            if _are_of_other_splits((*dropped, ""), (*place.parts[-1:], ""), is_strict=True):
                continue
            if not dropped and not os.path.isabs(name):
                exact = place / name.replace("\\", "/")
                if _is_file(place / name) or _is_file(exact):
                    return place / name if _is_file(place / name) else exact
            found = self._below(place, kept) if kept else None
            if found is not None:
                return found
        return None

    def _below(self, place: Path, parts: Sequence[str]) -> Path | None:
        folder = self._walked(place, parts[:-1])
        if folder is None:
            return None
        found = self._listed(folder)[0].named(parts[-1])
        return found[0] if len(found) == 1 and _is_file(found[0]) else None

    def _walked(self, place: Path, parts: Sequence[str]) -> Path | None:
        """Return a folder below a place, in whichever spelling; None where there is none."""
        for part in parts:
            below = place / part
            if not _is_dir(below):
                found = self._listed(place)[1].get(_spelling(part), []) if _is_dir(place) else []
                if len(found) != 1:
                    return None
                below = found[0]
            place = below
        return place if _is_dir(place) else None

    def _listed(self, folder: Path) -> tuple[_Names, dict[str, list[Path]]]:
        """Return the images and the folders in a folder, by their spellings."""
        if folder not in self._folders:
            images, below = self._folders[folder] = (_Names(), {})
            for name in sorted(filter(is_visible, os.listdir(folder))):
                if is_image(folder / name):
                    images.add(folder / name)
                elif _is_dir(folder / name):
                    below.setdefault(_spelling(name), []).append(folder / name)
        return self._folders[folder]

    def _ending_alike(self, parts: Sequence[str], *, is_foreign: bool) -> Path | None:
        """Return the one image below the root with the longest end of a path in common."""
        best: list[Path] = []
        most = (0, 0)
        for file in self._all_below.named(parts[-1]):
            others = file.relative_to(self._root).parts
            if _are_of_other_splits(parts, others):
                continue
            n_alike = 1 + _common_end(map(_spelling, parts[:-1]), map(_spelling, others[:-1]))
            same = n_alike, _common_end(parts, others)  # files whose names differ in case only
            if same > most:
                most, best = same, []
            if same == most:
                best.append(file)
        is_enough = most[0] > 1 or len(parts) == 1 or is_foreign
        return best[0] if len(best) == 1 and is_enough and _is_file(best[0]) else None

    @cached_property
    def _all_below(self) -> _Names:
        found = _Names()
        for file in images_below(self._root):
            found.add(file)
        return found


def _parts(name: str) -> list[str]:
    """Return folders and file of a name, without a drive and what means nothing."""
    plain = unquote(name.split(LABEL_STUDIO)[-1]).replace("\\", "/").strip()
    parts = [part for part in DRIVE.sub("", plain, count=1).split("/") if part not in ("", ".")]
    return parts[sum(1 for _ in takewhile(lambda part: part == "..", parts)) :]


def _is_foreign(name: str) -> bool:
    plain = name.strip().replace("\\", "/")
    return plain.startswith(("/", "../")) or DRIVE.match(plain) is not None


def _spelling(name: str) -> str:
    """Return what a name is in every case and Unicode form, also as a part of an address."""
    return unicodedata.normalize("NFC", unquote(name)).casefold()


def _are_of_other_splits(
    one: Sequence[str], other: Sequence[str], *, is_strict: bool = False
) -> bool:
    """Return whether the folders of two paths are those of different splits.

    With ``is_strict`` a split of the first that the second does not say is another one.
    """
    first, second = (
        {SPLIT_NAMES[part.lower()] for part in parts[:-1] if part.lower() in SPLIT_NAMES}
        for parts in (one, other)
    )
    return bool(first and (second or is_strict)) and not first & second


def _common_end(one: Iterable[str], other: Iterable[str]) -> int:
    pairs = zip(reversed(list(one)), reversed(list(other)), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for one
        return False


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
