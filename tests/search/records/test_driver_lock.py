"""The lock of a driver beside those who look at it."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import SimpleNamespace

import pytest

from archfront.search.records import driver_lock
from archfront.search.records.paths import StudyPaths


def test_whoever_looks_refuses_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that began while a list was made was refused, and its study failed by that."""
    paths = StudyPaths(tmp_path, "small")
    paths.folder.mkdir(parents=True)
    paths.lock.touch()
    with paths.lock.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        pauses = SimpleNamespace(sleep=lambda _: fcntl.flock(looking, fcntl.LOCK_UN))
        monkeypatch.setattr(driver_lock, "time", pauses)
        with driver_lock.driver_lock(paths):
            assert driver_lock.is_driven(paths)
