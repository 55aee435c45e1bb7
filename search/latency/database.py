"""The table of latencies: one SQLite file that serves every study on a device, or a team's.

Several processes read and write it at once. Every call opens the file or database anew, so a table
may be kept, pickled or used from any thread; a file opens in a fraction of a millisecond.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from archfront.search.latency.device import fingerprint
from archfront.search.latency.sql_schema import KEY_COLUMNS
from archfront.search.latency.table_places import Statements, table_place
from archfront.search.records.candidate import canonical_json, short_hash
from archfront.search.records.codec import decode
from archfront.search.records.evaluation import Failed, Measurement
from archfront.search.records.paths import cache_file
from archfront.trainers.spec import Architecture

# Numbers that an imported row may lack: NaN in a measurement, null in its JSON.
_MAY_LACK = ("params_m", "macs_g", "size_mb")
_LATENCY_MAY_LACK = ("p95_ms", "spread")

_MARKS = ", ".join("?" * (len(KEY_COLUMNS) + 1))
_OR_CHANGE = f"ON CONFLICT ({', '.join(KEY_COLUMNS)}, architecture_id) DO UPDATE SET"
_IS_KEY = f"({', '.join(KEY_COLUMNS)}, architecture_id) = ({_MARKS})"
_GET = f"SELECT measurement FROM measurements WHERE {_IS_KEY}"
# A stable measurement is not replaced by one that was disturbed.
_PUT = f"""
INSERT INTO measurements VALUES ({_MARKS}, ?, ?, ?, ?)
{_OR_CHANGE} measurement = excluded.measurement,
    is_stable = excluded.is_stable, measured_at = excluded.measured_at
