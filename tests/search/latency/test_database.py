"""What was measured is remembered, by several processes at once, and never by mistake."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from archfront.search.errors import ConfigError
from archfront.search.latency.database import Entry, KnownDevice, LatencyKey, LatencyTable
from archfront.search.latency.device import Device, fingerprint
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Failed, Measurement
from archfront.trainers.spec import Architecture, Recipe, Weights
from tests.support import recorded_study

ARCHITECTURE = Architecture("classification", "resnet18", "avg", 32, classes=10, channels=3)
KEY = LatencyKey(
    device="cpu-1234",
    runtime="onnxruntime",
    runtime_version="1.32.0",
    threads=1,
    batch_size=1,
    precision="fp32",
    timm_version="1.0.31",
    architecture=ARCHITECTURE,
)
MEASURED = recorded_study.measurement(1.25, params_m=11.2)


def measured(p50_ms: float, *, is_stable: bool = True) -> Measurement:
    latency = replace(MEASURED.latency, p50_ms=p50_ms, is_stable=is_stable)
    return replace(MEASURED, latency=latency)


@pytest.fixture
def table(tmp_path: Path) -> LatencyTable:
    return LatencyTable(tmp_path / "cache" / "latency.db")


def test_what_was_put_is_given_back_as_remembered(table: LatencyTable) -> None:
    table.put(KEY, MEASURED)
    remembered = replace(MEASURED.latency, source="remembered")
    assert table.get(KEY) == replace(MEASURED, latency=remembered)


def test_nothing_is_known_of_an_empty_table(table: LatencyTable) -> None:
    assert table.get(KEY) is None
    assert list(table.rows()) == []


CHANGES = {
    "device": "cpu-5678",
    "runtime": "eager",
    "runtime_version": "1.33.0",
    "threads": 2,
    "batch_size": 8,
    "precision": "int8",
    "timm_version": "1.0.32",
    "affinity": (0, 1),
    "architecture": replace(ARCHITECTURE, fused=True),
}


def test_every_part_of_the_key_is_tested() -> None:
    assert set(CHANGES) == set(KEY.__dataclass_fields__)


@pytest.mark.parametrize("name", CHANGES)
def test_another_key_knows_nothing_of_it(table: LatencyTable, name: str) -> None:
    table.put(KEY, MEASURED)
    assert table.get(replace(KEY, **{name: CHANGES[name]})) is None


def test_the_architecture_id_is_that_of_its_candidates() -> None:
    recipe = Recipe(lr=0.01, weight_decay=0.0, batch_size=32, augment="none", dropout=0.2)
    assert KEY.architecture_id == Candidate(ARCHITECTURE, Weights(), recipe).architecture_id


def test_a_later_measurement_replaces_an_earlier_one(table: LatencyTable) -> None:
    table.put(KEY, measured(2.0))
    table.put(KEY, measured(1.0))
    found = table.get(KEY)
    assert found is not None
    assert found.latency.p50_ms == 1.0
    assert len(list(table.rows())) == 1


def test_an_unstable_measurement_does_not_replace_a_stable_one(table: LatencyTable) -> None:
    table.put(KEY, measured(1.0))
    table.put(KEY, measured(2.0, is_stable=False))
    found = table.get(KEY)
    assert found is not None
    assert found.latency.p50_ms == 1.0


def test_a_stable_measurement_replaces_an_unstable_one(table: LatencyTable) -> None:
    table.put(KEY, measured(1.0, is_stable=False))
    table.put(KEY, measured(2.0))
    found = table.get(KEY)
    assert found is not None
    assert found.latency.p50_ms == 2.0


def test_an_imported_measurement_stays_imported(table: LatencyTable) -> None:
    latency = replace(MEASURED.latency, source="imported")
    table.put(KEY, replace(MEASURED, latency=latency))
    found = table.get(KEY)
    assert found is not None
    assert found.latency.source == "imported"


def test_rows_give_every_key_with_its_measurement(table: LatencyTable) -> None:
    keys = [replace(KEY, threads=n) for n in (1, 2, 4)]
    for key in keys:
        table.put(key, measured(float(key.threads)))
    assert {key: m.latency.p50_ms for key, m in table.rows()} == dict(
        zip(keys, (1.0, 2.0, 4.0), strict=True)
    )


def test_a_second_table_on_the_same_file_sees_it(table: LatencyTable) -> None:
    table.put(KEY, MEASURED)
    assert LatencyTable(table.path).get(KEY) is not None


def test_a_final_measurement_replaces_a_stable_one_though_it_is_unstable(
    table: LatencyTable,
) -> None:
    table.put(KEY, measured(1.0))
    table.put(KEY, measured(2.0, is_stable=False), is_final=True)
    found = table.get(KEY)
    assert found is not None
    assert found.latency.p50_ms == 2.0


def test_a_key_with_affinity_comes_back_as_it_was(table: LatencyTable) -> None:
    key = replace(KEY, affinity=(0, 3))
    table.put(key, MEASURED)
    assert [entry.key for entry in table.entries()] == [key]


class TestFailures:
    FAILED = Failed("export", "no exporter takes 'resnet18': it's odd")

    def test_a_failure_is_remembered_under_its_key_only(self, table: LatencyTable) -> None:
        table.put_failure(KEY, self.FAILED)
        assert table.failure(KEY) == self.FAILED
        assert table.get(KEY) is None
        for name, value in CHANGES.items():
            assert table.failure(replace(KEY, **{name: value})) is None, name

    def test_a_later_reason_replaces_an_earlier_one(self, table: LatencyTable) -> None:
        table.put_failure(KEY, self.FAILED)
        table.put_failure(KEY, Failed("build", "another"))
        (entry,) = table.failures()
        assert (entry.key, entry.failed) == (KEY, Failed("build", "another"))

    def test_a_measurement_ends_it(self, table: LatencyTable) -> None:
        table.put_failure(KEY, self.FAILED)
        table.put(KEY, MEASURED)
        assert table.failure(KEY) is None
        assert table.failures() == []


class TestDevices:
    def test_this_device_is_described(self, table: LatencyTable) -> None:
        here = fingerprint()
        table.put(replace(KEY, device=here.id), MEASURED)
        assert table.devices() == {here.id: KnownDevice(here.id, str(here), asdict(here))}

    def test_another_is_known_by_its_id_until_it_has_words(self, table: LatencyTable) -> None:
        table.put_failure(KEY, Failed("build", "no"))
        assert table.devices() == {"cpu-1234": KnownDevice("cpu-1234", "cpu-1234", {})}
        table.put_imported([], {"cpu-1234": "a board"})
        table.put(KEY, MEASURED)
        assert table.devices() == {"cpu-1234": KnownDevice("cpu-1234", "a board", {})}

    def test_a_device_goes_with_its_last_row(self, table: LatencyTable) -> None:
        other = replace(KEY, threads=2)
        table.put(KEY, MEASURED)
        table.put_failure(other, Failed("build", "no"))
        table.remove([KEY])
        assert (table.get(KEY), set(table.devices())) == (None, {"cpu-1234"})
        table.remove([other])
        assert (table.failures(), table.devices()) == ([], {})


class TestImporting:
    def imported(self, p50_ms: float) -> Entry:
        latency = replace(MEASURED.latency, p50_ms=p50_ms, source="imported")
        return Entry(KEY, replace(MEASURED, latency=latency), 5.0)

    def test_what_was_imported_is_replaced_and_what_was_measured_kept(
        self, table: LatencyTable
    ) -> None:
        other = replace(self.imported(4.0), key=replace(KEY, threads=2))
        table.put(other.key, measured(1.0))
        assert table.put_imported([self.imported(2.0), other], {"cpu-1234": "a board"}) == {
            "new": 1,
            "replaced": 0,
            "kept": 1,
        }
        assert table.put_imported([self.imported(3.0)], {})["replaced"] == 1
        assert {(m.latency.p50_ms, m.latency.source) for _, m in table.rows()} == {
            (3.0, "imported"),
            (1.0, "remembered"),
        }

    def test_numbers_that_are_not_known_come_back_as_such(self, table: LatencyTable) -> None:
        nan = float("nan")
        entry = self.imported(2.0)
        latency = replace(entry.measurement.latency, p95_ms=nan, spread=nan)
        partial = replace(MEASURED, latency=latency, params_m=nan, macs_g=nan, size_mb=nan)
        table.put_imported([replace(entry, measurement=partial)], {})
        (found,) = table.entries()
        assert repr(found.measurement) == repr(partial)


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


def _put_many(path: Path, first: int, count: int) -> None:
    table = LatencyTable(path)
    for n in range(first, first + count):
        table.put(replace(KEY, threads=n + 1), MEASURED)


@pytest.mark.slow
def test_processes_that_start_at_once_lose_nothing(table: LatencyTable) -> None:
    """The file does not exist yet: creating it is the hard part."""
    context = multiprocessing.get_context("spawn")
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


CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1

processor\t: 1
model name\t: another one
"""


