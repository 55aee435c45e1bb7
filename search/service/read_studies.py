"""The records of studies, read once until they change."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from archfront.search.errors import DatabaseError, StudyError
from archfront.search.records.driver_lock import is_driven
from archfront.search.records.journal import UNFIT
from archfront.search.records.paths import StudyPaths, is_study, studies
from archfront.search.records.postgres import is_postgres
from archfront.search.records.store import StudyStore, reading
from archfront.search.results.results import Results
from archfront.search.service.long_lived import LongLived
from archfront.search.service.pages.study_columns import TextsPart
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.stored_look import StoredLook
from archfront.search.service.stored_ties import StoredTies
from archfront.search.service.study_summary import (
    STORED,
    UNREAD,
    Stamp,
    StudySummary,
    Summaries,
    summarized,
    unreadable,
)

# Studies whose records are kept in memory, the last ones read, and of those that run: a list that
# is open asks for all of these after each of their records.
N_KEPT, N_RUNNING = 16, 128
# Paths of studies that are kept: of a thousand they take longer to be made than a list of them.
N_PATHS = 5000
# Seconds for which records in a database other than PostgreSQL count as unchanged.
DATABASE_S = 2.0
# Bytes of records that a list reads at once, and those of an entry in PostgreSQL, about.
SOON_BYTES, ENTRY_BYTES = 400_000, 500
# Bytes of records from which on they are many objects.
LARGE_BYTES = 2_000_000


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

    @property
    def is_running(self) -> bool:
        """Return whether its records say that it runs."""
        return self.study is not None and self.study.results.state == "running"


class ReadStudies:
    """Reads the records of the studies of a root.

    Of a journal that has grown only the growth is read, from a file or from PostgreSQL. Records in
    another database, which has no sign of a change, are read again after seconds.

    Args:
        settings: Those of the server.
        database: The service's own tables.

    Attributes:
        is_lacking: Set where a list lacks studies that take long to be read.
    """

    def __init__(self, settings: ServiceSettings, database: ServiceDatabase) -> None:
        self._settings, url = settings, settings.storage_url
        self._stored = StoredLook(url) if url is not None and is_postgres(url) else None
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._long_lived = LongLived()
        self._paths = lru_cache(N_PATHS)(partial(StudyPaths, settings.root))
        self._summaries = Summaries(database)
        self._ties = StoredTies(database)
        self._lock = threading.Lock()
        self.is_lacking = threading.Event()

    def names(self) -> list[str]:
        """Return the names of the studies that have begun, by name.

        Raises:
            DatabaseError: If PostgreSQL cannot be used.
        """
        stored = {} if self._stored is None else self._stored.all()
        return sorted({*studies(self._settings.root), *stored})

    def has_begun(self, name: str) -> bool:
        """Return whether a study of this name has records.

        Raises:
            DatabaseError: If PostgreSQL cannot be used.
        """
        if is_study(self._settings.root, name):
            return True
        return self._stored is not None and name in self._stored.all()

    def is_driven(self, name: str) -> bool:
        """Return whether a driver runs a study; of another machine it is told a second late.

        Raises:
            DatabaseError: If PostgreSQL cannot be used.
        """
        if is_driven(self._paths(name)):
            return True
        stored = None if self._stored is None else self._stored.all().get(name)
        return stored is not None and stored.is_driven

    def read(self, name: str) -> ReadStudy:
        """Return the records of a study as they are now.

        Raises:
            StudyError: If they cannot be read.
        """
        paths = self._paths(name)
        with self._lock:
            kept = self._kept.setdefault(name, _Kept())
            self._kept.move_to_end(name)
        with kept.lock:
            stamp = self._stamp(name, is_now=True)
            if kept.study is None or stamp is None or kept.stamp != stamp:
                kept.study, kept.store = self._read(paths, stamp, kept)
                kept.stamp = stamp
            study = kept.study
        with self._lock:
            self._let_go()
        return study

    def _let_go(self) -> None:
        """Keep no more studies than there may be, those of each kind that were read last."""
        for most, is_running in ((N_KEPT, False), (N_RUNNING, True)):
            alike = [name for name, kept in self._kept.items() if kept.is_running is is_running]
            for name in alike[:-most]:
                del self._kept[name]

    def _read(
        self, paths: StudyPaths, stamp: Stamp | None, kept: _Kept
    ) -> tuple[ReadStudy, StudyStore]:
        """Return the records of a study, by its open store where the journal has only grown.

        Then the pairs of trainings whose ties are known are not tested again.
        """
        before, store = kept.study, kept.store
        has_grown = stamp is not None and kept.stamp is not None and stamp.goes_on(kept.stamp)
        if has_grown and store is not None and before is not None:
            # What does not fit may be another journal: reading it anew says what is wrong.
            with suppress(StudyError, OSError, *UNFIT):
                store.read_on()
                results = replace(Results.read(store, paths), ties=before.results.ties)
                return ReadStudy(results, before), store
        is_large = stamp is not None and stamp.n_bytes > LARGE_BYTES
        with self._long_lived.made(is_large=is_large):
            store = reading(paths, self._settings.storage_url)
            study = self._study(store, paths, stamp)
            if is_large and study.results.header is not None:
                study.part(TextsPart)  # for its page, which would wait for it
            return study, store

    def results(self, name: str) -> Results:
        """Return the records of a study as they are now.

        Raises:
            StudyError: If they cannot be read.
        """
        return self.read(name).results

    def summary(self, name: str) -> StudySummary:
        """Return what lists show of a study; why, where it cannot be read.

        Raises:
            DatabaseError: If the database of the records cannot be used.
        """
        stamp = self._stamp(name, is_now=True)
        known = None if stamp is None else self._summaries.get(name, stamp)
        return known or self._summarized(name, stamp, self.read)

    def summaries(self, names: Sequence[str]) -> dict[str, StudySummary]:
        """Return what lists show of studies, without reading for long.

        What takes long is read in the background: until then a study is as it was last, or
        ``reading``.

        Raises:
            DatabaseError: If the database of the records cannot be used.
        """
        found, left = dict[str, StudySummary](), SOON_BYTES
        for name in names:
            stamp = self._stamp(name)
            known = None if stamp is None else self._summaries.get(name, stamp)
            if known is None:
                n_bytes = 0 if stamp is None or self._is_open(name) else stamp.n_bytes
                if n_bytes <= left:
                    left -= n_bytes
                    known = self._summarized(name, stamp, self.read)
                else:
                    known = self._summaries.last(name) or UNREAD
                    self.is_lacking.set()
            found[name] = known
        return found

    def fill(self, name: str) -> bool:
        """Read a study that lists lack, and return whether they did.

        Raises:
            DatabaseError: If the database of the records cannot be used.
        """
        stamp = self._stamp(name)
        if stamp is None or self._is_open(name) or self._summaries.get(name, stamp) is not None:
            return False
        # One that runs will be read again and again; the records of others are not kept.
        self._summarized(name, stamp, self.read if self.is_driven(name) else self._read_once)
        return True

    def forget(self, name: str) -> None:
        """Forget a study that was deleted.

        Raises:
            ServiceError: If the service's own tables cannot be used.
        """
        with self._lock:
            self._kept.pop(name, None)
        self._summaries.forget(name)
        self._ties.forget(name)

    def _summarized(
        self, name: str, stamp: Stamp | None, read: Callable[[str], ReadStudy]
    ) -> StudySummary:
        try:
            study = read(name)
            summary = summarized(study)
            if stamp is not None:
                self._ties.keep(study, stamp)
        except DatabaseError:  # which says nothing of the study
            raise
        except StudyError as error:
            summary = unreadable(error)
        if stamp is not None:
            self._summaries.put(name, stamp, summary)
        return summary

    def _read_once(self, name: str) -> ReadStudy:
        paths, stamp = self._paths(name), self._stamp(name)
        return self._study(reading(paths, self._settings.storage_url), paths, stamp)

    def _study(self, store: StudyStore, paths: StudyPaths, stamp: Stamp | None) -> ReadStudy:
        """Return the records of a study that is read for the first time."""
        results = Results.read(store, paths)
        return ReadStudy(replace(results, ties=self._ties.of(results, stamp)))

    def _is_open(self, name: str) -> bool:
        """Return whether the records of a study are kept, so that little is left to be read."""
        with self._lock:
            kept = self._kept.get(name)
        return kept is not None and kept.study is not None

    def _stamp(self, name: str, *, is_now: bool = False) -> Stamp | None:
        """Return what changes when the records of a study do; None where there are none.

        Args:
            name: Name of the study.
            is_now: Whether a database is asked now, and not a moment ago.
        """
        if self._stored is not None:
            stored = self._stored.one(name) if is_now else self._stored.all().get(name)
            if stored is None:
                return None
            text = f"{stored.n_entries}:{stored.writer}:{stored.is_driven:d}"
            return Stamp(text, stored.n_entries * ENTRY_BYTES, STORED)
        if self._settings.storage_url is not None:
            return Stamp(str(int(time.monotonic() / DATABASE_S)), 0, "")
        try:
            found = self._paths(name).journal.stat()
        except OSError:
            return None
        text = f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}"
        return Stamp(text, found.st_size, str(found.st_ino))
