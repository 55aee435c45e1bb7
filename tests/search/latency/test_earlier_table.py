"""The cache folder is where XDG_CACHE_HOME says; what was measured before goes along."""

from __future__ import annotations

from pathlib import Path

import pytest

from archfront.search.latency.database import LatencyTable, default_path
from archfront.search.latency.key import MeasureSettings, latency_key
from archfront.search.records.paths import cache_file
from archfront.trainers.spec import Architecture
from tests.support.recorded_study import measurement

SETTINGS = MeasureSettings("eager", threads=1, batch_size=1, warmup=10, repeats=50)
KEY = latency_key(Architecture("classification", "test_resnet", "avg", 8, 10, 1), SETTINGS)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ARCHFRONT_DEVICE_DB", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path / "home"


def test_the_variable_says_the_cache_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = home / ".cache" / "archfront" / "latency.db"
    assert default_path() == usual
    for ignored in ("", "relative/folder"):  # as the specification of the variable says
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert default_path() == usual
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_path() == tmp_path / "cache" / "archfront" / "latency.db"
    assert cache_file("images") == default_path().with_name("images")


def test_an_earlier_table_is_copied_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = LatencyTable(default_path())
    earlier.put(KEY, measurement(2.0))
    earlier.path.with_name("pace.json").write_text("{}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    table = LatencyTable(default_path())
    assert table.path != earlier.path
    found = table.get(KEY)
    assert found is not None
    assert found.latency.p50_ms == 2.0
    assert table.path.with_name("pace.json").read_text() == "{}"
    table.remove([KEY])
    assert LatencyTable(default_path()).get(KEY) is None, "it is copied once"
    assert earlier.get(KEY) is not None


def test_another_table_or_a_damaged_earlier_one_begins_empty(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = default_path()
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"no table at all" * 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert LatencyTable(default_path()).entries() == []
    assert LatencyTable(tmp_path / "mine.db").entries() == []
