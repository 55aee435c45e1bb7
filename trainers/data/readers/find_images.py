"""Files of the images that a table names, wherever one meaning of a name is clear.

A name may have backslashes, another case or another Unicode form than its file, or no ending. If
not one file is found, names may begin with folders of another machine, or lack a folder.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from archfront.trainers.data.images import EXTENSIONS
from archfront.trainers.data.readers.paths import folders, is_image, is_visible

N_TRIED = 200  # names by which it is decided where images lie
DRIVE = re.compile(r"[A-Za-z]:")


@dataclass
class _Listing:
    """Names in a folder by what all spellings of a name, or of one without ending, share."""

    by_name: dict[str, list[str]] = field(default_factory=dict)
    by_stem: dict[str, list[str]] = field(default_factory=dict)  # of images only


class ImageFinder:
    """Finds images by their names.

    Args:
        places: Folders that names are relative to, the likeliest first.
        names: All names that will be looked for.
    """

    def __init__(self, places: Sequence[Path], names: Sequence[str]) -> None:
        self._listings: dict[Path, _Listing] = {}
        self._places = tuple(dict.fromkeys(places))
        self._n_dropped = 0  # parts at the beginning of all names that are none here
        tried = names[:: max(1, len(names) // N_TRIED)]
        if tried and not self._finds_any(tried):
            self._look_elsewhere(tried)

    def find(self, name: str) -> Path | None:
        """Return the image of a name; None where there is none, or where two fit."""
        if os.path.isabs(name) and _is_file(Path(name)):
            return Path(name)
        parts = _parts(name)[self._n_dropped :]
        for place in self._places:
            if not self._n_dropped and _is_file(place / name):
                return place / name
            found = self._below(place, parts) if parts else None
            if found is not None:
                return found
        return None

    def near(self, name: str) -> list[str]:
        """Return the images in the folder of a name that differ from it by their ending only."""
        parts = _parts(name)[self._n_dropped :]
        found = [self._walked(place, parts[:-1]) for place in self._places if parts]
        stem = _spelling(Path(parts[-1]).stem) if parts else ""
        return [
            near for f in found if f is not None for near in self._listed(f).by_stem.get(stem, [])
        ]

    def _finds_any(self, names: Sequence[str]) -> bool:
        return any(self.find(name) is not None for name in names)

    def _look_elsewhere(self, tried: Sequence[str]) -> None:
        """Take folders off the beginning of all names, or look in the one folder that has some."""
        first = self._places
        levels = zip(*(_parts(name)[:-1] for name in tried), strict=False)
        n_common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
        for self._n_dropped in range(1, n_common + 1):
            if self._finds_any(tried):
                return
        below = [(folder,) for place in first for folder in folders(place)]
        for self._n_dropped in {0, n_common}:
            fitting = []
            for self._places in below:
                fitting += [self._places] if self._finds_any(tried) else []
            if len(fitting) == 1:
                self._places = fitting[0]
                return
        self._n_dropped, self._places = 0, first

    def _below(self, place: Path, parts: Sequence[str]) -> Path | None:
        folder = self._walked(place, parts[:-1])
        if folder is None:
            return None
        name, listed = parts[-1], self._listed(folder)
        found = listed.by_name.get(_spelling(name), [])
        if not found and Path(name).suffix.lower() not in EXTENSIONS:
            found = listed.by_stem.get(_spelling(name), [])
        return folder / found[0] if len(found) == 1 and _is_file(folder / found[0]) else None

    def _walked(self, place: Path, parts: Sequence[str]) -> Path | None:
        """Return a folder below a place, in whichever spelling; None where there is none."""
        for part in parts:
            if not _is_dir(place / part):
                found = self._listed(place).by_name.get(_spelling(part), [])
                if len(found) != 1:
                    return None
                part = found[0]
            place = place / part
        return place if _is_dir(place) else None

    def _listed(self, folder: Path) -> _Listing:
        if folder not in self._listings:
            listing = self._listings[folder] = _Listing()
            for name in sorted(filter(is_visible, os.listdir(folder))):
                listing.by_name.setdefault(_spelling(name), []).append(name)
                if is_image(folder / name):
                    listing.by_stem.setdefault(_spelling(Path(name).stem), []).append(name)
        return self._listings[folder]


def _parts(name: str) -> list[str]:
    """Return folders and file of a name, without a drive and what means nothing."""
    plain = DRIVE.sub("", name.replace("\\", "/").strip(), count=1)
    return [part for part in plain.split("/") if part not in ("", ".")]


def _spelling(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


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
