"""The names in an uploaded archive: which may become files, and which collide."""

from __future__ import annotations

import re
import unicodedata

from archfront.trainers.errors import DataError
from archfront.trainers.words import quoted

# Bytes of a folder's or a file's name, and of a whole path; folders within each other.
NAME_BYTES, PATH_BYTES, DEPTH = 255, 1000, 40
# What systems put into archives beside people's files.
BESIDE = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini"}
# Letters that show a name in another order than it has.
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_DRIVE = re.compile(r"[A-Za-z]:")


def parts_of(name: str) -> tuple[str, ...]:
    """Return the folders and the file of a name in an archive; empty for the archive itself.

    Raises:
        DataError: If the name leads elsewhere, or is none that every system can have.
    """
    shown = quoted(name, 120)
    if name.startswith("/") or _DRIVE.match(name):
        raise DataError(f"The archive names a file by an absolute path: {shown}.")
    if "\\" in name:
        raise DataError(f"The archive has a name with a backslash: {shown}.")
    if any(unicodedata.category(letter) == "Cc" for letter in name) or TURNING.search(name):
        raise DataError(f"The archive has a name with control characters: {shown}.")
    try:
        n_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise DataError(f"The archive has a name that is no text in UTF-8: {shown}.") from None
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise DataError(f"The archive has a name that leads out of it: {shown}.")
    is_long = any(len(part.encode()) > NAME_BYTES for part in parts)
    if is_long or n_bytes > PATH_BYTES or len(parts) > DEPTH:
        raise DataError(
            f"The archive has a name that is too long: {shown}. A name has up to {NAME_BYTES} "
            f"bytes, a path {PATH_BYTES} and {DEPTH} folders."
        )
    return parts


class Names:
    """The names that an archive has so far, none of which any system takes for another one."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}

    def add(self, parts: tuple[str, ...], *, is_folder: bool) -> None:
        """Add a file, or a folder, which may come again.

        Raises:
            DataError: If another one has this name, in any case of letters.
        """
        shown = quoted("/".join(parts), 120)
        folders = parts if is_folder else parts[:-1]
        for n in range(1, len(folders) + 1):
            path = "/".join(folders[:n])
            key = _key(path)
            if key in self._files:
                raise DataError(f"The archive has a file and a folder of one name: {shown}.")
            if self._folders.setdefault(key, path) != path:
                raise DataError(
                    f"The archive has folders whose names differ in the case of letters alone: "
                    f"{quoted(self._folders[key], 120)} and {quoted(path, 120)}."
                )
        if is_folder:
            return
        key = _key("/".join(parts))
        if key in self._folders:
            raise DataError(f"The archive has a file and a folder of one name: {shown}.")
        if key in self._files:
            raise DataError(
                f"The archive has the name {shown} twice, or in other cases of its letters."
            )
        self._files.add(key)


def _key(path: str) -> str:
    """Return what two names have in common that some system takes for one."""
    return unicodedata.normalize("NFC", path).casefold()
