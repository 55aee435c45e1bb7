"""Files that are written whole or not at all, and locks that end with their process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name to write to; it takes the place of ``path`` only when all is written."""
    written = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield written
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


def write_whole(file: Path, text: str) -> None:
    """Write a file whole or not at all, in UTF-8."""
    with replacing(file) as written:
        written.write_text(text, encoding="utf-8")


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Wait until no other process holds a lock, and hold it; a process that dies gives it back.

    Args:
        file: The file of the lock, which is made with its folder and stays.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sync(path: Path) -> None:
    """Have the content of a file, or the names in a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
