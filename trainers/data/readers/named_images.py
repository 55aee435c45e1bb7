"""Images found by the names that annotations give, as another machine or tool wrote them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from archfront.trainers.data.readers.paths import SPLIT_NAMES, images_below

DRIVE = re.compile(r"[A-Za-z]:/")
LABEL_STUDIO = "?d="  # before the path in what Label Studio writes of local files


class NamedImages:
    """The images below a root, by the names that annotations give.

    A name is first looked for as it is in the likely folders. Else it is the one image below the
    root whose path ends alike: of a name with folders the last one has to agree, too, but for
    absolute names, whose folders were those of another machine.

    Args:
        root: Of the dataset.
        folders: In which the images may lie, the likeliest first.
    """

    def __init__(self, root: Path, folders: Sequence[Path]) -> None:
        self._root = root
        self._folders = folders

    def find(self, name: str) -> Path | None:
        """Return the file of a name, or None."""
        asked = name.replace("\\", "/")
        is_absolute = asked.startswith("/") or DRIVE.match(asked) is not None
        if not is_absolute:
            for folder in self._folders:
                if (folder / asked).is_file():
                    return folder / asked
        found = self._ending_alike(asked, is_absolute=is_absolute or asked.startswith("../"))
        return Path(asked) if found is None and _is_file(asked, is_absolute) else found

    def _ending_alike(self, asked: str, *, is_absolute: bool) -> Path | None:
        parts = _plain(unquote(asked.split(LABEL_STUDIO)[-1])).split("/")
        best: list[Path] = []
        most = 0
        for path, others in self._by_name.get(parts[-1], ()):
            if _are_of_other_splits(parts, others):
                continue
            same = _common_end(parts, others)
            if same > most:
                most, best = same, []
            if same == most:
                best.append(path)
        is_enough = most > 1 or len(parts) == 1 or is_absolute
        return best[0] if len(best) == 1 and is_enough else None

    @cached_property
    def _by_name(self) -> dict[str, list[tuple[Path, list[str]]]]:
        found: dict[str, list[tuple[Path, list[str]]]] = {}
        for path in images_below(self._root):
            parts = _plain(path.relative_to(self._root).as_posix()).split("/")
            found.setdefault(parts[-1], []).append((path, parts))
        return found


def _is_file(asked: str, is_absolute: bool) -> bool:
    return is_absolute and Path(asked).is_file()


def _plain(name: str) -> str:
    """Return a name in one unicode form, since machines write accents in two."""
    return unicodedata.normalize("NFC", name.removeprefix("./"))


def _are_of_other_splits(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether the folders of two paths are those of different splits."""
    first, second = (
        {SPLIT_NAMES[part.lower()] for part in parts[:-1] if part.lower() in SPLIT_NAMES}
        for parts in (one, other)
    )
    return bool(first and second) and not first & second


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
