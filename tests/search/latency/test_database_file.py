"""The file of remembered latencies: earlier formats, several processes at once, and damage."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.errors import ConfigError
from archfront.search.latency import sql_schema
from archfront.search.latency.database import Entry, KnownDevice, LatencyKey, LatencyTable
from tests.support.known_latency import ARCHITECTURE, CHANGES, KEY, MEASURED


@pytest.fixture
def table(tmp_path: Path) -> LatencyTable:
    return LatencyTable(tmp_path / "cache" / "latency.db")


# As archfront wrote it before devices, failures and affinity.
FORMAT_1 = """
CREATE TABLE measurements (
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

NEWER = {"affinity", "interval", "drift", "parity", "memory_mb", "throughput_ips", "energy_mj"}


def old_file(path: Path) -> list[LatencyKey]:
    """Write a file of format 1 with three rows, and return their keys."""
    keys = [replace(KEY, threads=threads) for threads in (1, 2, 4)]
    content = asdict(MEASURED)
    latency = {k: v for k, v in content["latency"].items() if k not in NEWER}
    old = {**{k: v for k, v in content.items() if k not in NEWER}, "latency": latency}
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute(FORMAT_1)
        for key in keys:
            columns = [getattr(key, name) for name in list(CHANGES)[:7]]
            texts = [key.architecture_id, json.dumps(asdict(ARCHITECTURE)), json.dumps(old)]
            marks = ", ".join("?" * 12)
            values = [*columns, *texts, 1, 1e9 + key.threads]
            connection.execute(f"INSERT INTO measurements VALUES ({marks})", values)
        connection.execute("PRAGMA application_id = 0x61726368")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    return keys


def test_a_file_of_format_1_is_brought_up_to_date_and_loses_nothing(table: LatencyTable) -> None:
    keys = old_file(table.path)
    remembered = replace(MEASURED, latency=replace(MEASURED.latency, source="remembered"))
    assert table.entries() == [Entry(key, remembered, 1e9 + key.threads) for key in keys]
    assert table.get(keys[1]) == remembered
    assert table.devices() == {"cpu-1234": KnownDevice("cpu-1234", "cpu-1234", {})}
    assert table.failures() == []
    table.put(replace(KEY, affinity=(1,)), MEASURED)
    assert len(LatencyTable(table.path).entries()) == 4


def test_a_migration_that_stops_halfway_leaves_format_1(table: LatencyTable) -> None:
    """A table of the new format's name stands in the way of the third statement."""
    old_file(table.path)
    with sqlite3.connect(table.path) as connection:
        connection.execute("CREATE TABLE devices (other TEXT)")
    connection.close()
    with pytest.raises(ConfigError, match="cannot be used: table devices already exists"):
        table.entries()
    with sqlite3.connect(table.path) as connection:
        (count,) = connection.execute("SELECT count(*) FROM measurements").fetchone()
        assert (count, connection.execute("PRAGMA user_version").fetchone()) == (3, (1,))
    connection.close()


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "format 1"])
def test_a_file_that_another_process_makes_meanwhile_is_used(
    is_old: bool, table: LatencyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is done when this one has seen that there is work, and begins with it."""
    if is_old:
        old_file(table.path)
    change = sql_schema._change

    def late(*arguments: Any) -> None:
        monkeypatch.setattr(sql_schema, "_change", change)
        LatencyTable(table.path).put(replace(KEY, threads=99), MEASURED)
        change(*arguments)

    monkeypatch.setattr(sql_schema, "_change", late)
    table.put(KEY, MEASURED)
    threads = {entry.key.threads for entry in table.entries()}
    assert threads == {KEY.threads, 99} | ({1, 2, 4} if is_old else set())


def _put_many(path: Path, first: int, count: int) -> None:
    table = LatencyTable(path)
    for n in range(first, first + count):
        table.put(replace(KEY, threads=n + 1), MEASURED)


@pytest.mark.slow
def test_processes_that_start_at_once_lose_nothing(table: LatencyTable) -> None:
    """The file does not exist yet: creating it is the hard part."""
    context = multiprocessing.get_context("fork")  # others would import pytest for seconds
    processes = [
        context.Process(target=_put_many, args=(table.path, 25 * n, 25)) for n in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=600)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert {key.threads for key, _ in table.rows()} == set(range(1, 101))


def _text(path: Path) -> None:
    path.write_text("this is a letter and no database, but long enough to have a header. " * 20)


def _other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()


def _later_version(path: Path) -> None:
    LatencyTable(path).put(KEY, MEASURED)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_text, "file is not a database"),
        (_other_database, "it is the database of another program"),
        (_later_version, "its format is 7 and this archfront knows 2"),
        (_folder, "unable to open database file"),
    ],
)
def test_a_file_that_is_something_else_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "latency.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigError) as raised:
        LatencyTable(path).put(KEY, MEASURED)
    assert str(raised.value) == (
        f"The table of remembered latencies {str(path)!r} cannot be used: {reason}. "
        "Move the file away, or set tracking.device_db to another path."
    )
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"latency": 3}', "\0\1"], ids=["torn", "empty", "other", "no JSON"]
)
def test_a_damaged_row_is_the_same_error(table: LatencyTable, text: str) -> None:
    """It ended a study with the traceback of a decoder."""
    table.put(KEY, MEASURED)
    with sqlite3.connect(table.path) as connection:
        connection.execute("UPDATE measurements SET measurement = ?", (text,))
    connection.close()
    for read in (lambda: table.get(KEY), table.entries):
        with pytest.raises(ConfigError, match=r"cannot be used: a row of it is damaged \("):
            read()


def test_a_half_made_file_is_the_same_error(table: LatencyTable) -> None:
    table.put(KEY, MEASURED)
    with sqlite3.connect(table.path) as connection:
        connection.execute("DROP TABLE measurements")
    connection.close()
    with pytest.raises(ConfigError, match=r"cannot be used: no such table.* Move the file away"):
        table.get(KEY)


def test_a_log_that_outlived_its_file_does_not_come_back(table: LatencyTable) -> None:
    """Of a file that was removed while a process was killed with it open."""
    table.put(KEY, MEASURED)
    holding = sqlite3.connect(table.path)
    holding.execute("SELECT 1 FROM measurements").fetchall()
    log = table.path.with_name("latency.db-wal")
    log.write_bytes(b"of another file" * 100)
    table.path.unlink()
    assert table.get(KEY) is None
    table.put(KEY, MEASURED)
    assert len(table.entries()) == 1
    holding.close()


def test_a_folder_that_cannot_be_made_is_the_same_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ConfigError, match=r"cannot be used: .*set tracking\.device_db"):
        LatencyTable(tmp_path / "cache" / "latency.db").get(KEY)
