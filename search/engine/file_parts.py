"""Files on their way to another machine: taken apart, put together and checked by their hashes.

Small files travel together and a large one in parts, so that no message is larger than
``PACK_BYTES`` and no more of a file is in memory.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from archfront.search.errors import DamagedError
from archfront.trainers.sums import sha256_of

PACK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Entry:
    """A file of a folder.

    Attributes:
        path: From the folder, with slashes.
        n_bytes: Its size.
        digest: SHA-256 of its content.
    """

    path: str
    n_bytes: int
    digest: str


@dataclass(frozen=True)
class Part:
    """A part of a file, or all of it.

    Attributes:
        digest: SHA-256 of the file's content.
        n_bytes: Size of the file.
        offset: Where the part begins.
        content: The part.
    """

    digest: str
    n_bytes: int
    offset: int
    content: bytes

    @property
    def is_whole(self) -> bool:
        """Return whether it is all of the file."""
        return len(self.content) == self.n_bytes

    @property
    def is_last(self) -> bool:
        """Return whether it is the end of a file that is sent in several parts."""
        return not self.is_whole and self.offset + len(self.content) == self.n_bytes


Pack = Sequence[Part]


def packs_of(files: Iterable[tuple[Path, Entry]], pack_bytes: int = PACK_BYTES) -> Iterator[Pack]:
    """Yield the content of files in packs of a limited size; each part of a large file alone.

    Args:
        files: Each file with what is known of it.
        pack_bytes: The most that a pack holds.

    Raises:
        OSError: If a file cannot be read.
        DamagedError: If one is shorter than it was.
    """
    pack: list[Part] = []
    for file, entry in files:
        if entry.n_bytes > pack_bytes:
            yield from ([part] for part in _parts(file, entry, pack_bytes))
            continue
        if sum(len(part.content) for part in pack) + entry.n_bytes > pack_bytes:
            yield pack
            pack = []
        pack.extend(_parts(file, entry, pack_bytes))
    if pack:
        yield pack


def _parts(file: Path, entry: Entry, pack_bytes: int) -> Iterator[Part]:
    with file.open("rb") as stream:
        for offset in range(0, max(entry.n_bytes, 1), pack_bytes):
            content = stream.read(min(pack_bytes, entry.n_bytes - offset))
            if len(content) != min(pack_bytes, entry.n_bytes - offset):
                raise DamagedError(changed_text(file))
            yield Part(entry.digest, entry.n_bytes, offset, content)


class Inbox:
    """A folder in which files come together, named by their hashes.

    Args:
        folder: The folder; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def receive(self, part: Part) -> Path | None:
        """Write a part, again if it was written before; return the file if it is all of it.

        Raises:
            DamagedError: If that has another hash.
        """
        if part.is_whole:
            if hashlib.sha256(part.content).hexdigest() != part.digest:
                raise DamagedError(_damaged_text(part.digest))
            written = self._folder / f"{part.digest}.{uuid.uuid4().hex}"
            written.write_bytes(part.content)
            return written.rename(self.file(part.digest))
        descriptor = os.open(self._unsealed(part.digest), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            view, offset = memoryview(part.content), part.offset
            while view:
                n = os.pwrite(descriptor, view, offset)
                view, offset = view[n:], offset + n
        finally:
            os.close(descriptor)
        return None

    def seal(self, digest: str) -> Path:
        """Return a file whose parts have all come; it may be asked again.

        Raises:
            DamagedError: If it has another hash.
        """
        if not self._unsealed(digest).exists() and self.file(digest).exists():
            return self.file(digest)
        if sha256_of(self._unsealed(digest)) != digest:
            self._unsealed(digest).unlink()
            raise DamagedError(_damaged_text(digest))
        return self._unsealed(digest).rename(self.file(digest))

    def file(self, digest: str) -> Path:
        """Return where a file lies once it is whole."""
        return self._folder / digest

    def _unsealed(self, digest: str) -> Path:
        return self._folder / f"{digest}.part"


def checked_path(path: str) -> PurePosixPath:
    """Return a path of an entry that stays below its folder.

    Raises:
        DamagedError: If it does not.
    """
    found = PurePosixPath(path)
    if found.is_absolute() or ".." in found.parts or not found.parts or "\0" in path:
        raise DamagedError(f"A file that was sent is called {path!r}, which leaves its folder.")
    return found


def changed_text(file: Path) -> str:
    """Return in words that a file is not what it was when its hash was taken."""
    return f"{file} was changed while it was sent: leave it as it is while studies run"


def _damaged_text(digest: str) -> str:
    return (
        f"the file with the hash {digest[:12]}... came in with another content: it was changed "
        "while it was sent, or damaged on the way"
    )
