"""The driver's folders that nodes do not see, as sets of files that are sent to them.

A set is found once and stays what it was: a node that joins later gets the same files, or says
that one was changed meanwhile.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from archfront.search.engine.file_parts import Entry
from archfront.search.errors import ConfigError
from archfront.search.records.paths import cache_file
from archfront.trainers.sums import sha256_of
from archfront.trainers.threads import threads
from archfront.trainers.words import count_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outline:
    """What has to be the same when it is read from the files that were sent.

    Attributes:
        function: Returns it for its subject; a function of a module that nodes have.
        subject: Says by paths what to read.
    """

    function: Callable[[Any], str]
    subject: Any

    def here(self) -> str:
        """Return what is read here."""
        return self.function(self.subject)

    @property
    def question(self) -> bytes:
        """Return what a node is asked."""
        return pickle.dumps((self.function, self.subject))


@dataclass(frozen=True)
class Found:
    """A file of a folder, before its content is read.

    Attributes:
        path: From the folder, with slashes.
        file: Where it lies; a link is followed.
        n_bytes: Its size.
    """

    path: str
    file: Path
    n_bytes: int


@dataclass(frozen=True)
class FileSet:
    """The files of a folder.

    Attributes:
        source: The folder, or one file.
        entries: Its files.
    """

    source: Path
    entries: tuple[Entry, ...]

    @cached_property
    def id(self) -> str:
        """Return a hash of all names and contents."""
        content = hashlib.sha256()
        for entry in self.entries:
            content.update(f"{entry.path}\0{entry.digest}\n".encode(errors="surrogateescape"))
        return content.hexdigest()[:32]

    @cached_property
    def n_bytes(self) -> int:
        """Return the size of its contents, each counted once."""
        return sum({entry.digest: entry.n_bytes for entry in self.entries}.values())

    @cached_property
    def digests(self) -> frozenset[str]:
        """Return the hashes of its contents."""
        return frozenset(entry.digest for entry in self.entries)

    @property
    def name(self) -> str:
        """Return the entry that stands for the source: its name, or nothing for a folder."""
        return "" if self.source.is_dir() else self.source.name

    def file(self, entry: Entry) -> Path:
        """Return where a file of the set lies."""
        return self.source / entry.path if self.source.is_dir() else self.source


class FileSets:
    """The sets of some sources, each listed and read when it is first asked for.

    Args:
        sources: Folders and files.
        without: A folder that is left out, since jobs write into it.
        outline: What has to be the same at a node; None for nothing.
    """

    def __init__(
        self, sources: Sequence[str], *, without: str | None, outline: Outline | None
    ) -> None:
        self._without = None if without is None else Path(without)
        self._outline = outline
        self._listed: dict[str, list[Found]] = {}
        self._sets: dict[str, FileSet] = {}
        self._outlined: str | None = None
        self._lock = threading.Lock()
        self.sources = tuple(sources)

    @property
    def question(self) -> bytes | None:
        """Return what a node that got files is asked; None for nothing."""
        return None if self._outline is None else self._outline.question

    def outlined(self) -> str:
        """Return what it has to answer.

        Raises:
            ArchfrontError: If the driver itself cannot read the files.
        """
        assert self._outline is not None, "there is a question"
        with self._lock:
            if self._outlined is None:
                self._outlined = self._outline.here()
            return self._outlined

    def listed(self, source: str) -> list[Found]:
        """Return the files of a source.

        Raises:
            ConfigError: If it cannot be read.
        """
        with self._lock:
            if source not in self._listed:
                try:
                    self._listed[source] = list(_found(Path(source), self._without))
                except OSError as error:
                    raise ConfigError(
                        f"engine.files: {error.filename or source} cannot be read, so it is not "
                        f"sent: {error.strerror}."
                    ) from error
            return self._listed[source]

    def set_of(self, source: str) -> FileSet:
        """Return a source with the hashes of its files, which are read now for the first time.

        Raises:
            ConfigError: If one cannot be read.
        """
        found = self.listed(source)
        with self._lock:
            if source not in self._sets:
                try:
                    self._sets[source] = FileSet(Path(source), _hashed(Path(source), found))
                except OSError as error:
                    raise ConfigError(
                        f"engine.files: {error.filename} cannot be read, so {source} is not sent: "
                        f"{error.strerror}."
                    ) from error
            return self._sets[source]

    def text(self, sources: Sequence[str]) -> str:
        """Return in words how many files of which size some sources have.

        Raises:
            ConfigError: If one cannot be read.
        """
        found = [each for source in sources for each in self.listed(source)]
        n_mb = sum(each.n_bytes for each in found) / 1e6
        return f"{count_of(len(found), 'file')}, {n_mb:,.3g} MB"


def _found(source: Path, without: Path | None) -> Iterator[Found]:
    """Yield the visible files of a folder in the order of their names, links followed.

    A folder that is linked within itself is passed over. A source that is one file is itself.
    """
    from archfront.trainers.data.readers.paths import is_visible

    if not source.is_dir():
        yield Found(source.name, source, source.stat().st_size)
        return
    queue: list[tuple[Path, tuple[str, ...]]] = [(source, (os.path.realpath(source),))]
    while queue:
        folder, parents = queue.pop()
        below: list[tuple[Path, tuple[str, ...]]] = []
        for item in sorted(os.scandir(folder), key=lambda item: item.name):
            path = Path(item.path)
            if not is_visible(item.name) or path == without:
                continue
            if item.is_dir():
                real = os.path.realpath(path)
                below += [] if real in parents else [(path, (*parents, real))]
            elif item.is_file():
                yield Found(path.relative_to(source).as_posix(), path, item.stat().st_size)
        queue += reversed(below)


def _hashed(source: Path, found: Sequence[Found]) -> tuple[Entry, ...]:
    """Return the entries of files, whose hashes are remembered while size and times stay."""
    from archfront.trainers.data.file_facts import FileFacts

    name = hashlib.sha256(str(source).encode(errors="surrogateescape")).hexdigest()[:24]
    facts = FileFacts(cache_file("sums") / f"{name}.json")

    def entry(each: Found) -> Entry:
        known = facts.get(each.file, "sha256", lambda: [sha256_of(each.file), each.n_bytes])
        return Entry(each.path, int(known[1]), str(known[0]))

    logger.info("The hashes of %s are taken: %s.", source, count_of(len(found), "file"))
    with ThreadPoolExecutor(threads()) as pool:
        entries = tuple(pool.map(entry, found))
    facts.save()
    return entries