def drawn_machine(root: Path, cpuinfo: str, governor: str | None, quota: str | None) -> Device:
    files = {
        "proc/cpuinfo": cpuinfo,
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": governor,
        "sys/fs/cgroup/cpu.max": quota,
    }
    for name, text in files.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    return fingerprint(root)


def test_a_fingerprint_reads_processor_governor_and_quota(tmp_path: Path) -> None:
    device = drawn_machine(tmp_path, CPUINFO, "powersave\n", "150000 100000\n")
    assert device.cpu == "AMD EPYC (25-17-1)"
    assert device.governor == "powersave"
    assert device.cpu_quota == 1.5
    assert str(device).startswith("AMD EPYC (25-17-1), ")
    assert "(quota 1.5)" in str(device)
    assert "governor powersave" in str(device)


def test_a_fingerprint_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    device = drawn_machine(tmp_path, "Hardware : a board\n", None, "max 100000")
    assert device.cpu
    assert device.governor is None
    assert device.cpu_quota is None
    assert device.cores >= 1
    assert device.memory_gb >= 1


def test_the_device_id_is_the_same_for_the_same_machine_and_another_for_another(
    tmp_path: Path,
) -> None:
    first = drawn_machine(tmp_path / "a", CPUINFO, "performance", None)
    again = drawn_machine(tmp_path / "b", CPUINFO, "performance", None)
    slower = drawn_machine(tmp_path / "c", CPUINFO, "powersave", None)
    assert first.id == again.id != slower.id
    assert len(first.id) == 12
