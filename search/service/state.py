"""The service behind the routes: where studies lie, and what their records say."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from archfront.search.errors import RequestError
from archfront.search.front.members import FrontMember
from archfront.search.records.paths import StudyPaths, studies
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.tokens import Tokens
from archfront.search.service.verb_process import VerbProcesses

T = TypeVar("T")

# Studies whose records are kept in memory, the last ones read.
N_KEPT = 16
# What tells whether the records of a study have changed since they were read.
Stamp = tuple[int, int, int]


class ReadStudy:
    """A study's records as they were at one moment, with what was made of them.

    Attributes:
        results: The records.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self._made: dict[str, Any] = {}
        self._lock = threading.Lock()

    @cached_property
    def front(self) -> list[FrontMember]:
        """Return the members of the front, fastest first."""
        return self.results.front()

    def once(self, name: str, make: Callable[[Results], T]) -> T:
        """Return what is made of the records under a name, made at the first call."""
        with self._lock:
            if name not in self._made:
                self._made[name] = make(self.results)
            made: T = self._made[name]
        return made


class Service:
    """What routes call.

    Attributes:
        settings: How the server was started.
        database: The service's own tables.
        tokens: Who may ask.
        verbs: Runs commands in processes of their own.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        settings.folder.mkdir(parents=True, exist_ok=True)
        self.database = ServiceDatabase(settings.database)
        self.tokens = Tokens(self.database)
        self.verbs = VerbProcesses(settings)
        self._read: OrderedDict[str, tuple[Stamp, ReadStudy]] = OrderedDict()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start what works in the background."""

    def close(self) -> None:
        """End what works in the background; studies go on."""
        self.verbs.close()
        self.database.close()

    def names(self) -> list[str]:
        """Return the names of the studies that have begun, by name."""
        return studies(self.settings.root)

    def paths(self, name: str) -> StudyPaths:
        """Return where the files of a study that has begun lie.

        Raises:
            RequestError: If there is none of this name.
        """
        if name not in self.names():
            raise RequestError(
                404, "no_such_study", f"There is no study {name!r} that has begun. GET /studies."
            )
        return StudyPaths(self.settings.root, name)

    def results(self, name: str) -> Results:
        """Return the records of a study as they are now.

        Raises:
            RequestError: If there is no study of this name.
            StudyError: If its records cannot be read.
        """
        return self.read(name).results

    def read(self, name: str) -> ReadStudy:
        """Return the records of a study as they are now, read once until they change.

        Raises:
            RequestError: If there is no study of this name.
            StudyError: If its records cannot be read.
        """
        paths = self.paths(name)
        url = self.settings.storage_url
        stamp = _stamp(paths) if url is None else None
        with self._lock:
            kept = self._read.get(name)
            if kept is not None and kept[0] == stamp:
                self._read.move_to_end(name)
                return kept[1]
        study = ReadStudy(Results.read(reading(paths, url), paths))
        if stamp is not None:
            with self._lock:
                self._read[name] = (stamp, study)
                self._read.move_to_end(name)
                while len(self._read) > N_KEPT:
                    self._read.popitem(last=False)
        return study


def _stamp(paths: StudyPaths) -> Stamp | None:
    """Return what the journal of a study looks like; None where there is none."""
    try:
        found = paths.journal.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
