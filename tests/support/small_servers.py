"""Servers of one root in this process, whose drivers do as they are told."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from archfront.search.service.driver_process import DriverProcess
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_rows import StudyRow, StudyRows
from archfront.search.service.supervisor import Supervisor
from tests.support import small_driver
from tests.support.waiting import eventually


class Servers:
    """Servers of one root, whose drivers take their acts from a list.

    Attributes:
        settings: Those of every server.
        rows: What people want.
        clock: Seconds, for the grace of drivers.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.settings = ServiceSettings(root=root)
        self.settings.folder.mkdir()
        self.database = ServiceDatabase(self.settings.database)
        self.rows = StudyRows(self.database)
        self.clock = 0.0
        self._acts = root / "acts.json"
        self._servers: list[Supervisor] = []

    def add(self, name: str, *acts: str) -> None:
        """Add a study, and the acts of the next drivers."""
        self.act(*acts)
        self.rows.add(name, {"study": name})

    def act(self, *acts: str) -> None:
        self._acts.write_text(json.dumps(acts))

    def server(self, **changes: Any) -> Supervisor:
        """Return the supervisor of another server."""
        settings = ServiceSettings(root=self.settings.root, **changes)
        found = Supervisor(
            settings, self.database, command=self._command, clock=lambda: self.clock
        )
        self._servers.append(found)
        return found

    def close(self) -> None:
        """End every driver."""
        for driver in (d for server in self._servers for d in server._drivers.values()):
            kill(driver)
        self.database.close()

    def row(self, name: str) -> StudyRow:
        row = self.rows.get(name)
        assert row is not None
        return row

    def want(self, name: str, wanted: str, **values: Any) -> None:
        assert self.rows.change(self.row(name), wanted=wanted, **values)

    def until(self, server: Supervisor, name: str, is_so: Callable[[StudyRow], bool]) -> StudyRow:
        """Let a server look until a row is as it is to be, and return it."""

        def found() -> StudyRow | None:
            server.look()
            return row if is_so(row := self.row(name)) else None

        row = eventually(found, lambda: self.row(name))
        assert row is not None
        return row

    def is_state(self, server: Supervisor, name: str, state: str) -> StudyRow:
        return self.until(server, name, lambda row: row.state == state)

    def child(self, name: str) -> psutil.Process:
        """Return the child of a driver that waits, when there is one."""
        file = self.settings.root / "studies" / name / "child"
        text = eventually(lambda: file.read_text() if file.is_file() else "", lambda: "no child")
        return psutil.Process(int(text))

    def _command(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-S", str(small_driver.__file__), str(self._acts), *words]


def kill(driver: DriverProcess) -> None:
    """Kill a driver with all its processes, and wait until it is gone."""
    while driver.is_alive():
        driver.end_now()
        time.sleep(0.01)
    driver.collect()


def without_locks(*_: object) -> None:
    """Answer as ``flock`` does on a file system without locks."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def is_over(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two looks
        return True


def gone(process: psutil.Process) -> bool:
    return eventually(lambda: is_over(process))
