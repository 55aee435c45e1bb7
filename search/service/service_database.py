"""The database of the service's own tables: opened, made, migrated, one transaction at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
    extract,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from archfront.search.errors import ServiceError
from archfront.search.records.postgres import database_error, is_postgres
from archfront.search.records.storage_urls import hide_password
from archfront.search.service.tables import METADATA, MIGRATIONS, SCHEMA, VERSION

# Seconds that a transaction waits for another one of SQLite.
BUSY_S = 30
# Number of the lock in PostgreSQL that a server holds while it makes the tables.
LOCK = 4_217_041
# First number of the locks of transactions that are alone; the second is a hash of their word.
ALONE = 4_217_042
# Option of the connections that only read.
ONLY_READS = "archfront_only_reads"
# What brings in the usual database of teams.
POSTGRESQL = "pip install 'archfront[postgres]', and write the URL as postgresql+pg8000://..."


class ServiceDatabase:
    """The database of a service.

    Args:
        url: SQLAlchemy URL.
        flag: Where the URL was given, for whoever has to mend it.
        clock: Seconds since the epoch, for a database that no other machine uses.

    Raises:
        ServiceError: If it cannot be opened, or a later version of archfront made its tables.
    """

    def __init__(
        self, url: str, *, flag: str = "--database", clock: Callable[[], float] = time.time
    ) -> None:
        self._url, self._flag, self._clock = url, flag, clock
        self._shown = hide_password(url)
        try:
            self._engine = _engine(url)
        except (ArgumentError, NoSuchModuleError, ImportError, OSError) as error:
            raise self._unusable(error) from error
        with self.errors():
            self._make_tables()

    @contextmanager
    def begin(self, *, alone: str | None = None) -> Iterator[Connection]:
        """Give a connection in a transaction, which is undone where the block fails.

        Args:
            alone: A word that one transaction of all servers has at a time; others with it wait
                for its end. In SQLite every transaction is alone.

        Raises:
            ServiceError: If the database does not answer.
        """
        with self.errors(), self._engine.begin() as connection:
            if alone is not None and self._engine.dialect.name == "postgresql":
                # What is read from here on has what the transaction before has written.
                lock = func.pg_advisory_xact_lock(ALONE, func.hashtext(alone))
                connection.execute(select(lock))
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that only reads, which in SQLite waits for no other transaction.

        Raises:
            ServiceError: If the database does not answer.
        """
        with (
            self.errors(),
            self._engine.connect() as connection,
            connection.execution_options(**{ONLY_READS: True}).begin(),
        ):
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what SQLAlchemy raises into one error for people, but for rows that are there."""
        try:
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise self._unusable(error) from error

    def now(self) -> float:
        """Return the time, in seconds since the epoch: one clock for all servers.

        SQLite is a file of one machine. Servers of several machines ask their database.
        """
        if self._engine.dialect.name == "sqlite":
            return self._clock()
        with self.reading() as connection:
            seconds = connection.execute(
                select(extract("epoch", func.clock_timestamp()))
            ).scalar_one()
        return float(seconds)

    def ping(self) -> None:
        """Check that the database answers.

        Raises:
            ServiceError: If it does not.
        """
        with self.reading() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Close all connections; repeatable."""
        self._engine.dispose()

    def _unusable(self, error: Exception) -> ServiceError:
        origin = getattr(error, "orig", None)
        if is_postgres(self._url) and origin is not None:
            found = database_error(self._url, error)
            return ServiceError(f"{found} The URL is that of {self._flag}.")
        said = (str(getattr(error, "orig", None) or error).splitlines() or [""])[0]
        remedy = f"Check {self._flag}: its driver, host, user and database."
        if self._flag == "--root":
            remedy = "Check that the folder of --root can be written, and that the file is whole."
        if isinstance(error, ImportError):
            remedy = f"For PostgreSQL: {POSTGRESQL}."
        return ServiceError(
            f"The database {self._shown} of the service cannot be used: {said.rstrip('.')}. "
            f"{remedy}"
        )

    def _make_tables(self) -> None:
        """Make the tables that are missing, and bring those of an earlier version up to date."""
        with self.begin() as connection:
            if self._engine.dialect.name == "postgresql":  # one server makes them, others wait
                connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            METADATA.create_all(connection)
            found = connection.execute(select(func.max(SCHEMA.c.version))).scalar_one()
            if found is None:
                connection.execute(insert(SCHEMA).values(version=VERSION))
                return
            if found > VERSION:
                raise ServiceError(
                    f"The database {self._shown} has tables of version {found}; this archfront "
                    f"knows versions up to {VERSION}. Use the archfront that made them, or "
                    f"another {self._flag}."
                )
            for version in range(found, VERSION):
                for statement in MIGRATIONS[version]:
                    connection.execute(text(statement))
            connection.execute(update(SCHEMA).values(version=VERSION))


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _(connection: object, record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]
        connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        # A transaction that begins with reading could not write beside another one.
        only_reads = connection.get_execution_options().get(ONLY_READS)
        connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")

    return engine
