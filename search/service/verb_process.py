"""Commands of archfront in processes of their own: what is long, or needs torch.

Nobody waits for the answer of a command whose server is gone, so it ends with the server, however
that ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from archfront.search.engine.pool import Reaper
from archfront.search.engine.threads import thread_variables
from archfront.search.errors import ArchfrontError, ConfigError, RequestError
from archfront.search.records.paths import ROOT_VARIABLE
from archfront.search.records.storage_urls import STORAGE_VARIABLE
from archfront.search.service.service_settings import ServiceSettings

# Seconds that a request waits for its turn, and how many may wait: each keeps a thread of the
# server.
TURN_S, MOST_WAITING = 30.0, 8
# The variable of the URL of the service's own tables, which children have no use for.
DATABASE_VARIABLE = "ARCHFRONT_DATABASE_URL"
# What Python itself needs of an environment, to find its modules and to read names of files.
OF_PYTHON = (
    *("HOME", "PATH", "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH"),
    *("LANG", "LC_ALL", "LC_CTYPE"),
)


class VerbProcesses:
    """Runs commands, a few at once.

    Args:
        settings: Those of the server.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._turns = threading.BoundedSemaphore(settings.max_commands)
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._reaper: Reaper | None = None
        self._is_closed = False

    def call(self, words: Sequence[str], *, limit_s: float, stdin: bytes = b"") -> str:
        """Run a command to its end and return what it printed.

        Args:
            words: Those after ``archfront``.
            limit_s: Seconds after which the command is ended with all its children.
            stdin: What the command reads.

        Raises:
            ConfigError: With the problems that the command found in its words.
            ArchfrontError: With the reason that the command gave.
            RequestError: If no turn came in time, or the command took too long.
        """
        if not self._has_turn():
            raise RequestError(
                503,
                "busy",
                f"{self._settings.max_commands} commands are running, as many as this server runs "
                "at once. Ask again later.",
            )
        try:
            return self._call(words, limit_s, stdin)
        finally:
            self._turns.release()

    def _has_turn(self) -> bool:
        """Wait for a turn and return whether it has come; not where too many wait already."""
        if self._turns.acquire(blocking=False):
            return True
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._turns.acquire(timeout=TURN_S)
        finally:
            self._waiting.release()

    def close(self) -> None:
        """End every running command and let none start; repeatable."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        for process in running:
            end_tree(process.pid)
        if self._reaper is not None:
            self._reaper.close()

    def _call(self, words: Sequence[str], limit_s: float, stdin: bytes) -> str:
        with self._lock:
            if self._is_closed:
                raise RequestError(503, "closing", "The server is ending. Ask again later.")
            process = subprocess.Popen(
                command(words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._settings.root,
                env=environment(self._settings),
                start_new_session=True,
            )
            self._running.add(process)
            self._reaper = self._reaper or Reaper()
            self._reaper.watch(process.pid)
        try:
            printed, complaint = process.communicate(stdin, timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise RequestError(
                504, "too_slow", f"archfront {words[0]} took over {limit_s:g} s and was ended."
            ) from None
        finally:
            if process.poll() is None:
                end_tree(process.pid)
                process.communicate()
            with self._lock:
                self._running.discard(process)
                self._reaper.release(process.pid)
        text = printed.decode(errors="replace")
        if process.returncode != 0:
            raise _complaint(words[0], process.returncode, complaint.decode(errors="replace"))
        return text


def command(words: Sequence[str]) -> list[str]:
    """Return what starts archfront with words; the working folder is no place for modules."""
    return [sys.executable, "-P", "-m", "archfront.search.cli", *words]


def environment(settings: ServiceSettings) -> Mapping[str, str]:
    """Return the environment of a child process, whose studies are those of the server."""
    kept = _of_server(lambda name: name != DATABASE_VARIABLE)
    kept[ROOT_VARIABLE] = str(settings.root)
    if settings.storage_url is not None:
        kept[STORAGE_VARIABLE] = settings.storage_url
    threads = settings.study_threads
    return kept | ({} if threads is None else thread_variables(threads))


def bare_environment() -> Mapping[str, str]:
    """Return the environment of a child process that reads what strangers sent.

    It has none of what the server knows: no URL of a database, no password, no key.
    """
    return _of_server(lambda name: name in OF_PYTHON)


def _of_server(is_kept: Callable[[str], bool]) -> dict[str, str]:
    """Return some variables of the server; its modules are found from another folder too."""
    kept = {name: value for name, value in os.environ.items() if is_kept(name)}
    paths = [str(Path(path).absolute()) for path in kept.get("PYTHONPATH", "").split(":") if path]
    if paths:
        kept["PYTHONPATH"] = ":".join(paths)
    return kept


def end_tree(pid: int, *, is_leader: bool = True) -> None:
    """Kill a process with all of its children, wherever they are.

    Args:
        pid: The process.
        is_leader: Whether it leads a process group, which is killed too.
    """
    tree: list[psutil.Process] = []
    with suppress(psutil.Error):
        top = psutil.Process(pid)
        tree = [top, *top.children(recursive=True)]
    if is_leader:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for process in tree:
        with suppress(psutil.Error):
            process.kill()


def _complaint(verb: str, status: int, text: str) -> ArchfrontError:
    """Return the error that a command ended with, as it worded it."""
    lines = text.strip().splitlines()
    start = next((n for n, line in enumerate(lines) if line.startswith("archfront: ")), None)
    if start is None:
        last = lines[-1] if lines else "it said nothing"
        return ArchfrontError(f"archfront {verb} ended with status {status}: {last}")
    said = [lines[start].removeprefix("archfront: "), *lines[start + 1 :]]
    if status != 2:
        return ArchfrontError("\n".join(said))
    numbered = [line.partition(". ")[2] for line in said[1:]]
    return ConfigError(*(numbered if all(numbered) and numbered else ["\n".join(said)]))
