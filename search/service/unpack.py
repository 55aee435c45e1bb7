"""An uploaded archive unpacked into a fresh folder, in a process of its own with little memory.

``python -m archfront.search.service.unpack ARCHIVE FOLDER BYTES FILES FREE`` prints one JSON
object: what was unpacked, or the ``problem``. Only files and folders come out of an archive:
no links, no devices, no permissions. What is counted are the bytes that are written, whatever the
archive says of them. Archives in the archive are files like others.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import lzma
import os
import resource
import shutil
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from archfront.search.service.archive_names import BESIDE, Names, parts_of
from archfront.trainers.errors import DataError
from archfront.trainers.words import quoted

# Address space and seconds of computing of the process.
MEMORY_BYTES, CPU_S = 300_000_000, 900
CHUNK = 1 << 18
# Bytes between two looks at the disk.
LOOK_BYTES = 64_000_000
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
COMPRESSIONS: dict[bytes, Callable[[Path, str], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
# Where a tar file without compression says that it is one.
TAR_MAGIC, TAR_PLACE = b"ustar", 257
# The end of a tar archive, and bytes behind it that some programs fill up with.
END_BYTES, MOST_LEFT = 1024, 10_000_000
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(ValueError, OverflowError, struct.error, RecursionError, NotImplementedError, KeyError),
)


# The system's errors that say nothing of an archive.
DISK = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM)
)


@dataclass(frozen=True)
class Limits:
    """What may come out of an archive.

    Attributes:
        n_bytes: Bytes of all files.
        n_files: Files and folders.
        free_bytes: Bytes of the disk that stay free.
    """

    n_bytes: int
    n_files: int
    free_bytes: int


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive.

    Attributes:
        n_files: Files.
        n_bytes: Bytes of them.
        n_left_out: Files of systems that were left out, as ``__MACOSX``.
        top: The only folder on top, relative to the target; empty where there is another entry.
    """

    n_files: int
    n_bytes: int
    n_left_out: int
    top: str


def unpack(archive: Path, folder: Path, limits: Limits) -> Unpacked:
    """Unpack an archive into a folder that is there and empty.

    Raises:
        DataError: If the archive is none, is damaged, would write elsewhere, or is too large.
        OSError: If the disk cannot be written to.
            What was written by then is still there.
    """
    with archive.open("rb") as file:
        start = file.read(TAR_PLACE + len(TAR_MAGIC))
    target = _Target(folder, limits)
    with _damage_told():
        if start.startswith(ZIP_STARTS):
            _unpack_zip(archive, target)
        elif start.startswith(tuple(COMPRESSIONS)) or start[TAR_PLACE:] == TAR_MAGIC:
            _unpack_tar(archive, target)
        else:
            raise DataError("The upload is neither a zip archive nor a tar archive.")
    if not target.n_files:
        raise DataError("The archive has no file.")
    return Unpacked(target.n_files, target.n_bytes, target.n_left_out, _top(folder))


