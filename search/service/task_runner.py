"""The runner of tasks: a thread that starts their processes, a few at once.

A task is lost with no server: it is in its row until its end was seen. One whose server ended is
started again. That does no harm, since commands go on where they were, or appear whole.

Of one study or dataset one task runs at a time, of all servers. Its process inherits a file whose
kernel lock it holds by being alive. So this is true where a lease is wrong, too: where the server
was killed before it noted the process, or was held up for longer than its lease.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from archfront.search.errors import ArchfrontError, StudyError
from archfront.search.records.driver_lock import has_taken
from archfront.search.service.ending_words import complaint
from archfront.search.service.export_files import export_folder
from archfront.search.service.leases import new_owner
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.task_rows import (
    LEASE_S,
    NO_PROCESS,
    OF_DATASETS,
    Kind,
    TaskRow,
    TaskRows,
    TaskState,
)
from archfront.search.service.verb_process import command, end_tree, environment

logger = logging.getLogger(__name__)

# Seconds between looks at the tasks.
LOOK_S = 0.5
# Starts of a task of which no end was seen, after which it has failed.
MAX_ATTEMPTS = 3
# Seconds between two removals of tasks that ended long ago.
PRUNE_S = 3600.0
# Bytes and lines of what a task printed that are shown.
TAIL_BYTES, TAIL_LINES = 20_000, 40

Command = Callable[[Sequence[str]], list[str]]


class TaskRunner:
    """Runs the tasks of this server.

    Args:
        settings: Those of the server.
        database: The service's own tables.
        command: Makes a command of the words after ``archfront``.
    """

    def __init__(
        self, settings: ServiceSettings, database: ServiceDatabase, *, command: Command = command
    ) -> None:
        self._settings, self._database, self._command = settings, database, command
        self.rows = TaskRows(database)
        self._owner = new_owner()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._pruned, self._told = float("-inf"), ""
        self._wake, self._is_closed = threading.Event(), False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Run tasks from now on, in a thread."""
        self._thread = threading.Thread(target=self._run, name="tasks", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the processes of this server; the next one starts their tasks again; repeatable."""
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for id, process in self._running.items():
            end_tree(process.pid)
            process.wait()
            # Without its database the lease of the task ends by itself.
            with suppress(ArchfrontError):
                row = self.rows.get(id)
                values = {"attempts": row.attempts - 1, **NO_PROCESS}
                self.rows.change(id, self._owner, state="waiting", **values)
        self._running.clear()

    def wake(self) -> None:
        """Look at the tasks at once."""
        self._wake.set()

    def add(
        self, kind: Kind, subject: str, words: Sequence[str], *, by: str = "", id: str = ""
    ) -> TaskRow:
        """Add a task, which is looked at once; arguments and errors are those of the rows."""
        row = self.rows.add(kind, subject, words, by=by, id=id)
        self.wake()
        return row

    def cancel(self, id: str) -> None:
        """Cancel a task; its process is ended at once."""
        self.rows.cancel(id, self._database.now())
        self.wake()

    def forget(self, subject: str, *, is_dataset: bool) -> None:
        """Remove the tasks of a study or dataset that is deleted; what is open is cancelled.

        Another one of its name would show them as its own.
        """
        for row in self.rows.listed(subject=subject):
            if (row.kind in OF_DATASETS) != is_dataset:
                continue
            if row.is_open:  # its row stays until the server that runs it has seen this
                self.cancel(row.id)
            else:
                self._remove(row)

    def folder(self, id: str) -> Path:
        """Return the folder of what a task printed."""
        return self._settings.folder / "tasks" / id

    def printed(self, id: str) -> str:
        """Return the last part of what a task printed as its result; empty without any."""
        return _tail(self.folder(id) / "printed")

    def said(self, id: str) -> list[str]:
        """Return the last lines that a task said beside its result."""
        text = _tail(self.folder(id) / "said") or self.printed(id)
        return [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]

    def look(self) -> None:
        """See which tasks have ended, and start those whose turn has come."""
        now = self._database.now()
        for id, process in list(self._running.items()):
            self._follow(id, process, now)
        for row in self.rows.lost(now):
            if row.id not in self._running:
                self._take_back(row)
        free = self._settings.max_commands - len(self._running)
        for row in reversed(self.rows.listed(states=["waiting"])):
            if free <= 0:
                break
            free -= self._begin(row, now)
        if now - self._pruned >= PRUNE_S:
            self._pruned = now
            self._prune(now)

    def _prune(self, now: float) -> None:
        """Let tasks go that ended long ago, with what they printed; an export has its files."""
        for row in self.rows.past(now):
            files = export_folder(self._settings, row.subject, row.id)
            if row.kind != "export" or not files.is_dir():
                self._remove(row)

    def _remove(self, row: TaskRow) -> None:
        """Remove a task that has ended, with what it printed."""
        shutil.rmtree(self.folder(row.id), ignore_errors=True)
        self.rows.remove(row.id)

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.clear()
            try:
                self.look()
            # A database that is away for a while comes back; nothing here is lost with it.
            except (ArchfrontError, OSError) as error:
                self._warn(f"The tasks are looked at again every {LOOK_S:g} s: {error}")
            except Exception:
                logger.exception("The tasks are looked at again in %g s", LOOK_S)
            else:
                self._told = ""
            self._wake.wait(LOOK_S)

    def _warn(self, text: str) -> None:
        """Log what is wrong, once while it is."""
        if self._told != text:
            logger.warning("%s", text)
        self._told = text

    def _begin(self, row: TaskRow, now: float) -> bool:
        """Start a task unless one of its subject runs on any server; return whether it runs."""
        file = self._lock_of(row.about)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as lock:
            try:
                if not has_taken(lock) or not self.rows.claim(row, self._owner, now):
                    return False
                self._start(row, lock.fileno())
            # A file system without locks; no memory; a null byte in a word.
            except (StudyError, OSError, ValueError) as error:
                self.rows.claim(row, self._owner, now)  # without locks it is not taken yet
                reason = f"It cannot be started: {str(error).removesuffix('.')}."
                self.rows.change(row.id, self._owner, state="failed", message=reason, ended=now)
                return False
        return True

    def _lock_of(self, about: str) -> Path:
        """Return the file that the process of a task of a study or dataset holds the lock of."""
        name = hashlib.sha256(about.encode()).hexdigest()[:16]
        return self._settings.folder / "task-locks" / name

    def _start(self, row: TaskRow, lock: int) -> None:
        """Start the process of a task, which holds a lock by an open file."""
        folder = self.folder(row.id)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "printed").open("wb") as printed, (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                self._command(row.command),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
                cwd=self._settings.root,
                env=environment(self._settings),
                pass_fds=(lock,),
                start_new_session=True,
            )
        self._running[row.id] = process
        started = None
        with suppress(psutil.Error):
            started = psutil.Process(process.pid).create_time()
        self.rows.change(row.id, self._owner, pid=process.pid, process_started=started)

    def _follow(self, id: str, process: subprocess.Popen[bytes], now: float) -> None:
        """Renew the lease of a task that runs, or note its end."""
        status = process.poll()
        if status is None:
            if not self.rows.change(id, self._owner, lease_until=now + LEASE_S):
                end_tree(process.pid)  # it was cancelled, or another server has it
                process.wait()
                del self._running[id]
            return
        if id in self.rows:  # else it was cancelled, and its study is deleted
            state, message = self._ending(id, status)
            self.rows.change(id, self._owner, state=state, message=message, ended=now)
        del self._running[id]  # not before: with its end unknown it would run once more
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # children that it left

    def _ending(self, id: str, status: int) -> tuple[TaskState, str]:
        """Return the state and the last words of a task whose process has ended."""
        printed = [line for line in self.printed(id).splitlines() if line.strip()]
        if status == 0:
            return "finished", "" if self.rows.get(id).kind == "profile" else (printed or [""])[-1]
        said = self.said(id)
        own = complaint(said)
        if own is not None:
            return "failed", own
        last = said[-1] if said else "it said nothing"
        return "failed", f"archfront {self.rows.get(id).kind} ended with status {status}: {last}"

    def _take_back(self, row: TaskRow) -> None:
        """End what is left of a task whose server is gone, and let it start again."""
        if row.owner is not None and row.owner.partition("/")[0] == os.uname().nodename:
            _end_process(row)
        if row.attempts < MAX_ATTEMPTS:
            self.rows.take_back(row, "waiting")
            return
        message = f"The server ended {row.attempts} times while it ran."
        self.rows.take_back(row, "failed", message)


def _end_process(row: TaskRow) -> None:
    """Kill the process of a task, if it is still the same one."""
    if row.pid is None or row.process_started is None:
        return
    with suppress(psutil.Error):
        if abs(psutil.Process(row.pid).create_time() - row.process_started) < 1:
            end_tree(row.pid)


def _tail(file: Path) -> str:
    """Return the end of a file as text; empty where there is none."""
    with suppress(OSError), file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, size - TAIL_BYTES))
        return opened.read().decode(errors="replace")
    return ""
