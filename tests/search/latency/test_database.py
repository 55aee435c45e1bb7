"""What was measured is remembered under its key, and never by mistake."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from archfront.search.latency.database import Entry, KnownDevice, LatencyTable
from archfront.search.latency.device import fingerprint
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Failed, Measurement
from archfront.trainers.spec import Recipe, Weights
from tests.support.known_latency import ARCHITECTURE, CHANGES, KEY, MEASURED
from tests.support.postgres_server import Server, execute


def measured(p50_ms: float, *, is_stable: bool = True) -> Measurement:
    latency = replace(MEASURED.latency, p50_ms=p50_ms, is_stable=is_stable)
    return replace(MEASURED, latency=latency)


@pytest.fixture(scope="module")
def team(postgres: Server) -> str:
    return postgres.new_database()


@pytest.fixture(params=["file", "postgres"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> LatencyTable:
    if request.param == "file":
        return LatencyTable(tmp_path / "cache" / "latency.db")
    url = request.getfixturevalue("team")
    execute(url, "DROP SCHEMA IF EXISTS archfront CASCADE")
    return LatencyTable(url)


def test_what_was_put_is_given_back_as_remembered(table: LatencyTable) -> None:
    table.put(KEY, MEASURED)
    remembered = replace(MEASURED.latency, source="remembered")
    assert table.get(KEY) == replace(MEASURED, latency=remembered)


def test_nothing_is_known_of_an_empty_table(table: LatencyTable) -> None:
    assert table.get(KEY) is None
    assert list(table.rows()) == []


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
    assert LatencyTable(table._where).get(KEY) is not None


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
