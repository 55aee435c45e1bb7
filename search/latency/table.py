"""What was measured before: one SQLite file that serves every study on a device.

Several processes read and write it at once. Every call opens the file anew, so a table may be
kept, pickled or used from any thread; an open takes a fraction of a millisecond.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from search.candidate import canonical_json, short_hash
from search.errors import ConfigError
from search.records import Latency, Measurement
from trainers.spec import Architecture

# Marks the file as ours ("arch" in ASCII), so that another program's database is told apart.
APPLICATION_ID = 0x61726368
SCHEMA_VERSION = 1
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
)
_CREATE = """
CREATE TABLE IF NOT EXISTS measurements (
    device TEXT NOT NULL,
    runtime TEXT NOT NULL,
    runtime_version TEXT NOT NULL,
    threads INTEGER NOT NULL,
    batch_size INTEGER NOT NULL,
    precision TEXT NOT NULL,
    timm_version TEXT NOT NULL,
    architecture_id TEXT NOT NULL,
    architecture TEXT NOT NULL,
    measurement TEXT NOT NULL,
    is_stable INTEGER NOT NULL,
    measured_at REAL NOT NULL,
    PRIMARY KEY (device, runtime, runtime_version, threads, batch_size, precision,
                 timm_version, architecture_id)
) WITHOUT ROWID
"""
_GET = f"""
SELECT measurement FROM measurements
WHERE ({", ".join(KEY_COLUMNS)}, architecture_id) = (?, ?, ?, ?, ?, ?, ?, ?)
"""
# What was measured in peace is not replaced by what was measured under disturbance.
_PUT = """
INSERT INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET measurement = excluded.measurement,
    is_stable = excluded.is_stable, measured_at = excluded.measured_at
WHERE excluded.is_stable >= measurements.is_stable
"""
_ROWS = f"""
SELECT {", ".join(KEY_COLUMNS)}, architecture, measurement FROM measurements
ORDER BY measured_at
"""


@dataclass(frozen=True)
class LatencyKey:
    """Everything that a measurement depends on.

    Attributes:
        device: Id of the device's fingerprint.
        runtime: Key of ``search.latency.runtimes.RUNTIMES``.
        runtime_version: Version of the runtime's library.
        threads: Intra-op threads.
        batch_size: Images per run.
        precision: Numeric precision of the artifact.
        timm_version: Version of timm, which may change a network of the same name.
        architecture: The network.
    """

    device: str
    runtime: str
    runtime_version: str
    threads: int
    batch_size: int
    precision: str
    timm_version: str
    architecture: Architecture

    @property
    def architecture_id(self) -> str:
        """Return the same id as the candidates of this architecture have."""
        return short_hash(asdict(self.architecture))


class LatencyTable:
    """The remembered measurements of one file.

    Args:
        path: The SQLite file; it and its folder are made when they are not there.

    Raises:
        ConfigError: On any call, if the file cannot be opened or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: LatencyKey) -> Measurement | None:
        """Return what was measured, its source ``remembered``; None if nothing was."""
        with self._open() as connection:
            row = connection.execute(_GET, _columns(key)).fetchone()
        return None if row is None else _measurement(row[0])

    def put(self, key: LatencyKey, measurement: Measurement) -> None:
        """Remember a measurement.

        A later one replaces it, unless the later one is unstable and this one is not.
        """
        row = (
            *_columns(key),
            canonical_json(asdict(key.architecture)),
            canonical_json(asdict(measurement)),
            int(measurement.latency.is_stable),
            time.time(),
        )
        with self._open() as connection, connection:
            connection.execute(_PUT, row)

    def rows(self) -> Iterator[tuple[LatencyKey, Measurement]]:
        """Give every key with its measurement, the oldest first."""
        with self._open() as connection:
            found = connection.execute(_ROWS).fetchall()
        for *columns, architecture, measurement in found:
            values = dict(zip(KEY_COLUMNS, columns, strict=True))
            key = LatencyKey(**values, architecture=Architecture(**json.loads(architecture)))
            yield key, _measurement(measurement)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=BUSY_S)) as connection:
                self._prepare(connection)
                yield connection
        except (sqlite3.DatabaseError, OSError) as error:
            raise self._unusable(str(error)) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Create the table in a new file; refuse a file of another program or version."""
        if _is_empty(connection):
            _set_wal(connection)
            # Another process may be creating it too: ours waits for it, and finds it done.
            connection.execute("BEGIN IMMEDIATE")
            if _is_empty(connection):
                connection.execute(_CREATE)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.commit()
        application, version = _identity(connection)
        if application != APPLICATION_ID:
            raise self._unusable("it is the database of another program")
        if version != SCHEMA_VERSION:
            raise self._unusable(
                f"its format is {version} and this archfront knows {SCHEMA_VERSION}"
            )

    def _unusable(self, reason: str) -> ConfigError:
        return ConfigError(
            f"The table of remembered latencies {str(self.path)!r} cannot be used: {reason}. "
            "Move the file away, or set tracking.device_db to another path."
        )


def _columns(key: LatencyKey) -> tuple[str | int, ...]:
    return (*(getattr(key, name) for name in KEY_COLUMNS), key.architecture_id)


def _measurement(text: str) -> Measurement:
    content = json.loads(text)
    latency = Latency(**content.pop("latency"))
    if latency.source == "measured":
        latency = replace(latency, source="remembered")
    return Measurement(latency=latency, **content)


def _identity(connection: sqlite3.Connection) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version


def _is_empty(connection: sqlite3.Connection) -> bool:
    (n_objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(n_objects == 0)


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
