"""The lock of a study's driver, which the system frees however the driver dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import IO

from archfront.search.errors import StudyLockedError
from archfront.search.records.paths import StudyPaths


@contextlib.contextmanager
def driver_lock(paths: StudyPaths) -> Iterator[None]:
    """Hold the lock of a study's driver until the block ends.

    Raises:
        StudyLockedError: If another driver holds it.
    """
    with paths.lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StudyLockedError(_who_runs(paths, file)) from None
        file.truncate(0)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        file.write(json.dumps(holder))
        file.flush()
        yield


def is_driven(paths: StudyPaths) -> bool:
    """Return whether a driver runs the study now."""
    with contextlib.suppress(FileNotFoundError), paths.lock.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _who_runs(paths: StudyPaths, file: IO[str]) -> str:
    file.seek(0)
    who = "another process"
    # It may be writing this very moment.
    with contextlib.suppress(ValueError, KeyError, TypeError):
        holder = json.loads(file.read())
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
        who = f"process {holder['pid']} on {holder['host']} since {since}"
    return (
        f"The study {paths.study!r} is already run by {who}. Wait for it, end it, or start "
        "another study with study=NAME."
    )
