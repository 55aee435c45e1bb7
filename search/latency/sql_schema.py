"""The format of the file of remembered latencies: made, recognized, brought up to date."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

# Marks the file as ours ("arch" in ASCII), so that another program's database is told apart.
APPLICATION_ID = 0x61726368
SCHEMA_VERSION = 2
# Another process holds the file for milliseconds; longer than this, something is wrong.
BUSY_S = 30.0

KEY_COLUMNS = (
    "device",
    "runtime",
    "runtime_version",
    "threads",
    "batch_size",
    "precision",
    "timm_version",
    "affinity",
)
_KEY = """
    device TEXT NOT NULL,
    runtime TEXT NOT NULL,
    runtime_version TEXT NOT NULL,
    threads INTEGER NOT NULL,
    batch_size INTEGER NOT NULL,
    precision TEXT NOT NULL,
    timm_version TEXT NOT NULL,
    affinity TEXT NOT NULL,
    architecture_id TEXT NOT NULL,
    architecture TEXT NOT NULL,
"""
_PRIMARY_KEY = f"PRIMARY KEY ({', '.join(KEY_COLUMNS)}, architecture_id)"
TABLES = (
    f"""
    CREATE TABLE measurements ({_KEY}
    measurement TEXT NOT NULL,
    is_stable INTEGER NOT NULL,
    measured_at REAL NOT NULL,
    {_PRIMARY_KEY}
    ) WITHOUT ROWID
    """,
    f"""
    CREATE TABLE failures ({_KEY}
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    failed_at REAL NOT NULL,
    {_PRIMARY_KEY}
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE devices (
    device TEXT PRIMARY KEY,
    words TEXT NOT NULL,
    description TEXT NOT NULL
    ) WITHOUT ROWID
    """,
)
# Format 1 had no affinity (any core), no failures, and devices by their id only.
_FROM_1 = (
    "ALTER TABLE measurements RENAME TO measurements_1",
    *TABLES,
    f"""
    INSERT INTO measurements
    SELECT {", ".join(KEY_COLUMNS[:-1])}, '', architecture_id, architecture, measurement,
           is_stable, measured_at
    FROM measurements_1
    """,
    "INSERT INTO devices SELECT DISTINCT device, device, '{}' FROM measurements",
    "DROP TABLE measurements_1",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_NEW = (
    *TABLES,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


def ready(connection: sqlite3.Connection) -> str | None:
    """Make the tables in a new file, or bring an older one up to date in place.

    Returns:
        Why the file cannot be used, in words; None when it can.
    """
    if _is_empty(connection):
        _set_wal(connection)
        _change(connection, _is_empty, _NEW)
    application, version = _identity(connection)
    if application != APPLICATION_ID:
        return "it is the database of another program"
    if version == 1:
        _change(connection, _is_of_format_1, _FROM_1)
        application, version = _identity(connection)
    if version != SCHEMA_VERSION:
        return f"its format is {version} and this archfront knows {SCHEMA_VERSION}"
    return None


def _change(
    connection: sqlite3.Connection,
    is_needed: Callable[[sqlite3.Connection], bool],
    statements: tuple[str, ...],
) -> None:
    """Do all statements or none, unless another process has done them meanwhile."""
    # Another process may be at it too: ours waits for it, and finds it done.
    connection.execute("BEGIN IMMEDIATE")
    if is_needed(connection):
        for statement in statements:
            connection.execute(statement)
    else:
        _is_empty(connection)  # reads the tables anew, which this connection knows as they were
    connection.commit()


def _identity(connection: sqlite3.Connection) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def _is_empty(connection: sqlite3.Connection) -> bool:
    (n_objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(n_objects == 0)


def _is_of_format_1(connection: sqlite3.Connection) -> bool:
    return _identity(connection) == (APPLICATION_ID, 1)


def _set_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, so that readers and a writer do not wait for each other.

    SQLite does not wait for other processes here as it does elsewhere, so this does.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
