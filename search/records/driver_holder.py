"""Who runs a study, as others are told."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass

from archfront.search.errors import StudyLockedError


@dataclass(frozen=True)
class DriverHolder:
    """The process that holds the lock of a study.

    Attributes:
        host: The machine.
        pid: The process there.
        since: Seconds since the epoch.
    """

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        """Return it in words."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since}"


def this_process() -> DriverHolder:
    """Return this process, which begins to hold a lock."""
    return DriverHolder(socket.gethostname(), os.getpid(), time.time())


def locked(study: str, holder: DriverHolder | None) -> StudyLockedError:
    """Return the error for a study that another process runs."""
    return StudyLockedError(
        f"The study {study!r} is already run by {holder or 'another process'}. Wait for it, end "
        "it, or start another study with study=NAME."
    )