class _Target:
    """The folder that an archive is unpacked into, with what came of it so far."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits, self._names = folder, limits, Names()
        self.n_files = self.n_bytes = self.n_left_out = self._n_entries = 0
        self._look_at = 0
        self._made = {folder}

    def add_folder(self, name: str) -> None:
        """Make a folder."""
        parts = self._parts(name)
        if parts:
            self._names.add(parts, is_folder=True)
            self._folder.joinpath(*parts).mkdir(parents=True, exist_ok=True)

    def add_file(self, name: str, content: IO[bytes], size: int) -> None:
        """Write a file of which an archive says that it has so many bytes."""
        parts = self._parts(name)
        if not parts:
            return
        self._names.add(parts, is_folder=False)
        path = self._folder.joinpath(*parts)
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        written = 0
        with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
            while chunk := content.read(CHUNK):
                written += len(chunk)
                self._count(len(chunk))
                file.write(chunk)
        if written != size:
            raise DataError(f"The archive is cut off or damaged at {quoted(name, 120)}.")
        self.n_files += 1

    def check_count(self, n_entries: int) -> None:
        """Raise an error for more files and folders than an archive may have."""
        if n_entries > self._limits.n_files:
            raise DataError(f"The archive has more than {self._limits.n_files:,} files.")

    def _parts(self, name: str) -> tuple[str, ...]:
        self._n_entries += 1
        self.check_count(self._n_entries)
        parts = parts_of(name)
        if BESIDE.intersection(parts):
            self.n_left_out += 1
            return ()
        return parts

    def _count(self, n_bytes: int) -> None:
        self.n_bytes += n_bytes
        if self.n_bytes > self._limits.n_bytes:
            raise DataError(
                f"The archive unpacks to more than {self._limits.n_bytes / 1e6:,.0f} MB, the most "
                "for an archive of its size. A folder of the server can be named in its place."
            )
        if self.n_bytes >= self._look_at:
            self._look_at = self.n_bytes + LOOK_BYTES
            if shutil.disk_usage(self._folder).free < self._limits.free_bytes:
                raise DataError("The disk of the server has no room for what the archive holds.")


def _unpack_zip(archive: Path, target: _Target) -> None:
    with zipfile.ZipFile(archive) as opened:
        target.check_count(len(opened.infolist()))
        for entry in opened.infolist():
            name = entry.orig_filename
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"The archive has a link or a device: {quoted(name, 120)}.")
            if entry.flag_bits & 0x1:
                raise DataError("The archive is encrypted. Upload it without a password.")
            if name.endswith("/"):
                target.add_folder(name)
                continue
            with opened.open(entry) as content:
                target.add_file(name, content, entry.file_size)


def _unpack_tar(archive: Path, target: _Target) -> None:
    with _uncompressed(archive) as file:
        stream = _Followed(file)
        with tarfile.open(fileobj=stream, mode="r|") as opened:  # type: ignore[call-overload]
            for entry in opened:
                opened.members = []  # else it keeps all of them
                if entry.isdir():
                    target.add_folder(entry.name)
                    continue
                if not entry.isreg() or entry.issparse():
                    shown = quoted(entry.name, 120)
                    raise DataError(f"The archive has a link or a device: {shown}.")
                content = opened.extractfile(entry)
                assert content is not None, "a file has content"
                target.add_file(entry.name, content, entry.size)
        stream.check_end()


def _uncompressed(archive: Path) -> IO[bytes]:
    """Return a tar archive as a file of what it holds; one that is cut off raises EOFError."""
    with archive.open("rb") as file:
        start = file.read(6)
    opener = next(
        (opener for mark, opener in COMPRESSIONS.items() if start.startswith(mark)), open
    )
    opened: IO[bytes] = opener(archive, "rb")
    return opened


class _Followed:
    """A tar archive that is read to its end, which it says by two blocks of zeros."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._last = file, b""

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        content = self._file.read(size)
        self._last = (self._last + content)[-END_BYTES:]
        return content

    def check_end(self) -> None:
        """Read what is left and raise an error unless it is the end of an archive."""
        left = 0
        while content := self.read(CHUNK):
            left += len(content)
            if left > MOST_LEFT:
                raise DataError("The archive has more behind its end than it may.")
        if self._last.strip(b"\0") or len(self._last) < END_BYTES:
            raise DataError("The archive is cut off or damaged: its end is missing.")


@contextmanager
def _damage_told() -> Iterator[None]:
    """Turn what libraries raise on damaged archives into one error."""
    try:
        yield
    except MemoryError:
        raise DataError("The archive needs more memory to be read than is given to one.") from None
    except DAMAGED as error:
        if isinstance(error, DataError) or _is_of_disk(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"The archive is damaged or cannot be unpacked: {reason}.") from error


def _is_of_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in DISK


def _top(folder: Path) -> str:
    """Return the only entry of a folder, where it is a folder; else nothing."""
    entries = list(folder.iterdir())
    return entries[0].name if len(entries) == 1 and entries[0].is_dir() else ""


def main(words: list[str]) -> int:
    """Unpack what the command line names, print what came of it, return the exit status."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    os.nice(5)
    archive, folder, *numbers = words
    try:
        found = unpack(Path(archive), Path(folder), Limits(*(int(number) for number in numbers)))
    except DataError as error:
        json.dump({"problem": str(error)}, sys.stdout)
        return 1
    except OSError as error:
        json.dump({"errno": error.errno, "strerror": error.strerror}, sys.stdout)
        return 1
    json.dump(asdict(found), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
