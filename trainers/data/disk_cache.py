"""Folders that one process of this machine makes and all of them read.

A folder is made under a kernel lock, which a process that dies gives back, and gets its name
when all of it is written; so it is there whole or not at all. Whatever goes wrong with the disk
only costs time: then each process does without.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from archfront.trainers.files import locked

logger = logging.getLogger(__name__)

PART = ".part"


class TooLargeError(Exception):
    """The content of a folder is larger than the disk cache."""


@dataclass(frozen=True)
class DiskCache:
    """A root of folders that processes share, the least recently used removed first.

    Attributes:
        root: Where the folders lie; made if it is missing.
        limit_bytes: Total size that all folders may take.
    """

    root: Path
    limit_bytes: int

    def folder(self, key: str, make: Callable[[Path], None]) -> Path | None:
        """Return the folder of a key, made now if no process did so before.

        A process that finds another one making it waits. A process that has the files of a
        removed folder open keeps them.

        Args:
            key: Everything that decides the content, as a file name.
            make: Fills an empty folder.

        Returns:
            The folder; None where it cannot be written, or is too large.
        """
        target, note = self.root / key, self.root / f".{key}.large"
        limit = str(self.limit_bytes)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with locked(self.root / f".{key}.lock"):
                if note.is_file() and note.read_text() == limit:
                    raise TooLargeError
                if not target.is_dir():
                    self._make(target, make)
                os.utime(target)
        except TooLargeError:
            with suppress(OSError):
                note.write_text(limit)  # so that no process begins it again
            logger.info("%s takes more than %s bytes and is not shared.", key, limit)
            return None
        except OSError as error:
            logger.warning("%s cannot be shared, so every worker reads for itself: %s", key, error)
            return None
        return target

    def _make(self, target: Path, make: Callable[[Path], None]) -> None:
        part = self.root / f".{target.name}{PART}"
        shutil.rmtree(part, ignore_errors=True)  # of a process that died
        part.mkdir()
        try:
            make(part)
            if _size(part) > self.limit_bytes:
                raise TooLargeError
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._remove_others(target)

    def _remove_others(self, kept: Path) -> None:
        """Remove the least recently used folders until all take no more than they may."""
        others = [p for p in self.root.iterdir() if p.is_dir() and not p.name.startswith(".")]
        others = [p for p in others if p != kept]
        others.sort(key=lambda path: path.stat().st_mtime)
        used = _size(kept) + sum(map(_size, others))
        for path in others:
            if used <= self.limit_bytes:
                return
            used -= _size(path)
            shutil.rmtree(path, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
