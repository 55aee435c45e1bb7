"""The files of a node that does not see the driver's folders: those sent to it, and its jobs'.

A job gets a folder of its own in place of the one that the driver shares. What the driver sent
for the job is in it before it begins, and what the job wrote goes back when it has ended.

An agent answers these calls for the driver. Each may be repeated after a fault of the network.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archfront.search.engine.file_cache import FileCache, link, sent_root
from archfront.search.engine.file_parts import Entry, Inbox, Pack, checked_path
from archfront.search.engine.jobs import Broken, Job, Result
from archfront.search.engine.moved_paths import back, moved
from archfront.trainers.sums import sha256_of

logger = logging.getLogger(__name__)

# What is sent for the cache, and not for a job by its number.
FOR_CACHE = 0


@dataclass(frozen=True)
class FilesSetup:
    """What a node has to know of the driver's files.

    Attributes:
        shared: Folder of the driver's into which jobs write and that the node does not see; None
            where it sees it, or there is none.
        limit_bytes: What folders that are sent may take there.
    """

    shared: str | None
    limit_bytes: int


@dataclass(frozen=True)
class _JobFolder:
    """The folder of a job.

    Attributes:
        root: Stands for the driver's shared folder.
        given: What identifies each file that was there before the job began.
    """

    root: Path
    given: dict[str, tuple[int, int, int]]


class NodeFiles:
    """The files of this node.

    Args:
        setup: What it has to know.
        root: Where they are kept; the user's cache when None.
    """

    def __init__(self, setup: FilesSetup, root: Path | None = None) -> None:
        self._setup = setup
        self._cache = FileCache(root or sent_root(), setup.limit_bytes)
        self._inboxes: dict[int, Inbox] = {}
        self._places: dict[str, str] = {}
        self._jobs: dict[int, _JobFolder] = {}
        self._lock = threading.Lock()

    def lacks(self, id: str, entries: Sequence[Entry]) -> tuple[list[str], bool]:
        """Return the hashes of a folder's files that are not here, and whether all are in place.

        From then on the folder is kept until this process ends.
        """
        self._cache.hold(id)
        return self._cache.lacks(id, entries)

    def make_room(self, n_bytes: int, needed: int, wanted: frozenset[str]) -> None:
        """Make room for a folder of ``n_bytes``, of which ``needed`` are to come.

        Raises:
            ConfigError: If there is not enough.
        """
        self._cache.make_room(n_bytes, needed, wanted)

    def receive(self, whose: int, pack: Pack) -> None:
        """Take parts of files.

        Args:
            whose: Number of the job that they are for; ``FOR_CACHE`` for a folder.
            pack: The parts.

        Raises:
            DamagedError: If a file has another hash.
        """
        inbox = self._inbox(whose)
        for part in pack:
            file = inbox.receive(part)
            if file is not None and whose == FOR_CACHE:
                self._cache.keep(file, part.digest)

    def seal(self, whose: int, digest: str) -> None:
        """Take note that all parts of a large file have come.

        Raises:
            DamagedError: If it has another hash.
        """
        if whose == FOR_CACHE and self._cache.has(digest):  # asked again
            return
        file = self._inbox(whose).seal(digest)
        if whose == FOR_CACHE:
            self._cache.keep(file, digest)

    def place(self, id: str, entries: Sequence[Entry], is_last: bool) -> None:
        """Give files of a folder their names; ``is_last`` completes it."""
        self._cache.place(id, entries, is_last=is_last)

    def use(self, source: str, id: str, name: str) -> None:
        """Use a folder from now on in place of one of the driver's.

        Args:
            source: The driver's folder or file.
            id: Of the folder that was sent for it.
            name: Of the file in it that stands for the source; empty for the folder.
        """
        tree = self._cache.tree(id)
        self._places[source] = str(tree / name if name else tree)

    def ask(self, question: bytes) -> Any:
        """Return the answer of a pickled function to its subject, whose paths are moved here."""
        function, subject = pickle.loads(question)
        return function(moved(subject, self._places))

    def begin(self, number: int, job: Job, given: Sequence[Entry]) -> Job:
        """Return a job whose paths are of this machine.

        Args:
            number: Of the job.
            job: As it is at the driver.
            given: What the driver sent for it, by paths in its shared folder.
        """
        places = dict(self._places)
        if self._setup.shared is not None:
            root = self._cache.work / f"job-{number}"
            root.mkdir(exist_ok=True)
            inbox = self._inbox(number)
            for entry in given:
                file = root / checked_path(entry.path)
                file.parent.mkdir(parents=True, exist_ok=True)
                link(inbox.file(entry.digest), file)
            shutil.rmtree(self._cache.work / f"inbox-{number}", ignore_errors=True)
            names = [str(file.relative_to(root)) for file in _files(root)]
            known = {name: _identity(root / name) for name in names}
            with self._lock:
                self._inboxes.pop(number, None)
                self._jobs[number] = _JobFolder(root, known)
            places[self._setup.shared] = str(root)
        return replace(job, payload=moved(job.payload, places))

    def end(self, number: int, result: Result) -> tuple[Result, tuple[Entry, ...]]:
        """Return the result of a job with the driver's paths, and the files that the job wrote.

        A job that failed has written nothing that anybody wants.
        """
        with self._lock:
            folder = self._jobs.get(number)
        places = dict(self._places)
        if folder is not None and self._setup.shared is not None:
            places[self._setup.shared] = str(folder.root)
        if isinstance(result, Broken):
            self.release(number)
            return replace(result, message=_said(result.message, places)), ()
        result = replace(result, value=moved(result.value, back(places)))
        if folder is None:
            return result, ()
        written = [
            file
            for file in _files(folder.root)
            if folder.given.get(str(file.relative_to(folder.root))) != _identity(file)
        ]
        entries = tuple(entry_of(file, folder.root) for file in written)
        if not entries:
            self.release(number)
        return result, entries

    def read(self, number: int, path: str, offset: int, n_bytes: int) -> bytes:
        """Return a part of a file that a job wrote."""
        with self._lock:
            root = self._jobs[number].root
        with (root / checked_path(path)).open("rb") as file:
            file.seek(offset)
            return file.read(n_bytes)

    def release(self, number: int) -> None:
        """Remove the folder of a job."""
        with self._lock:
            folder = self._jobs.pop(number, None)
            self._inboxes.pop(number, None)
        if folder is not None:
            shutil.rmtree(folder.root, ignore_errors=True)
        shutil.rmtree(self._cache.work / f"inbox-{number}", ignore_errors=True)

    def close(self) -> None:
        """Remove what was kept for jobs; the folders that were sent stay."""
        self._cache.close()

    def _inbox(self, whose: int) -> Inbox:
        with self._lock:
            if whose not in self._inboxes:
                self._inboxes[whose] = Inbox(self._cache.work / f"inbox-{whose}")
            return self._inboxes[whose]


def entry_of(file: Path, root: Path) -> Entry:
    """Return the entry of a file of a folder, with its hash."""
    return Entry(file.relative_to(root).as_posix(), file.stat().st_size, sha256_of(file))


def _files(root: Path) -> list[Path]:
    """Return the regular files below a folder; links are none, whatever they lead to."""
    found = (Path(folder, name) for folder, _, names in os.walk(root) for name in sorted(names))
    return [file for file in found if file.is_file() and not file.is_symlink()]


def _identity(file: Path) -> tuple[int, int, int]:
    state = file.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _said(message: str, places: dict[str, str]) -> str:
    """Return a message with the driver's paths."""
    for old, new in places.items():
        message = message.replace(new, old)
    return message
