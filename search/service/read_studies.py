"""The records of studies, read once until they change."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, cast

from archfront.search.errors import StudyError
from archfront.search.front.members import FrontMember
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.journal import UNFIT
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore, reading
from archfront.search.results.changed_trials import changed_trials
from archfront.search.results.results import Results
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_parts import FrontPart, StudyPart, TrialsPart
from archfront.search.service.study_summary import (
    Stamp,
    StudySummary,
    Summaries,
    summarized,
    unreadable,
)

T = TypeVar("T")
P = TypeVar("P", bound=StudyPart)

# Studies whose records are kept in memory, the last ones read.
N_KEPT = 16
# Seconds for which records in a database count as unchanged.
DATABASE_S = 2.0


class ReadStudy:
    """A study's records as they were at one moment, with what was made of them.

    Args:
        results: The records.
        before: What was read of the study before, from which what follows is brought forward.

    Attributes:
        results: The records.
    """

    def __init__(self, results: Results, before: ReadStudy | None = None) -> None:
        self.results = results
        self._made: dict[str, Any] = {}
        self._parts: dict[type[StudyPart], StudyPart] = {}
        # What is made of one part asks for another one.
        self._lock = threading.RLock()
        if before is not None and before.results.header is results.header:
            changed = changed_trials(before.results, results)
            for kind, part in before.parts().items():
                # What cannot be told of all records is told to whoever asks.
                with suppress(ValueError):
                    self._parts[kind] = part.after(self, changed)

    @cached_property
    def front(self) -> list[FrontMember]:
        """Return the members of the front, fastest first."""
        return [] if self.results.header is None else self.results.front_of(self.front_trials)

    @cached_property
    def front_trials(self) -> list[Evaluation]:
        """Return all evaluations of the trials that no other one dominates, by trial."""
        front = self.part(FrontPart).growing.front
        evaluations = self.part(TrialsPart).evaluations
        return [evaluation for trial in sorted(front) for evaluation in evaluations[trial]]

    def part(self, kind: type[P]) -> P:
        """Return a part of what follows from the records, made at the first call."""
        with self._lock:
            if kind not in self._parts:
                made: StudyPart = kind.of(self)
                self._parts[kind] = made
            part = self._parts[kind]
        return cast("P", part)

    def parts(self) -> dict[type[StudyPart], StudyPart]:
        """Return the parts that were made, each after those that it is made of."""
        with self._lock:
            return dict(self._parts)

    def once(self, name: str, make: Callable[[Results], T]) -> T:
        """Return what is made of the records under a name, made at the first call."""
        with self._lock:
            if name not in self._made:
                self._made[name] = make(self.results)
            made: T = self._made[name]
        return made


@dataclass
class _Kept:
    """What is kept of a study between two readings.

    Attributes:
        lock: Held while it is read, so that of many who ask at once only one reads.
        stamp: Of the records that were read.
        study: What was read.
        store: What read it, and reads on from there.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    stamp: Stamp | None = None
    study: ReadStudy | None = None
    store: StudyStore | None = None


class ReadStudies:
    """Reads the records of the studies of a root.

    Of a journal that has grown only the growth is read. Records in a database, which has no such
    sign of a change, are read again after seconds.

    Args:
        settings: Those of the server.
        database: The service's own tables.
    """

    def __init__(self, settings: ServiceSettings, database: ServiceDatabase) -> None:
        self._settings = settings
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._summaries = Summaries(database)
        self._lock = threading.Lock()

    def read(self, name: str) -> ReadStudy:
        """Return the records of a study as they are now.

        Raises:
            StudyError: If they cannot be read.
        """
        paths = StudyPaths(self._settings.root, name)
        with self._lock:
            kept = self._kept.setdefault(name, _Kept())
            self._kept.move_to_end(name)
            while len(self._kept) > N_KEPT:
                self._kept.popitem(last=False)
        with kept.lock:
            stamp = self._stamp(paths)
            if kept.study is None or stamp is None or kept.stamp != stamp:
                kept.study, kept.store = self._read(paths, stamp, kept)
                kept.stamp = stamp
            return kept.study

    def _read(
        self, paths: StudyPaths, stamp: Stamp | None, kept: _Kept
    ) -> tuple[ReadStudy, StudyStore]:
        """Return the records of a study, by its open store where the journal has only grown.

        Then the pairs of trainings whose ties are known are not tested again.
        """
        url, before = self._settings.storage_url, kept.study
        has_grown = (
            stamp is not None
            and kept.stamp is not None
            and kept.stamp[2] == stamp[2]
            and kept.stamp[1] < stamp[1]
        )
        if url is None and has_grown and kept.store is not None and before is not None:
            # What does not fit may be another journal: reading it anew says what is wrong.
            with suppress(StudyError, OSError, *UNFIT):
                results = replace(Results.read(kept.store, paths), ties=before.results.ties)
                return ReadStudy(results, before), kept.store
        store = reading(paths, url)
        return ReadStudy(Results.read(store, paths)), store

    def results(self, name: str) -> Results:
        """Return the records of a study as they are now.

        Raises:
            StudyError: If they cannot be read.
        """
        return self.read(name).results

    def summary(self, name: str) -> StudySummary:
        """Return what lists show of a study; why, where it cannot be read."""
        stamp = self._stamp(StudyPaths(self._settings.root, name))
        kept = None if stamp is None else self._summaries.get(name, stamp)
        if kept is not None:
            return kept
        try:
            summary = summarized(self.read(name))
        except StudyError as error:
            summary = unreadable(error)
        if stamp is not None:
            self._summaries.put(name, stamp, summary)
        return summary

    def _stamp(self, paths: StudyPaths) -> Stamp | None:
        """Return what changes when the records do; None where there are none."""
        if self._settings.storage_url is not None:
            return int(time.monotonic() / DATABASE_S), 0, 0
        try:
            found = paths.journal.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
