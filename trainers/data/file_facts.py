"""What was found in files, remembered by their sizes and times, so that a second start is quick.

One file of json per dataset lies in the user's cache folder, beside the decoded images. Its first
line has a version and a hash of the second, which has the facts. A file that is damaged or of
another version is read as if it were not there, and written anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import PIL

from archfront.trainers.files import replacing

logger = logging.getLogger(__name__)

UNUSED = 5  # facts over those that were used, from which the others are forgotten
# Changes with what is remembered, and with what decodes an image.
VERSION = f"1-{PIL.__version__}"


class FileFacts:
    """Facts about files by kind, read again when the size or a time of a file changes.

    Args:
        file: Where they are remembered; None for nowhere.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, Any] = {} if file is None else _read(file)
        self._is_changed = False
        self._used: set[str] = set()

    @property
    def is_kept(self) -> bool:
        """Return whether facts are remembered for the next start."""
        return self._file is not None

    def get(self, path: Path, kind: str, make: Callable[[], list[Any]]) -> list[Any]:
        """Return a fact about a file: plain values, made now if they are not known.

        Args:
            path: Which file.
            kind: Which fact, with everything that decides it beside the file.
            make: Returns it; what it raises is not remembered.
        """
        if self._file is None:
            return make()
        key, state = f"{kind} {path.absolute()}", _state(path)
        self._used.add(key)
        known = self._known.get(key)
        if isinstance(known, list) and len(known) == 2 and state is not None:
            before, found = known
            if before == state and isinstance(found, list):
                return found
        found = make()
        if state is not None:
            self._known[key] = [state, found]
            self._is_changed = True
        return found

    def save(self) -> None:
        """Write what is new; whatever goes wrong with the disk only costs the next start time."""
        if self._file is None or not self._is_changed:
            return
        if len(self._known) > len(self._used) * UNUSED:  # of files and classes of long ago
            self._known = {key: self._known[key] for key in self._used if key in self._known}
        body = json.dumps(self._known)
        head = json.dumps({"version": VERSION, "sha256": _digest(body)})
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._file) as written:
                written.write_text(f"{head}\n{body}\n", encoding="utf-8")
            self._is_changed = False
        except OSError as error:
            logger.warning("%s cannot be written, so files are read again: %s", self._file, error)


@lru_cache(maxsize=4)
def file_facts(shared: str | None, root: str | None) -> FileFacts:
    """Return the facts about the files of a dataset, the same object in one process.

    Args:
        shared: Folder in which the processes of this machine share images; None for none.
        root: Folder of the dataset.
    """
    if shared is None or root is None:
        return FileFacts(None)
    name = hashlib.sha256(str(Path(root).expanduser().absolute()).encode()).hexdigest()[:24]
    return FileFacts(Path(shared).with_name("files") / f"{name}.json")


def _state(path: Path) -> list[int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    try:
        head, body = file.read_text(encoding="utf-8").split("\n")[:2]
        said = json.loads(head)
        if said == {"version": VERSION, "sha256": _digest(body)}:
            return dict(json.loads(body))
    except (OSError, ValueError, RecursionError, TypeError):
        pass  # not there, or damaged
    return {}
