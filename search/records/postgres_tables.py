"""The tables in a team's PostgreSQL: made when they are needed, in a schema of their own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archfront.search.errors import DatabaseError
from archfront.search.records.postgres import connected, transaction
from archfront.search.records.storage_urls import hide_password

if TYPE_CHECKING:
    from sqlalchemy import Connection

# MLflow makes its tables in ten seconds, beside other work in some more.
LONGEST_S = 300.0

_SCHEMA = (
    "CREATE SCHEMA IF NOT EXISTS archfront",
    "CREATE TABLE IF NOT EXISTS archfront.formats (part text PRIMARY KEY, version int NOT NULL)",
)
# Not by to_regclass, which within a transaction does not see what others have made meanwhile.
_IS_MADE = """
SELECT count(*) > 0 FROM pg_tables WHERE schemaname = 'archfront' AND tablename = 'formats'
"""
_VERSION = "SELECT version FROM archfront.formats WHERE part = %s"


@dataclass(frozen=True)
class Part:
    """Tables that are made together.

    Attributes:
        name: Of the part.
        version: Of the format of its tables.
        statements: What makes them.
    """

    name: str
    version: int
    statements: Sequence[str]


RECORDS = Part(
    "records",
    1,
    (
        """
        CREATE TABLE archfront.journal (
            study text NOT NULL,
            number bigint NOT NULL,
            writer text NOT NULL,
            sequence bigint NOT NULL,
            entry text NOT NULL,
            PRIMARY KEY (study, number)
        )
        """,
        """
        CREATE TABLE archfront.drivers (
            study text PRIMARY KEY,
            writer text NOT NULL,
            host text NOT NULL,
            pid int NOT NULL,
            since double precision NOT NULL
        )
        """,
    ),
)


def lock_key(name: str) -> int:
    """Return the number of an advisory lock, from -2^63 to 2^63 - 1."""
    digest = hashlib.sha256(f"archfront {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@contextmanager
def one_at_a_time(url: str, what: str) -> Iterator[None]:
    """Let only one process make what others make too.

    Raises:
        DatabaseError: If the database cannot be used.
    """
    with connected(url) as connection:
        attempt = f"SELECT pg_try_advisory_lock({lock_key(what)})"
        deadline = time.monotonic() + LONGEST_S
        while not connection.exec_driver_sql(attempt).scalar_one():
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"Another process makes {what} in the database {hide_password(url)} for "
                    f"{LONGEST_S:.0f} s now. End it."
                )
            time.sleep(0.1)
        yield


def is_made(connection: Connection, part: Part, url: str) -> bool:
    """Return whether the tables of a part are there.

    Raises:
        DatabaseError: If a later version of archfront made them.
    """
    if not connection.exec_driver_sql(_IS_MADE).scalar_one():
        return False
    version = connection.exec_driver_sql(_VERSION, (part.name,)).scalar()
    if version is not None and version > part.version:
        raise DatabaseError(
            f"The {part.name} in the database {hide_password(url)} have the format {version}, and "
            f"this archfront knows {part.version}. Update archfront."
        )
    return version is not None


def make_tables(connection: Connection, part: Part, url: str) -> None:
    """Make the tables of a part where they are not there.

    Raises:
        DatabaseError: If a later version of archfront made them.
    """
    if is_made(connection, part, url):
        return
    with transaction(connection):
        # Another process may make them now; ours waits for it.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock_key('tables')})")
        if is_made(connection, part, url):
            return
        if not connection.exec_driver_sql(_IS_MADE).scalar_one():
            for statement in _SCHEMA:
                connection.exec_driver_sql(statement)
        for statement in part.statements:
            connection.exec_driver_sql(statement)
        insert = "INSERT INTO archfront.formats VALUES (%s, %s)"
        connection.exec_driver_sql(insert, (part.name, part.version))
