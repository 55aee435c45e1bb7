"""The driver's side of files that go to a node and come back, by whatever carries the calls.

A call names a method of ``NodeFiles`` and has its arguments; it may come twice.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from archfront.search.engine.file_parts import PACK_BYTES, Entry, checked_path, packs_of
from archfront.search.engine.file_sets import FileSet, FileSets
from archfront.search.engine.moved_paths import files_named
from archfront.search.engine.node_files import FOR_CACHE, entry_of
from archfront.search.errors import DamagedError, DataError
from archfront.search.records.paths import PART
from archfront.trainers.sums import SUMS

# Of what is sent, this share at a time is told.
TOLD_SHARE = 0.02
_AT_ONCE = 3  # packs on their way to one node
_SLICE = 5000  # entries in a message


class Call(Protocol):
    """A call of a method of a node's ``NodeFiles``."""

    def __call__(self, name: str, *arguments: Any) -> Any:
        """Return what the method returns."""


@dataclass
class Meter:
    """The megabytes that a node has of those that it is to get, told now and then.

    Attributes:
        of_mb: All of them.
        tell: Takes both.
    """

    of_mb: float
    tell: Callable[[float, float], None]
    _mb: float = 0.0
    _told: float = -1.0

    def add(self, n_bytes: int) -> None:
        """Count what has come; that it is all is told by ``end``."""
        self._mb += n_bytes / 1e6
        share = (self._mb - self._told) / self.of_mb
        is_first, is_all = self._told < 0, n_bytes > 0 and self._mb > self.of_mb * (1 - TOLD_SHARE)
        if is_first or (share >= TOLD_SHARE and not is_all):
            self._told = self._mb
            self.tell(self._mb, self.of_mb)

    def end(self) -> None:
        """Tell that all has come."""
        self.tell(self.of_mb, self.of_mb)


def deliver(
    call: Call,
    sets: FileSets,
    sources: Sequence[str],
    tell: Callable[[float, float], None],
) -> None:
    """Bring folders to a node, of which it keeps what it has already, and check them there.

    Args:
        call: Calls the node.
        sets: The driver's folders.
        sources: Which of them.
        tell: Called with the megabytes that are there and with all that are to come; not at all
            where nothing has to come.

    Raises:
        ArchfrontError: If a file cannot be read, has changed, finds no room, or the node does not
            read the same from the files.
    """
    found = [sets.set_of(source) for source in sources]
    lacking = [_lacking(call, each) for each in found]
    n_bytes = [sum(entry.n_bytes for entry in entries.values()) for entries, _ in lacking]
    meter = Meter(sum(n_bytes) / 1e6, tell)
    for each, (entries, has_all), needed in zip(found, lacking, n_bytes, strict=True):
        call("make_room", each.n_bytes, needed, each.digests)
        if entries:
            meter.add(0)
            send(call, FOR_CACHE, ((each.file(e), e) for e in entries.values()), meter)
        if not has_all:
            _place(call, each)
        call("use", str(each.source), each.id, each.name)
    if any(n_bytes):
        meter.end()
    if sets.question is not None:
        here, there = sets.outlined(), call("ask", sets.question)
        if here != there:
            raise DataError(
                f"the files that were sent are read as {there}, those of the driver as {here}. "
                "Annotations may name images outside of data.root, or by the driver's own paths: "
                "name them from data.root, or use a shared folder"
            )


def _lacking(call: Call, files: FileSet) -> tuple[dict[str, Entry], bool]:
    """Return the contents that a node lacks by their hashes, and whether it has the folder."""
    missing: set[str] = set()
    has_all = bool(files.entries)
    for entries in _slices(files.entries):
        lacks, is_whole = call("lacks", files.id, entries)
        missing.update(lacks)
        has_all = has_all and is_whole
    return {e.digest: e for e in files.entries if e.digest in missing}, has_all


def _place(call: Call, files: FileSet) -> None:
    slices = _slices(files.entries) or [()]
    for n, entries in enumerate(slices, 1):
        call("place", files.id, entries, n == len(slices))


def _slices(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    return [entries[i : i + _SLICE] for i in range(0, len(entries), _SLICE)]


def send(
    call: Call, whose: int, files: Iterable[tuple[Path, Entry]], meter: Meter | None = None
) -> None:
    """Send files, some packs at a time.

    Args:
        call: Calls the node.
        whose: Number of the job that they are for; ``FOR_CACHE`` for a folder.
        files: Each file with its entry, of each content one.
        meter: Counts what has come.
    """
    waiting: deque[tuple[Future[Any], int]] = deque()

    def wait_for(n_left: int) -> None:
        while len(waiting) > n_left:
            future, n_bytes = waiting.popleft()
            future.result()
            if meter is not None:
                meter.add(n_bytes)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for pack in packs_of(files):
            wait_for(_AT_ONCE - 1)
            n_bytes = sum(len(part.content) for part in pack)
            waiting.append((pool.submit(call, "receive", whose, pack), n_bytes))
            if pack[-1].is_last:
                wait_for(0)
                call("seal", whose, pack[-1].digest)
        wait_for(0)


def inputs_of(payload: Any, root: Path) -> list[tuple[Path, Entry]]:
    """Return the files below a root that a job reads, with the checksums beside them.

    Args:
        payload: Of the job.
        root: The folder that the node does not see.

    Raises:
        OSError: If one cannot be read.
    """
    named = files_named(payload, root)
    sums = [file.with_name(SUMS) for file in named if file.with_name(SUMS).is_file()]
    return [(file, entry_of(file, root)) for file in dict.fromkeys([*named, *sums])]


@dataclass(frozen=True)
class Arrived:
    """Files that came back whole and wait beside their places.

    Attributes:
        files: Each file with its place.
    """

    files: tuple[tuple[Path, Path], ...]

    def put(self) -> None:
        """Give the files their places, each in one step."""
        for file, place in self.files:
            file.replace(place)

    def drop(self) -> None:
        """Remove the files."""
        for file, place in self.files:
            file.unlink(missing_ok=True)
            with suppress(OSError):  # the folder of an attempt that was given up
                place.parent.rmdir()


def bring(call: Call, number: int, entries: Sequence[Entry], root: Path) -> Arrived:
    """Return the files that a job wrote, not yet in their places.

    Args:
        call: Calls the node.
        number: Of the job.
        entries: Its files.
        root: The driver's folder.

    Raises:
        DamagedError: If a file came with another content.
        OSError: If one cannot be written.
    """
    files: list[tuple[Path, Path]] = []
    try:
        for entry in entries:
            place = root / checked_path(entry.path)
            file = place.with_name(PART.format(place.name, uuid.uuid4().hex))
            place.parent.mkdir(parents=True, exist_ok=True)
            files.append((file, place))
            _fetch(call, number, entry, file)
    except BaseException:
        Arrived(tuple(files)).drop()
        raise
    return Arrived(tuple(files))


def _fetch(call: Call, number: int, entry: Entry, file: Path) -> None:
    digest = hashlib.sha256()
    with file.open("wb") as written:
        for offset in range(0, entry.n_bytes, PACK_BYTES):
            content = call("read", number, entry.path, offset, PACK_BYTES)
            digest.update(content)
            written.write(content)
    if digest.hexdigest() != entry.digest:
        raise DamagedError(f"{entry.path} came back with another content than the job wrote")


def first_of_each(files: Iterable[tuple[Path, Entry]]) -> list[tuple[Path, Entry]]:
    """Return the files of which no earlier one has the same content."""
    return list({entry.digest: (file, entry) for file, entry in files}.values())
