"""Files that are written whole or not at all, and locks that end with their process."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# What a path may lead to instead of a regular file.
KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def plain_path(path: str | Path) -> Path:
    """Return an absolute path as people write one: without ``~`` and ``..``.

    Links stay in it, but for those before a ``..``: there the folder is that above their target.
    A user without a home folder stays as written, as a folder that is not there.
    """
    whole = Path(os.path.expanduser(path)).absolute()
    if os.pardir not in whole.parts:
        return whole
    n = len(whole.parts) - whole.parts[::-1].index(os.pardir)
    return Path(os.path.realpath(Path(*whole.parts[:n])), *whole.parts[n:])


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


def keep_latest(folder: Path, n: int) -> None:
    """Remove the JSON files of a folder but for the n that were used last, by their times."""
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for file in files[:-n]:
        file.unlink(missing_ok=True)


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


class UnfitFileError(OSError):
    """A path that is no regular file, or a file that is too large; its text is the reason."""

    def __init__(self, reason: str, path: Path) -> None:
        super().__init__(reason)
        self.strerror, self.filename = reason, str(path)

    def __str__(self) -> str:
        """Return the reason."""
        return str(self.strerror)


def open_regular(path: Path) -> BinaryIO:
    """Return a regular file, open to be read.

    A named pipe has no content until somebody writes to it, and a device has one without an end,
    so neither is opened.

    Raises:
        UnfitFileError: If it is something else.
        OSError: If it is not there or may not be read.
    """
    _check_regular(path, os.stat(path))
    # Without waiting, should a pipe have taken its place.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_regular(path, os.fstat(descriptor))
    except UnfitFileError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, limit_mb: float) -> bytes:
    """Return the content of a regular file.

    Raises:
        UnfitFileError: If it is something else, or larger than ``limit_mb`` times 10^6 bytes.
        OSError: If it is not there or may not be read.
    """
    limit = int(limit_mb * 1e6)
    with open_regular(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if n_bytes <= limit else b""
    if max(n_bytes, len(content)) > limit:
        raise UnfitFileError(
            f"it has {max(n_bytes, len(content)) / 1e6:,.1f} MB; at most {limit_mb:g} MB of such "
            "a file are read",
            path,
        )
    return content


def read_text(path: Path, limit_mb: float, *, encoding: str = "utf-8") -> str:
    """Return the text of a regular file, each line ended by a line feed alone.

    Raises:
        OSError: As ``read_file``.
        UnicodeDecodeError: If it is no text in this encoding.
    """
    text = read_file(path, limit_mb).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_regular(path: Path, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
    link = f"a link to {path.resolve()}, " if path.is_symlink() else ""
    raise UnfitFileError(f"it is {link}{kind}, not a file", path)