WHERE excluded.is_stable >= measurements.is_stable OR ?
"""
_ROWS = f"""
SELECT {", ".join(KEY_COLUMNS)}, architecture, measurement, measured_at FROM measurements
{{where}} ORDER BY measured_at, architecture_id
"""
_GET_FAILURE = f"SELECT kind, message FROM failures WHERE {_IS_KEY}"
_PUT_FAILURE = f"""
INSERT INTO failures VALUES ({_MARKS}, ?, ?, ?, ?)
{_OR_CHANGE} kind = excluded.kind, message = excluded.message, failed_at = excluded.failed_at
"""
_FAILURES = f"""
SELECT {", ".join(KEY_COLUMNS)}, architecture, kind, message, failed_at FROM failures
ORDER BY failed_at, architecture_id
"""
# A device known by its id only gets its words when it describes itself.
_PUT_DEVICE = """
INSERT INTO devices VALUES (?, ?, ?)
ON CONFLICT (device) DO UPDATE SET words = excluded.words, description = excluded.description
WHERE excluded.words != excluded.device
"""


@dataclass(frozen=True)
class LatencyKey:
    """Everything that a measurement depends on.

    Attributes:
        device: Id of the device's fingerprint, or the name of an imported device.
        runtime: Key of ``search.runtimes.RUNTIMES``; any name for an imported device.
        runtime_version: Version of the runtime's library; empty where it is not known.
        threads: Intra-op threads.
        batch_size: Images per run.
        precision: Numeric precision of the artifact.
        timm_version: Version of timm, which may change a network of the same name.
        architecture: The network.
        affinity: Logical cores that it was pinned to; None for any.
    """

    device: str
    runtime: str
    runtime_version: str
    threads: int
    batch_size: int
    precision: str
    timm_version: str
    architecture: Architecture
    affinity: tuple[int, ...] | None = None

    @property
    def architecture_id(self) -> str:
        """Return the same id as the candidates of this architecture have."""
        return short_hash(self.architecture.as_dict())


@dataclass(frozen=True)
class Entry:
    """One remembered measurement; ``measured_at`` in seconds since the epoch."""

    key: LatencyKey
    measurement: Measurement
    measured_at: float


@dataclass(frozen=True)
class FailureEntry:
    """One remembered failure; ``failed_at`` in seconds since the epoch."""

    key: LatencyKey
    failed: Failed
    failed_at: float


@dataclass(frozen=True)
class KnownDevice:
    """A device of the table.

    Attributes:
        id: What the keys call it.
        words: What people call it; the id where nothing else is known.
        description: Fields of its fingerprint; empty for an imported one.
    """

    id: str
    words: str
    description: dict[str, Any]


def default_path() -> Path:
    """Return the file that serves this device, as conf/tracking/local.yaml names it."""
    named = os.environ.get("ARCHFRONT_DEVICE_DB")
    return Path(named).expanduser() if named else cache_file("latency.db")


class LatencyTable:
    """The remembered measurements and failures of one file, or of a team's PostgreSQL.

    Args:
        where: The SQLite file, or the URL of PostgreSQL.

    Raises:
        ConfigError: On any call, if the file cannot be opened or is something else.
        DatabaseError: On any call, if PostgreSQL cannot be used.
    """

    def __init__(self, where: Path | str) -> None:
        self._where, self._place = where, table_place(where)

    @property
    def name(self) -> str:
        """Return what people call it: its path, or its URL without the password."""
        return self._place.name

    @property
    def path(self) -> Path:
        """Return the file."""
        assert isinstance(self._where, Path), "a table in PostgreSQL is no file"
        return self._where

    def has_any(self) -> bool:
        """Return whether anything is remembered; a file that is not there is not made."""
        if isinstance(self._where, Path) and not self._where.exists():
            return False
        return bool(self.entries() or self.failures())

    def get(self, key: LatencyKey) -> Measurement | None:
        """Return the measurement, its source ``remembered``; None if there is none."""

        def step(table: Statements) -> Measurement | None:
            row = table.execute(_GET, _columns(key)).fetchone()
            return None if row is None else _measurement(row[0])

        return self._place.do(step)

    def put(self, key: LatencyKey, measurement: Measurement, *, is_final: bool = False) -> None:
        """Remember a measurement, and forget that the architecture failed once.

        A later one replaces it, unless the later one is unstable and this one is not.

        Args:
            key: What was measured.
            measurement: What came out.
            is_final: It replaces an earlier one in any case.
        """
        entry = Entry(key, measurement, time.time())

        def step(table: Statements) -> None:
            _put(table, entry, is_final=is_final)
            table.execute(_PUT_DEVICE, _device_row(key.device))

        self._place.do(step)

    def put_imported(self, entries: Iterable[Entry], words: dict[str, str]) -> dict[str, int]:
        """Remember the measurements of others, all of them or none.

        What was measured here is kept: it is not replaced by what is imported.

        Args:
            entries: The measurements, each of another key.
            words: What people call the devices, by id.

        Returns:
            How many were ``new``, ``replaced`` and ``kept``.
        """
        entries = list(entries)

        def step(table: Statements) -> dict[str, int]:
            counts = {"new": 0, "replaced": 0, "kept": 0}
            for entry in entries:
                row = table.execute(_GET, _columns(entry.key)).fetchone()
                is_ours = row is not None and _measurement(row[0]).latency.source != "imported"
                counts["new" if row is None else "kept" if is_ours else "replaced"] += 1
                if not is_ours:
                    _put(table, entry, is_final=True)
            for device, name in words.items():
                table.execute(_PUT_DEVICE, (device, name, "{}"))
            return counts

        return self._place.do(step)

    def failure(self, key: LatencyKey) -> Failed | None:
        """Return why the architecture could not be measured; None if that is not known."""
        row = self._place.do(lambda table: table.execute(_GET_FAILURE, _columns(key)).fetchone())
        return None if row is None else Failed(*row)

    def put_failure(self, key: LatencyKey, failed: Failed) -> None:
        """Remember that the architecture cannot be measured; a later reason replaces it."""
        message = failed.message.replace("\0", "")  # PostgreSQL keeps no NUL
        row = (*_columns(key), _architecture_text(key), failed.kind, message, time.time())

        def step(table: Statements) -> None:
            table.execute(_PUT_FAILURE, row)
            table.execute(_PUT_DEVICE, _device_row(key.device))

        self._place.do(step)

    def entries(self, ids: Sequence[str] = ()) -> list[Entry]:
        """Return every measurement, or those of architectures with some ids; the oldest first."""
        where = f"WHERE architecture_id IN ({', '.join('?' * len(ids))})" if ids else ""

        def step(table: Statements) -> list[Entry]:
            found = table.execute(_ROWS.format(where=where), ids).fetchall()
            return [Entry(_key(row), _measurement(row[-2]), row[-1]) for row in found]

        return self._place.do(step)

    def rows(self) -> Iterator[tuple[LatencyKey, Measurement]]:
        """Give every key with its measurement, the oldest first."""
        for entry in self.entries():
            yield entry.key, entry.measurement

    def failures(self) -> list[FailureEntry]:
        """Return every failure, the oldest first."""

        def step(table: Statements) -> list[FailureEntry]:
            found = table.execute(_FAILURES).fetchall()
            return [FailureEntry(_key(row), Failed(row[-3], row[-2]), row[-1]) for row in found]

        return self._place.do(step)

    def devices(self) -> dict[str, KnownDevice]:
        """Return the devices by id."""

        def step(table: Statements) -> dict[str, KnownDevice]:
            found = table.execute("SELECT * FROM devices ORDER BY device").fetchall()
            return {
                name: KnownDevice(name, words, json.loads(fields)) for name, words, fields in found
            }

        return self._place.do(step)

    def remove(self, keys: Iterable[LatencyKey]) -> None:
        """Forget measurements and failures, and the devices of which nothing is left."""
        columns = [_columns(key) for key in keys]

        def step(table: Statements) -> None:
            for name in ("measurements", "failures"):
                table.executemany(f"DELETE FROM {name} WHERE {_IS_KEY}", columns)
            table.execute(
                "DELETE FROM devices WHERE device NOT IN (SELECT device FROM measurements "
                "UNION SELECT device FROM failures)"
            )

        self._place.do(step)


def _put(table: Statements, entry: Entry, *, is_final: bool) -> None:
    row = (
        *_columns(entry.key),
        _architecture_text(entry.key),
        _text(entry.measurement),
        int(entry.measurement.latency.is_stable),
        entry.measured_at,
        is_final,
    )
    table.execute(_PUT, row)
    table.execute(f"DELETE FROM failures WHERE {_IS_KEY}", _columns(entry.key))


def _columns(key: LatencyKey) -> tuple[str | int, ...]:
    values = {name: getattr(key, name) for name in KEY_COLUMNS}
    values["affinity"] = ",".join(map(str, key.affinity or ()))
    return (*values.values(), key.architecture_id)


def _key(row: tuple[Any, ...]) -> LatencyKey:
    """Return the key at the beginning of a row: its columns, then the architecture."""
    values = dict(zip(KEY_COLUMNS, row, strict=False))
    cores = tuple(int(core) for core in values.pop("affinity").split(",") if core)
    architecture = Architecture(**json.loads(row[len(KEY_COLUMNS)]))
    return LatencyKey(**values, architecture=architecture, affinity=cores or None)


def _architecture_text(key: LatencyKey) -> str:
    return canonical_json(key.architecture.as_dict())


def _text(measurement: Measurement) -> str:
    """Return a measurement as JSON, which has no NaN."""
    assert measurement.latency.tiles is None, "a device remembers single predictions"
    content = asdict(measurement)
    del content["latency"]["tiles"]
    for part, names in ((content, _MAY_LACK), (content["latency"], _LATENCY_MAY_LACK)):
        part.update({name: None for name in names if math.isnan(part[name])})
    return canonical_json(content)


def _measurement(text: str) -> Measurement:
    content = json.loads(text)
    for part, names in ((content, _MAY_LACK), (content["latency"], _LATENCY_MAY_LACK)):
        part.update({name: math.nan for name in names if part[name] is None})
    found = decode(Measurement, content)
    if found.latency.source == "measured":
        return replace(found, latency=replace(found.latency, source="remembered"))
    return found


def _device_row(device: str) -> tuple[str, str, str]:
    """Return the row of a device: this one in words, another one by its id only."""
    here, words, description = _this_device()
    return (device, words, description) if device == here else (device, device, "{}")


@lru_cache(maxsize=1)
def _this_device() -> tuple[str, str, str]:
    device = fingerprint()
    return device.id, str(device), canonical_json(asdict(device))
