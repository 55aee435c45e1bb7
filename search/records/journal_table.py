"""Optuna's journal of a study as rows of a table in PostgreSQL.

The rows of a study are numbered without gaps. Only the driver that holds the study's lock writes,
so it need not read what it wrote: each record is one statement. A row has its writer and the
sequence number of the writer's append, so that an append whose answer was lost is known again and
not written twice, and a number that another writer has taken is seen.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from optuna.storages.journal import BaseJournalBackend

from archfront.search.errors import StudyError
from archfront.search.records.driver_session import DriverSession, forget, is_held
from archfront.search.records.postgres import connected, transaction
from archfront.search.records.postgres_tables import RECORDS, is_made
from archfront.search.records.storage_urls import hide_password

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Rows that the driver keeps. A server that commits asynchronously may lose those of the last
# seconds when it crashes, a standby that takes over those of some more.
KEPT = 2000

_ROWS = """
SELECT number, writer, sequence, entry FROM archfront.journal
WHERE study = %s AND number >= %s ORDER BY number
"""
_LAST = "SELECT coalesce(max(number), -1) FROM archfront.journal WHERE study = %s"
# Each name is looked up in the index, however many rows a study has. The last one is NULL.
NAMES = """
WITH RECURSIVE names AS (
    (SELECT study FROM archfront.journal ORDER BY study LIMIT 1)
    UNION ALL
    SELECT (SELECT study FROM archfront.journal WHERE study > names.study ORDER BY study LIMIT 1)
    FROM names WHERE names.study IS NOT NULL
)
"""
_STUDIES = f"{NAMES} SELECT study FROM names WHERE study IS NOT NULL"


class Row(NamedTuple):
    """A row of a study's journal."""

    number: int
    writer: str
    sequence: int
    entry: str


class JournalTable(BaseJournalBackend):
    """The journal of the study that a session drives.

    Args:
        session: Holds the lock of the study.

    Raises:
        StudyStoppedError: On any call, if the database stays away or refuses it, or if another
            driver has taken the study over.
    """

    def __init__(self, session: DriverSession) -> None:
        self._session = session
        self._unread = session.run(lambda connection: _rows(connection, session.study, 0))
        _check_whole(self._unread, session.study, session.url)
        self._next, self._sequence = len(self._unread), 0
        self._kept: deque[Row] = deque(self._unread, maxlen=KEPT)
        session.renewed = self._catch_up

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, all of them or none, and once."""
        self._sequence += 1
        sequence, entries = (
            self._sequence,
            [json.dumps(log, separators=(",", ":")) for log in logs],
        )
        self._session.run(lambda connection: self._append(connection, sequence, entries))

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the entries from a number on, which are not kept for another time."""
        rows, self._unread = self._unread, []
        if log_number_from < (rows[0].number if rows else self._next):  # it was read before
            study = self._session.study
            rows = self._session.run(lambda c: _rows(c, study, log_number_from))
        return [json.loads(row.entry) for row in rows if row.number >= log_number_from]

    def _append(self, connection: Connection, sequence: int, entries: Sequence[str]) -> None:
        """Write entries, unless the database has taken them already and the answer was lost."""
        study, writer = self._session.study, self._session.writer
        rows = [Row(self._next + i, writer, sequence, entry) for i, entry in enumerate(entries)]
        if _insert(connection, study, rows) == len(rows):
            self._take(rows)
            return
        found = _rows(connection, study, self._next)
        if not found or any(row.writer != writer for row in found):
            raise self._session.lost("another process has written to it")
        self._take(found)
        if all(row.sequence != sequence for row in found):  # those of an append before
            self._append(connection, sequence, entries)

    def _take(self, rows: Sequence[Row]) -> None:
        self._unread += rows
        self._kept += rows
        self._next += len(rows)

    def _catch_up(self, connection: Connection) -> None:
        """Write again what a server lost that had said it was written."""
        study = self._session.study
        last = int(connection.exec_driver_sql(_LAST, (study,)).scalar_one())
        lacking = [row for row in self._kept if row.number > last]
        if last + 1 < self._next - len(lacking):
            raise self._session.lost(
                f"the database has {last + 1} of its {self._next} entries, as one that was "
                "restored from an earlier copy"
            )
        if lacking:
            _insert(connection, study, lacking)


