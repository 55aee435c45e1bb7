"""Recorded studies as ``archfront.open`` gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

import archfront as af
from tests.support import recorded_store, small_refits


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without the variables of whoever runs the tests."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(tmp_path / "latency.db"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    for name in ("ARCHFRONT_ROOT", "ARCHFRONT_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def flowers(tmp_path: Path) -> af.Study:
    """Return a recorded study of 16 trained candidates, without weights."""
    recorded_store.write(tmp_path / "studies")
    return af.open("flowers", root=tmp_path / "studies")


@pytest.fixture
def digits(tmp_path: Path) -> af.Study:
    """Return a recorded study of three trained candidates, the two of its front with weights."""
    small_refits.write(tmp_path / "studies")
    return af.open("digits", root=tmp_path / "studies")
