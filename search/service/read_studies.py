"""The records of studies, read once until they change."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from archfront.search.errors import StudyError
from archfront.search.front.members import FrontMember
from archfront.search.records.evaluation import Trained
from archfront.search.records.journal import UNFIT
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore, reading
from archfront.search.results.results import Results
from archfront.search.service.service_settings import ServiceSettings

T = TypeVar("T")

# Studies whose records are kept in memory, the last ones read.
N_KEPT = 16
# Seconds for which records in a database count as unchanged.
DATABASE_S = 2.0
# What tells whether the journal of a study has changed: time, size and number of the file.
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


class ReadStudies:
    """Reads the records of the studies of a root.

    Of a journal that has grown only the growth is read. Records in a database, which has no such
    sign of a change, are read again after seconds.

    Args:
        settings: Those of the server.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._kept: OrderedDict[str, tuple[Stamp, ReadStudy]] = OrderedDict()
        self._stores: OrderedDict[str, tuple[Stamp, StudyStore, Results]] = OrderedDict()
        self._summaries: dict[str, tuple[Stamp, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> ReadStudy:
        """Return the records of a study as they are now.

        Raises:
            StudyError: If they cannot be read.
        """
        paths = StudyPaths(self._settings.root, name)
        stamp = self._stamp(paths)
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None and kept[0] == stamp:
                self._kept.move_to_end(name)
                return kept[1]
        study = ReadStudy(self._results(name, paths, stamp))
        if stamp is not None:
            with self._lock:
                self._kept[name] = (stamp, study)
                self._kept.move_to_end(name)
                while len(self._kept) > N_KEPT:
                    self._kept.popitem(last=False)
        return study

    def _results(self, name: str, paths: StudyPaths, stamp: Stamp | None) -> Results:
        """Return the records of a study, by its open store where the journal has only grown.

        Then the pairs of trainings whose ties are known are not tested again.
        """
        url = self._settings.storage_url
        if stamp is None or url is not None:
            return Results.read(reading(paths, url), paths)
        with self._lock:  # whoever takes a store has it alone
            kept = self._stores.pop(name, None)
        results = None
        if kept is not None and kept[0][2] == stamp[2] and kept[0][1] < stamp[1]:
            _, store, before = kept
            # What does not fit may be another journal: reading it anew says what is wrong.
            with suppress(StudyError, OSError, *UNFIT):
                results = replace(Results.read(store, paths), ties=before.ties)
        if results is None:
            store = reading(paths, url)
            results = Results.read(store, paths)
        with self._lock:
            self._stores[name] = stamp, store, results
            while len(self._stores) > N_KEPT:
                self._stores.popitem(last=False)
        return results

    def results(self, name: str) -> Results:
        """Return the records of a study as they are now.

        Raises:
            StudyError: If they cannot be read.
        """
        return self.read(name).results

    def summary(self, name: str) -> dict[str, Any]:
        """Return what a table of studies shows of one; why, where it cannot be read."""
        stamp = self._stamp(StudyPaths(self._settings.root, name))
        with self._lock:
            kept = self._summaries.get(name)
        if kept is not None and kept[0] == stamp:
            return dict(kept[1])
        try:
            summary = self.read(name).once("summary", _summary)
        except StudyError as error:
            summary = {"reason": str(error)}
        if stamp is not None:
            with self._lock:
                self._summaries[name] = (stamp, summary)
        return dict(summary)

    def _stamp(self, paths: StudyPaths) -> Stamp | None:
        """Return what changes when the records do; None where there are none."""
        if self._settings.storage_url is not None:
            return int(time.monotonic() / DATABASE_S), 0, 0
        try:
            found = paths.journal.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _summary(results: Results) -> dict[str, Any]:
    """Return the counts of a study, its best metric and what it took."""
    header = results.header
    trained = [
        e.outcome.metric
        for e in results.evaluations
        if e.can_join_front and isinstance(e.outcome, Trained)
    ]
    return {
        "reason": results.reason,
        "counts": results.counts(),
        "best": max(trained, default=None),
        "metric": None if header is None else header.metric,
        "task": None if header is None else header.task,
        "started": None if header is None else header.started,
        "seconds": results.seconds(),
    }
