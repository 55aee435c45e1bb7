"""The session of a driver in PostgreSQL: it holds the lock of the study while it lives.

The server frees the lock when the connection ends, however the driver dies. After a restart of
the database the session is made anew, and its lock is taken again; every second it is looked
whether that is needed, so that the lock is held while the driver trains, too.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from archfront.search.errors import ArchfrontError, DatabaseError, StudyStoppedError
from archfront.search.records.driver_holder import DriverHolder, locked, this_process
from archfront.search.records.postgres import connect, connected, patiently, told
from archfront.search.records.postgres_tables import RECORDS, is_made, lock_key, make_tables
from archfront.search.records.storage_urls import hide_password

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Seconds between looks whether the session still lives.
LOOK_S = 1.0

_LOCK = "SELECT pg_try_advisory_lock(%s)"
_HELD_ALL = """
SELECT classid::bigint << 32 | objid::bigint
FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
WHERE locktype = 'advisory' AND datname = current_database() AND granted AND objsubid = 1
"""
_HELD = f"SELECT count(*) > 0 FROM ({_HELD_ALL}) AS held (key) WHERE key = %s"
_WHO = "SELECT writer, host, pid, since FROM archfront.drivers WHERE study = %s"
_BEGIN = """
INSERT INTO archfront.drivers VALUES (%s, %s, %s, %s, %s) ON CONFLICT (study) DO UPDATE
SET writer = excluded.writer, host = excluded.host, pid = excluded.pid, since = excluded.since
"""

Answer = TypeVar("Answer")


class DriverSession:
    """One connection, the lock of a study that it holds, and what is done on it.

    Args:
        url: The database.
        study: Name of the study.

    Raises:
        StudyLockedError: If another driver holds the lock.
        DatabaseError: If the database cannot be used.
    """

    def __init__(self, url: str, study: str) -> None:
        self.url, self.study, self.writer = url, study, uuid.uuid4().hex
        # Called after the session was made anew, before anything else is done on it.
        self.renewed: Callable[[Connection], None] = lambda connection: None
        self._guard, self._is_closed = threading.RLock(), threading.Event()
        self._lost: StudyStoppedError | None = None
        self._is_given_up = False
        self._connection: Connection | None = connect(url)
        try:
            with told(url):
                self._begin(self._connection)
        except BaseException:
            self._drop()
            raise
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _begin(self, connection: Connection) -> None:
        make_tables(connection, RECORDS, self.url)
        if not self._try_lock(connection):
            raise locked(self.study, self._who(connection)[1])
        me = this_process()
        row = (self.study, self.writer, me.host, me.pid, me.since)
        connection.exec_driver_sql(_BEGIN, row)

    def __enter__(self) -> DriverSession:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock back."""
        self._is_closed.set()
        self._watcher.join()
        self._drop()

    def run(self, step: Callable[[Connection], Answer]) -> Answer:
        """Do a step on the session, again after a restart of the database.

        Args:
            step: Harmless when it is done twice, since the answer to the first may be lost.

        Raises:
            StudyStoppedError: If the database stays away or refuses the step, or if another
                driver has taken the study over.
        """
        with self._guard:
            try:
                wait_s = 0.0 if self._is_given_up else None
                return patiently(self.url, lambda: self._once(step), wait_s=wait_s)
            except StudyStoppedError:
                self._is_given_up = True  # one try each is left for the end of the study
                raise

    def lost(self, why: str) -> StudyStoppedError:
        """Return the error for a study that is no longer this driver's, from now on."""
        self._lost = StudyStoppedError(
            f"The study {self.study!r} in {hide_password(self.url)} is no longer run by this "
            f"process: {why}. What was recorded before is kept."
        )
        return self._lost

    def _once(self, step: Callable[[Connection], Answer]) -> Answer:
        if self._lost is not None:
            raise self._lost
        try:
            with told(self.url):
                return step(self._connection or self._renew())
        except DatabaseError as error:
            if error.is_away:
                self._drop()
            raise
        except ArchfrontError:
            raise
        except BaseException:  # the rest of an answer may still come, as after Ctrl-C
            self._drop()
            raise

    def _renew(self) -> Connection:
        """Make the connection anew, with its lock.

        Raises:
            DatabaseError: If that does not succeed yet.
            StudyStoppedError: If another driver has taken the study over, or it was deleted.
        """
        connection = connect(self.url)
        try:
            is_ours = self._try_lock(connection)
            writer, holder = self._who(connection)
            if writer is None:
                raise self.lost("it was deleted while the database was away")
            if writer != self.writer:
                raise self.lost(f"{holder} has taken it over while the database was away")
            if not is_ours:
                error = DatabaseError(
                    f"The database {hide_password(self.url)} still holds the lock of this "
                    "process's connection before."
                )
                error.is_away = True
                raise error
            self.renewed(connection)
        except BaseException:
            with contextlib.suppress(Exception):
                connection.close()
            raise
        self._connection = connection
        return connection

    def _try_lock(self, connection: Connection) -> bool:
        found = connection.exec_driver_sql(_LOCK, (lock_key(f"study {self.study}"),))
        return bool(found.scalar_one())

    def _who(self, connection: Connection) -> tuple[str | None, DriverHolder | None]:
        """Return the driver that has run the study last."""
        row = connection.exec_driver_sql(_WHO, (self.study,)).one_or_none()
        return (None, None) if row is None else (row[0], DriverHolder(row[1], row[2], row[3]))

    def _drop(self) -> None:
        """End the connection, whatever its state."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()
            with contextlib.suppress(Exception):
                connection.close()

    def _watch(self) -> None:
        """Look every second whether the session lives, and make it anew where it does not."""
        while not self._is_closed.wait(LOOK_S):
            if self._lost is not None or not self._guard.acquire(blocking=False):
                continue  # lost, or just in use
            try:
                with contextlib.suppress(DatabaseError, StudyStoppedError):
                    self._once(lambda connection: connection.exec_driver_sql("SELECT 1").close())
            finally:
                self._guard.release()


def is_locked(url: str, study: str) -> bool:
    """Return whether a driver holds the lock of a study.

    Raises:
        DatabaseError: If the database cannot be used.
    """
    with connected(url, is_kept=True) as connection:
        return is_held(connection, study)


def is_held(connection: Connection, study: str) -> bool:
    """Return whether a driver holds the lock of a study."""
    return bool(connection.exec_driver_sql(_HELD, (lock_key(f"study {study}"),)).scalar_one())


def held_locks(connection: Connection) -> frozenset[int]:
    """Return the keys of all locks that are held in the database, those of drivers among them."""
    return frozenset(int(key) for key in connection.exec_driver_sql(_HELD_ALL).scalars())


def forget(connection: Connection, study: str, url: str) -> None:
    """Remove who has run a study last."""
    if is_made(connection, RECORDS, url):
        connection.exec_driver_sql("DELETE FROM archfront.drivers WHERE study = %s", (study,))
