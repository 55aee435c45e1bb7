"""Who may compute when: the living workers, and the pause of all but one."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from archfront.search.engine.process import WorkerProcess


class FloorClosedError(Exception):
    """The floor was closed while somebody waited for a turn on it."""


class WorkerPool:
    """All workers of an engine; starts, pauses and ends them.

    Args:
        perform: The pickled function that does a job.
        start_timeout_s: Seconds of running in which a worker must have finished its imports.
    """

    def __init__(self, perform: bytes, *, start_timeout_s: float) -> None:
        self._perform = perform
        self._start_timeout_s = start_timeout_s
        self._changed = threading.Condition()  # guards what follows
        self._workers: set[WorkerProcess] = set()
        self._is_held = False
        self._is_closed = False
        self._guard = Reaper()

    @property
    def is_closed(self) -> bool:
        """Whether every worker is ended for good."""
        with self._changed:
            return self._is_closed

    def start(self, *, threads: int, imports: tuple[str, ...]) -> WorkerProcess:
        """Start a worker without waiting for its imports, once nothing runs alone.

        Args:
            threads: Threads of the worker.
            imports: Modules that it imports beside what ``perform`` needs.

        Raises:
            FloorClosedError: If the floor is closed.
            OSError: If the system has no room for another process.
        """
        with self._changed:
            self._wait_for_turn()
            worker = WorkerProcess(threads=threads, start_timeout_s=self._start_timeout_s)
            self._workers.add(worker)
            self._guard.watch(worker.group)
        worker.set_up(self._perform, imports)
        return worker

    def begin(self, worker: WorkerProcess, *, limit_s: float | None) -> None:
        """Start the watch of a worker for its next job, once nothing runs alone.

        Raises:
            FloorClosedError: If the floor is closed.
        """
        with self._changed:
            self._wait_for_turn()
            worker.begin(limit_s)

    @contextlib.contextmanager
    def alone(self, worker: WorkerProcess) -> Iterator[None]:
        """Pause all workers but one for the length of the block.

        Raises:
            FloorClosedError: If the floor is closed.
        """
        with self._changed:
            self._wait_for_turn()
            self._is_held = True
            paused = self._workers - {worker}
            for other in paused:
                other.pause()
        try:
            yield
        finally:
            with self._changed:
                for other in paused:
                    other.resume()
                self._is_held = False
                self._changed.notify_all()

    def retire(self, worker: WorkerProcess, *, grace_s: float) -> int | None:
        """End a worker for good; arguments and value are those of ``WorkerProcess.end``."""
        exit_code = worker.end(grace_s=grace_s)
        with self._changed:
            self._workers.discard(worker)
            self._guard.release(worker.group)
        return exit_code

    def kill_overdue(self) -> None:
        """Kill the workers that ran past their limit; their lanes will see them end."""
        with self._changed:
            for worker in self._workers:
                worker.kill_if_overdue()

    def kill_all(self) -> None:
        """Kill every worker and let none start again; repeatable."""
        with self._changed:
            self._is_closed = True
            for worker in self._workers:
                worker.kill()
            self._changed.notify_all()

    def close(self) -> None:
        """Let the guard go, once every worker is retired."""
        with self._changed:
            self._guard.close()

    def _wait_for_turn(self) -> None:
        self._changed.wait_for(lambda: self._is_closed or not self._is_held)
        if self._is_closed:
            raise FloorClosedError


class Reaper:
    """The process of ``reaper.py``, which kills what it watches when this process is gone."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """Kill a process group when this process ends."""
        self._tell(f"+{group}\n")

    def release(self, group: int) -> None:
        """Let a process group be."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the guard, which watches nothing any more; repeatable."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        if self._process.stdin.closed:  # by a listener which closed the engine from a lane
            return
        # Without its guard (killed by somebody) the engine works on; only a killed driver then
        # leaves its workers to find that out by themselves.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
