"""The workers of an engine: started, paused for an exclusive job, killed, ended."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from archfront.search.engine.process import WorkerProcess


class PoolClosedError(Exception):
    """The pool was closed while a worker was to be started, begun or given the machine."""


class WorkerPool:
    """All workers of an engine.

    Args:
        perform: The pickled function that does a job.
        start_timeout_s: Seconds of running in which a worker must have finished its imports.
        is_reaper_apart: Whether the reaper is no child of this process.
    """

    def __init__(
        self, perform: bytes, *, start_timeout_s: float, is_reaper_apart: bool = False
    ) -> None:
        self._perform = perform
        self._start_timeout_s = start_timeout_s
        self._changed = threading.Condition()  # guards what follows
        self._workers: set[WorkerProcess] = set()
        self._is_exclusive = False
        self._is_closed = False
        self._reaper = Reaper(is_apart=is_reaper_apart)

    @property
    def is_closed(self) -> bool:
        """Whether every worker is ended for good."""
        with self._changed:
            return self._is_closed

    def start(
        self,
        *,
        threads: int,
        imports: tuple[str, ...],
        variables: Mapping[str, str] | None = None,
    ) -> WorkerProcess:
        """Start a worker without waiting for its imports, once no job is exclusive.

        Args:
            threads: Threads of the worker.
            imports: Modules that it imports in addition to what ``perform`` needs.
            variables: Its additional environment.

        Raises:
            PoolClosedError: If the pool is closed.
            OSError: If the system has no room for another process.
        """
        with self._changed:
            self._wait_for_shared()
            worker = WorkerProcess(
                threads=threads, start_timeout_s=self._start_timeout_s, variables=variables
            )
            self._workers.add(worker)
            self._reaper.watch(worker.group)
        worker.set_up(self._perform, imports)
        return worker

    def begin(self, worker: WorkerProcess, *, limit_s: float | None) -> None:
        """Start the watch of a worker for its next job, once no job is exclusive.

        Raises:
            PoolClosedError: If the pool is closed.
        """
        with self._changed:
            self._wait_for_shared()
            worker.begin(limit_s)

    @contextlib.contextmanager
    def exclusive(self, worker: WorkerProcess) -> Iterator[None]:
        """Pause all workers except one for the length of the block.

        Raises:
            PoolClosedError: If the pool is closed.
        """
        with self._changed:
            self._wait_for_shared()
            self._is_exclusive = True
            paused = self._workers - {worker}
            for other in paused:
                other.pause()
        try:
            yield
        finally:
            with self._changed:
                for other in paused:
                    other.resume()
                self._is_exclusive = False
                self._changed.notify_all()

    def retire(self, worker: WorkerProcess, *, grace_s: float) -> int | None:
        """End a worker for good; arguments and value are those of ``WorkerProcess.end``."""
        exit_code = worker.end(grace_s=grace_s)
        with self._changed:
            self._workers.discard(worker)
            self._reaper.release(worker.group)
        return exit_code

    def kill_overdue(self) -> None:
        """Kill the workers that ran past their limit; their slots will see them end."""
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
        """End the reaper, once every worker is retired."""
        with self._changed:
            self._reaper.close()

    def _wait_for_shared(self) -> None:
        self._changed.wait_for(lambda: self._is_closed or not self._is_exclusive)
        if self._is_closed:
            raise PoolClosedError


class Reaper:
    """The process of ``reaper.py``, which kills the watched groups when this process is gone.

    Args:
        is_apart: Whether it is no child of this process.
    """

    def __init__(self, *, is_apart: bool = False) -> None:
        file = str(Path(__file__).with_name("reaper.py"))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", file, *(["apart"] if is_apart else [])],
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
        """Watch a process group no longer."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the reaper, which watches nothing any more; repeatable."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        if (
            self._process.stdin.closed
        ):  # by a listener which closed the engine from a slot's thread
            return
        # Without its reaper (killed by somebody) the engine works on; only a killed driver then
        # leaves its workers to find that out by themselves.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
