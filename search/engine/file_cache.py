"""Folders that were sent to this machine, kept for the studies to come, each content once.

::

    blobs/ab/abcd...   a file by the hash of its content, readable only, with a fixed time
    trees/0123...      a folder that was sent: its files are further names of blobs
    locks/0123...      held by everybody who uses that folder
    work/...           what an agent needs while it lives, swept when its lock is free

A folder that is not used is removed when others need its room, the least recently used first. All
of it may be deleted while nothing runs: it is sent again. A blob whose size or time is another
one is damaged, and sent again too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from archfront.search.engine.file_parts import Entry, checked_path
from archfront.search.errors import ConfigError
from archfront.search.records.paths import cache_file

# The time of every blob, in seconds since the epoch: a blob with another one was written to.
BLOB_TIME = 1_000_000_000
_BLOB_NS = BLOB_TIME * 10**9
_FREE_BYTES = 2**28  # that have to stay free on the disk
# ext4 has 65,000 names for a file, as for an empty one of many labels; some others have one.
_NO_LINKS = frozenset({errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def sent_root() -> Path:
    """Return where the user's cache has what was sent."""
    return cache_file("sent")


class FileCache:
    """The folders that were sent.

    Args:
        root: Where they lie.
        limit_bytes: What all of them may take.

    Attributes:
        work: Folder for this process alone, removed by ``close``.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self._root, self._limit_bytes = root, limit_bytes
        self._held: dict[str, IO[str]] = {}
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o700)  # the driver's folders need not be for everybody
        for name in ("blobs", "trees", "locks", "work"):
            (root / name).mkdir(exist_ok=True)
        self._sweep()
        name = uuid.uuid4().hex
        self._work_lock = _locked(root / "work" / f"{name}.lock", fcntl.LOCK_EX)
        self.work = root / "work" / name
        self.work.mkdir()

    def hold(self, id: str) -> None:
        """Keep a folder from being removed until this process ends."""
        if id not in self._held:
            self._held[id] = _locked(self._lock(id), fcntl.LOCK_SH)
        os.utime(self._lock(id))

    def lacks(self, id: str, entries: Sequence[Entry]) -> tuple[list[str], bool]:
        """Return the hashes of files that are not here, and whether the folder has all of them.

        Args:
            id: Of the folder.
            entries: Some of its files.
        """
        missing, tree, has_all = [], self.tree(id), True
        for entry in entries:
            blob = _state(self._blob(entry.digest))
            if not _is_whole(blob, entry):
                missing.append(entry.digest)
            has_all = has_all and _is_whole(_state(tree / checked_path(entry.path)), entry)
        return missing, has_all and not missing

    def keep(self, file: Path, digest: str) -> None:
        """Move a checked file to the blobs."""
        blob = self._blob(digest)
        blob.parent.mkdir(exist_ok=True)
        file.chmod(0o444)
        os.utime(file, ns=(_BLOB_NS, _BLOB_NS))
        file.replace(blob)

    def has(self, digest: str) -> bool:
        """Return whether a blob is here, whatever its state."""
        return self._blob(digest).exists()

    def make_room(self, n_bytes: int, needed: int, wanted: frozenset[str]) -> None:
        """Remove folders that nobody uses until there is room.

        Args:
            n_bytes: Size of the folder that is to come.
            needed: What of it is not here yet.
            wanted: Hashes of its files.

        Raises:
            ConfigError: If there is not enough room.
        """
        if n_bytes > self._limit_bytes:
            raise ConfigError(
                f"engine.files_gb: the files take {_gb(n_bytes)}, and {_gb(self._limit_bytes)} is "
                "what files that are sent may take on a node. Raise it, or mount a shared folder"
            )
        removable = self._unused()
        while True:
            used = sum(size for _, size, _ in self._blobs())
            free = shutil.disk_usage(self._root).free - _FREE_BYTES
            if used + needed <= self._limit_bytes and needed <= free:
                return
            id = next(removable, None)
            if id is None and self._remove_blobs(wanted) == 0:
                raise ConfigError(
                    f"engine.files: {_gb(needed)} of files are to be sent; {_gb(free)} are free "
                    f"in {self._root}, where {_gb(used)} of {_gb(self._limit_bytes)} are in use"
                )
            if id is not None:
                shutil.rmtree(self.tree(id), ignore_errors=True)
                self._remove_blobs(wanted)

    def place(self, id: str, entries: Sequence[Entry], *, is_last: bool) -> None:
        """Name files of a folder, whose blobs are here; with the last ones it gets its own name.

        Raises:
            OSError: If a blob is missing.
        """
        building = self.work / f"tree-{id}"
        building.mkdir(exist_ok=True)
        for entry in entries:
            file = building / checked_path(entry.path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            link(self._blob(entry.digest), file)
        if is_last:
            tree = self.tree(id)
            with suppress(FileNotFoundError):  # what is open there stays readable
                tree.rename(self.work / f"replaced-{uuid.uuid4().hex}")
            building.rename(tree)

    def tree(self, id: str) -> Path:
        """Return where a folder lies."""
        return self._root / "trees" / id

    def close(self) -> None:
        """Remove the work of this process and let its folders go."""
        shutil.rmtree(self.work, ignore_errors=True)
        for lock in (*self._held.values(), self._work_lock):
            lock.close()
        (self._root / "work" / f"{self.work.name}.lock").unlink(missing_ok=True)

    def _blob(self, digest: str) -> Path:
        return self._root / "blobs" / digest[:2] / digest

    def _lock(self, id: str) -> Path:
        return self._root / "locks" / id

    def _blobs(self) -> Iterator[tuple[Path, int, int]]:
        """Yield each blob with its size and how many names it has."""
        for folder in (self._root / "blobs").iterdir():
            for blob in folder.iterdir():
                state = _state(blob)
                if state is not None:
                    yield blob, state.st_size, state.st_nlink

    def _unused(self) -> Iterator[str]:
        """Yield the folders that nobody holds, the least recently used first, each held now."""
        ids = [path.name for path in (self._root / "trees").iterdir()]
        states = {id: _state(self._lock(id)) for id in ids if id not in self._held}
        order = sorted(states, key=lambda id: s.st_mtime if (s := states[id]) else 0.0)
        for id in order:
            with suppress(BlockingIOError):
                lock = _locked(self._lock(id), fcntl.LOCK_EX | fcntl.LOCK_NB)
                try:
                    yield id
                finally:
                    lock.close()

    def _remove_blobs(self, wanted: frozenset[str]) -> int:
        """Remove the blobs of no folder, but for those wanted; return how many."""
        found = [blob for blob, _, n in self._blobs() if n == 1 and blob.name not in wanted]
        for blob in found:
            blob.unlink(missing_ok=True)
        return len(found)

    def _sweep(self) -> None:
        """Remove the work of processes that have died."""
        for file in (self._root / "work").glob("*.lock"):
            with suppress(OSError):
                lock = _locked(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(file.with_suffix(""), ignore_errors=True)
                file.unlink(missing_ok=True)
                lock.close()


def link(file: Path, name: Path) -> None:
    """Give a file a further name, or copy it where the file system allows no more names."""
    try:
        os.link(file, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copy2(file, name)


def _is_whole(state: os.stat_result | None, entry: Entry) -> bool:
    """Return whether nothing has written to a blob, or to a copy of it."""
    return state is not None and (state.st_size, state.st_mtime_ns) == (entry.n_bytes, _BLOB_NS)


def _locked(file: Path, how: int) -> IO[str]:
    """Return an open file whose kernel lock is held until it is closed.

    Raises:
        BlockingIOError: If another process holds it, and ``how`` says not to wait.
    """
    opened = file.open("a")
    try:
        fcntl.flock(opened, how)
    except BaseException:
        opened.close()
        raise
    return opened


def _state(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except OSError:
        return None


def _gb(n_bytes: float) -> str:
    return f"{max(n_bytes, 0) / 1e9:.3g} GB"
