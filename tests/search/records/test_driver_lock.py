"""The lock of a driver beside those who look at it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from archfront.search.errors import StudyError
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


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_no_other_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """On a Lustre without locks each study was said to be run by another process, for ever."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    paths = StudyPaths(tmp_path, "small")
    paths.folder.mkdir(parents=True)
    paths.lock.touch()
    monkeypatch.setattr(driver_lock.fcntl, "flock", refuse)
    with (
        pytest.raises(StudyError, match=r"has no locks .*tracking\.root=FOLDER"),
        driver_lock.driver_lock(paths),
    ):
        pass
    assert not driver_lock.is_driven(paths)
