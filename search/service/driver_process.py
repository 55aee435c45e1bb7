"""The driver of one study: ``archfront run`` in a process group of its own.

A driver outlives the server that started it. It inherits a file whose kernel lock it holds by
being alive, from before its first line of Python: so no server ever starts a second one, and a new
server finds those of an earlier one. A driver that a person started in a terminal holds the
study's own lock, and is found by that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from archfront.search.records.driver_holder import DriverHolder
from archfront.search.records.driver_lock import has_taken, is_driven, is_locked_file
from archfront.search.records.paths import StudyPaths
from archfront.search.service.service_settings import MB, ServiceSettings
from archfront.search.service.verb_process import command, end_tree, environment
from archfront.trainers.files import write_whole

# Bytes of a log above which the next start keeps it as the earlier one and begins another.
LOG_BYTES = 5_000_000
# Seconds until a process that is killed is gone, unless it waits for a disk.
GONE_S = 5.0
TAIL_LINES, TAIL_BYTES = 12, 8_000

Command = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Holder:
    """The process that drives a study.

    Attributes:
        pid: Its id on this machine.
        is_of_service: Whether a server started it, so that it leads a group of its own.
    """

    pid: int
    is_of_service: bool


class DriverProcess:
    """The driver of one study, whoever started it.

    Args:
        settings: Those of the server.
        name: Name of the study.
        command: Makes a command of the words after ``archfront``.
    """

    def __init__(
        self, settings: ServiceSettings, name: str, *, command: Command = command
    ) -> None:
        self._settings, self._command = settings, command
        self._paths = StudyPaths(settings.root, name)
        self._folder = settings.study_folder(name)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._asked_to_end: float | None = None

    @property
    def log(self) -> Path:
        """Return the file of what the driver prints."""
        return self._folder / "driver.log"

    @property
    def _lock(self) -> Path:
        return self._folder / "driver.lock"

    def is_alive(self) -> bool:
        """Return whether a driver of the study runs, of any server or of a person."""
        if self._process is not None and self._process.poll() is None:
            return True
        return is_locked_file(self._lock) or is_driven(self._paths) or self._is_driven_elsewhere()

    def is_elsewhere(self) -> bool:
        """Return whether another machine runs the driver, which cannot be ended here."""
        if self._process is not None and self._process.poll() is None:
            return False
        for file in (self._lock, self._paths.lock):
            if is_locked_file(file):
                return _host_in(file) not in ("", socket.gethostname())
        return self._is_driven_elsewhere()

    def start(self, content: dict[str, Any]) -> int | None:
        """Start a driver and return its process id; None where one lives already.

        Args:
            content: The composed configuration.

        Raises:
            OSError: If the process cannot be started.
            StudyError: If the file system of the root has no locks.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "config.yaml"
        with self._lock.open("a+", encoding="utf-8") as lock:
            if not has_taken(lock) or is_driven(self._paths) or self._is_driven_elsewhere():
                return None
            _write_private(config, yaml.safe_dump(content, sort_keys=False))
            self._turn_log()
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command(["run", "--config", str(config), "--plain"]),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._paths.root,
                    env=environment(self._settings),
                    pass_fds=(lock.fileno(),),
                    start_new_session=True,
                )
            self._asked_to_end = None
            lock.seek(0)
            lock.truncate()
            holder = DriverHolder(socket.gethostname(), self._process.pid, time.time())
            lock.write(json.dumps(asdict(holder)))
        return self._process.pid

    def collect(self) -> int | None:
        """Return the exit status of a driver that this server started and that has ended.

        It is given once. A negative one is the signal that killed the driver.
        """
        process, self._process = self._process, None
        return None if process is None else process.poll()

    def end(self, *, grace_s: float, now: float) -> None:
        """Ask the driver to end, and kill it with all its processes if it does not; repeatable.

        It records what is finished and ends by itself, as after Ctrl-C.

        Args:
            grace_s: Seconds in which it may end by itself.
            now: Seconds, of any clock that the calls have in common.
        """
        holder = self.holder()
        if holder is None:  # it ended, runs on another machine, or just begins
            return
        if self._asked_to_end is None:
            self._asked_to_end = now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(holder.pid, signal.SIGTERM)
        elif now - self._asked_to_end >= grace_s:
            self.end_now()

    def end_now(self) -> None:
        """Kill the driver with all its processes."""
        holder = self.holder()
        if holder is None:
            return
        end_tree(holder.pid, is_leader=holder.is_of_service)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GONE_S)

    def forget_ending(self) -> None:
        """Forget that the driver was asked to end: another one may run now."""
        self._asked_to_end = None

    def holder(self) -> Holder | None:
        """Return the process that drives the study on this machine; None where none is known."""
        if self._process is not None and self._process.poll() is None:
            return Holder(self._process.pid, is_of_service=True)
        if is_locked_file(self._lock):
            pid = _pid_in(self._lock)
            if pid is not None:
                return Holder(pid, is_of_service=True)
        if is_driven(self._paths):
            pid = _pid_in(self._paths.lock)
            if pid is not None:
                return Holder(pid, is_of_service=_leads_a_group(pid))
        return None

    def memory_mb(self) -> float:
        """Return the memory of the driver with all its processes, in 10^6 bytes; 0 without one.

        What processes share counts once.
        """
        holder, n_bytes = self.holder(), 0
        with contextlib.suppress(psutil.Error):
            top = None if holder is None else psutil.Process(holder.pid)
            for process in [] if top is None else [top, *top.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    n_bytes += process.memory_full_info().pss
        return n_bytes / MB

    def said(self) -> list[str]:
        """Return the last lines that the driver of this server printed."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
            return [line for line in lines if line.strip()][-TAIL_LINES:]
        return []

    def _is_driven_elsewhere(self) -> bool:
        """Return whether a driver of another machine runs a study in PostgreSQL."""
        url = self._settings.storage_url
        return url is not None and is_driven(self._paths, url)

    def _turn_log(self) -> None:
        """Begin a log anew where it has become large, and note where this run begins."""
        size = self.log.stat().st_size if self.log.is_file() else 0
        if size > LOG_BYTES:
            self.log.replace(self.log.with_name("driver.log.1"))
            size = 0
        self._log_start = size


def _pid_in(file: Path) -> int | None:
    """Return the process that a lock's file names, if it is on this machine and the same still."""
    try:
        holder = json.loads(file.read_text(encoding="utf-8"))
        pid, since = int(holder["pid"]), float(holder["since"])
        if holder["host"] != socket.gethostname():  # of another container its numbers are others
            return None
        # A later process may have the number of one that is gone.
        is_same = psutil.Process(pid).create_time() <= since + 1
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return pid if is_same else None


def _host_in(file: Path) -> str:
    """Return the machine that a lock's file names; empty for none."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _leads_a_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def _write_private(file: Path, text: str) -> None:
    """Write a file that only this user reads: it may have the password of a database."""
    file.touch(mode=0o600)
    write_whole(file, text)
    file.chmod(0o600)
