"""The lock of a study's driver, which the system frees however the driver dies.

It is a kernel lock on a file of the study's folder, and for a study in PostgreSQL a lock of the
database too, which holds for all hosts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from archfront.search.errors import StudyError
from archfront.search.records.driver_holder import DriverHolder, locked, this_process
from archfront.search.records.driver_session import DriverSession, is_locked
from archfront.search.records.paths import StudyPaths
from archfront.search.records.postgres import is_postgres

# Attempts to take the lock, and seconds between two: whoever looks whether a driver runs holds
# it for a moment, too.
ATTEMPTS, PAUSE_S = 10, 0.05
# What the system says of a lock that another process holds. Anything else, as that the function is
# not implemented on a Lustre without locks, is no other driver.
HELD = (errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def driver_lock(paths: StudyPaths, url: str | None = None) -> Iterator[DriverSession | None]:
    """Hold the lock of a study's driver until the block ends.

    Args:
        paths: The study.
        url: The database of its records; None for its journal.

    Yields:
        The session in PostgreSQL that holds the lock there; None for other records.

    Raises:
        StudyLockedError: If another driver holds it.
        StudyError: If the file system of the study's folder has no locks.
        DatabaseError: If PostgreSQL cannot be used.
    """
    with _file_lock(paths), contextlib.ExitStack() as stack:
        session = None
        if url is not None and is_postgres(url):
            session = stack.enter_context(DriverSession(url, paths.study))
        yield session


@contextlib.contextmanager
def _file_lock(paths: StudyPaths) -> Iterator[None]:
    with paths.lock.open("a+", encoding="utf-8") as file:
        for left in reversed(range(ATTEMPTS)):
            if has_taken(file):
                break
            if not left:
                raise locked(paths.study, _holder(file))
            time.sleep(PAUSE_S)
        file.truncate(0)
        file.write(json.dumps(asdict(this_process())))
        file.flush()
        yield


def is_driven(paths: StudyPaths, url: str | None = None) -> bool:
    """Return whether a driver runs the study now, on any host where its records are in PostgreSQL.

    Raises:
        DatabaseError: If PostgreSQL cannot be used.
    """
    if url is not None and is_postgres(url):
        return is_locked(url, paths.study)
    return is_locked_file(paths.lock)


def has_taken(file: IO[Any]) -> bool:
    """Take the kernel lock of an open file, and return whether no other process holds it.

    Raises:
        StudyError: If the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise StudyError(
            f"The file system of {Path(file.name).parent} has no locks ({error.strerror}), "
            "without which two processes could write to one study. Give a root on another one, as "
            "tracking.root=FOLDER or archfront serve --root FOLDER; a Lustre has locks where it "
            "is mounted with -o flock."
        ) from error
    return True


def is_locked_file(path: Path) -> bool:
    """Return whether a process holds the kernel lock of a file."""
    with contextlib.suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in HELD  # without locks nothing can hold one
    return False


def _holder(file: IO[str]) -> DriverHolder | None:
    """Return who holds a file; None while it is being written."""
    file.seek(0)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        holder = json.loads(file.read())
        return DriverHolder(holder["host"], holder["pid"], holder["since"])
    return None