class StoredJournal(BaseJournalBackend):
    """The journal of a study in PostgreSQL, to read: as it was at one moment, then read on.

    Args:
        url: The database.
        study: Name of the study.
        rows: All rows of its journal.
        is_driven: Whether a driver runs it.
    """

    def __init__(self, url: str, study: str, rows: Sequence[Row], *, is_driven: bool) -> None:
        self._url, self._study, self._last = url, study, rows[-1]
        self._unread = list(rows)
        self.is_driven = is_driven

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse to write."""
        raise AssertionError("only the driver writes to a study")

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the entries from a number on, which are not kept for another time."""
        rows, self._unread = self._unread, []
        return [json.loads(row.entry) for row in rows if row.number >= log_number_from]

    def read_on(self) -> None:
        """Take the rows that were written since, and look whether a driver runs the study.

        Raises:
            DatabaseError: If the database cannot be used.
            StudyError: If what was read before is no longer there, as of a study that was deleted.
        """
        last = self._last
        with connected(self._url, is_kept=True) as connection:
            rows = _rows(connection, self._study, last.number)
            self.is_driven = is_held(connection, self._study)
        is_whole = [row.number for row in rows] == list(
            range(last.number, last.number + len(rows))
        )
        if not rows or rows[0][:3] != last[:3] or not is_whole:
            raise StudyError(
                f"The records of {self._study!r} in {hide_password(self._url)} are others now."
            )
        self._unread += rows[1:]
        self._last = rows[-1]


def read_journal(url: str, study: str) -> StoredJournal:
    """Return the journal of a study as it is now.

    Raises:
        DatabaseError: If the database cannot be used.
        StudyError: If it has no such study, or not all of its journal.
    """
    with connected(url) as connection:
        rows = []
        if is_made(connection, RECORDS, url):
            rows = _rows(connection, study, 0)
        if not rows:
            there = ", ".join(_studies(connection, url)) or "no study"
            raise StudyError(
                f"The study {study!r} is not in {hide_password(url)}, which has {there}."
            )
        is_driven = is_held(connection, study)
    _check_whole(rows, study, url)
    return StoredJournal(url, study, rows, is_driven=is_driven)


def stored_studies(url: str) -> list[str]:
    """Return the names of the studies in a database.

    Raises:
        DatabaseError: If the database cannot be used.
    """
    with connected(url) as connection:
        return _studies(connection, url)


def remove_study(url: str, study: str) -> None:
    """Remove the rows of a study.

    Raises:
        DatabaseError: If the database cannot be used.
    """
    with connected(url) as connection, transaction(connection):
        if is_made(connection, RECORDS, url):
            delete = "DELETE FROM archfront.journal WHERE study = %s"
            connection.exec_driver_sql(delete, (study,))
            forget(connection, study, url)


def _studies(connection: Connection, url: str) -> list[str]:
    if not is_made(connection, RECORDS, url):
        return []
    return sorted(str(name) for name in connection.exec_driver_sql(_STUDIES).scalars())


def _rows(connection: Connection, study: str, first: int) -> list[Row]:
    found = connection.exec_driver_sql(_ROWS, (study, first))
    return [Row(*row) for row in found]


def _insert(connection: Connection, study: str, rows: Sequence[Row]) -> int:
    """Write rows, all of them in one statement, and return how many were not there."""
    marks = ", ".join(["(%s, %s, %s, %s, %s)"] * len(rows))
    values = tuple(value for row in rows for value in (study, *row))
    return connection.exec_driver_sql(
        f"INSERT INTO archfront.journal VALUES {marks} ON CONFLICT DO NOTHING", values
    ).rowcount


def _check_whole(rows: Sequence[Row], study: str, url: str) -> None:
    """Raise a StudyError unless the rows of a journal are numbered without gaps."""
    if rows and rows[-1].number + 1 != len(rows):
        raise StudyError(
            f"The records of {study!r} in {hide_password(url)} are damaged: {len(rows)} of "
            f"{rows[-1].number + 1} entries are there. Restore them from a copy of the database."
        )
