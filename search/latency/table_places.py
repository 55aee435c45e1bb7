"""Where a table of latencies lies: in a SQLite file, or in a team's PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from archfront.search.errors import ConfigError
from archfront.search.latency.earlier_table import adopt_earlier
from archfront.search.latency.sql_schema import BUSY_S, TABLES, ready
from archfront.search.records.postgres import connected, is_postgres, patiently, transaction
from archfront.search.records.postgres_tables import Part, make_tables
from archfront.search.records.storage_urls import hide_password
from archfront.trainers.words import quoted

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult

Answer = TypeVar("Answer")
Values = Sequence[str | int | float | None]

LATENCIES = Part(
    "latencies",
    1,
    [
        table.replace("CREATE TABLE ", "CREATE TABLE archfront.")
        .replace("REAL", "double precision")
        .replace("WITHOUT ROWID", "")
        for table in TABLES
    ],
)


class Cursor(Protocol):
    """The rows that a statement gives."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> Any:
        """Return all rows."""


class Statements(Protocol):
    """What statements with ``?`` for their values are done by, in both databases."""

    def execute(self, statement: str, values: Values = (), /) -> Cursor:
        """Do a statement."""

    def executemany(self, statement: str, values: Iterable[Values], /) -> Any:
        """Do a statement with each of several values."""


class Place(Protocol):
    """Where a table of latencies lies."""

    @property
    def name(self) -> str:
        """Return what people call it."""

    def do(self, step: Callable[[Statements], Answer]) -> Answer:
        """Do all statements of a step, or none, and return what it returns."""


class TableFile:
    """A SQLite file.

    Args:
        path: It and its folder are made when they are not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """Return its path."""
        return str(self.path)

    def do(self, step: Callable[[Statements], Answer]) -> Answer:
        """Do all statements of a step, or none, and return what it returns.

        Raises:
            ConfigError: If the file cannot be opened or is something else.
        """
        try:
            adopt_earlier(self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=BUSY_S)) as connection:
                reason = ready(connection)
                if reason is not None:
                    raise self._unusable(reason)
                with connection:
                    return step(connection)
        except (sqlite3.DatabaseError, OSError) as error:
            raise self._unusable(str(error)) from error
        except (ValueError, TypeError, KeyError) as error:  # of a row that is decoded
            raise self._unusable(_damage(error)) from error

    def _unusable(self, reason: str) -> ConfigError:
        return ConfigError(
            f"The table of remembered latencies {self.name!r} cannot be used: {reason}. "
            "Move the file away, or set tracking.device_db to another path."
        )


class TeamTable:
    """Tables in PostgreSQL.

    Args:
        url: The database.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def name(self) -> str:
        """Return the URL without its password."""
        return hide_password(self._url)

    def do(self, step: Callable[[Statements], Answer]) -> Answer:
        """Do all statements of a step, or none, and return what it returns.

        A step may be done twice where the database was away: it only puts, gets or removes rows.

        Raises:
            ConfigError: If a row of it cannot be read.
            DatabaseError: If the database cannot be used.
            StudyStoppedError: If the database has gone away and stays away.
        """
        return patiently(self._url, lambda: self._once(step))

    def _once(self, step: Callable[[Statements], Answer]) -> Answer:
        with connected(self._url, is_kept=True) as connection:
            make_tables(connection, LATENCIES, self._url)
            try:
                with transaction(connection):
                    return step(_TeamStatements(connection))
            except (ValueError, TypeError, KeyError) as error:  # of a row that is decoded
                raise ConfigError(
                    f"The table of remembered latencies in {self.name} cannot be used: "
                    f"{_damage(error)}. Restore it from a copy, or set tracking.latency_url to "
                    "another database or null."
                ) from error


class _TeamStatements:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Values = (), /) -> CursorResult[Any]:
        return self._connection.exec_driver_sql(statement.replace("?", "%s"), tuple(values))

    def executemany(self, statement: str, values: Iterable[Values], /) -> None:
        for each in values:
            self.execute(statement, each).close()


def table_place(where: str | Path) -> Place:
    """Return the place of a path, or of a URL of PostgreSQL.

    Raises:
        ConfigError: If it is the URL of something else.
    """
    if isinstance(where, Path):
        return TableFile(where)
    if is_postgres(where):
        return TeamTable(where)
    raise ConfigError(
        "tracking.latency_url: latencies are kept in a file (tracking.device_db) or in PostgreSQL "
        f"(postgresql+pg8000://...); got {quoted(hide_password(where))}."
    )


def path_or_url(text: str) -> str | Path:
    """Return what ``--db`` names."""
    return text if "://" in text else Path(text)


def _damage(error: Exception) -> str:
    return f"a row of it is damaged ({(str(error).splitlines() or [''])[0]})"
