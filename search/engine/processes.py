"""The engine of persistent worker processes: a crash or a hang costs one job, nothing else.

::

    processes.py   the engine: queues, threads, close
    tasks.py       a job with its future
    slot.py        one thread and its worker; what became of a job
    pool.py        the workers, which of them may compute, and the reaper
    process.py     the driver's side of one worker process, a process group of its own
    worker.py      the inside of it
    reaper.py      the process that kills the workers if the driver dies

Written on plain subprocesses and pipes. ``ProcessPoolExecutor`` breaks all its workers when one
crashes and cannot kill one that hangs; pebble and loky cannot pause workers; and
``multiprocessing``'s spawn imports the user's main script again. There is a thread per worker,
not one loop over all, because talking to a paused worker blocks.

Exclusive jobs run one at a time in one more worker with all cores. Within its ``exclusive()``
blocks (``worker.py``) the groups of all other workers are stopped (SIGSTOP); what it does before
and after, like building a network before it is timed, runs beside the others. Paused time counts
neither as a job's seconds nor towards its timeout. A paused job keeps its locks, so an exclusive
job must need none that others take within such a block. With one worker on one core that worker
does the exclusive jobs as well: there is no other to stop, and the imports of a second one would
take seconds of the only core.
POSIX only.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import ClassVar

from archfront.search.engine.jobs import CLOSED, Perform
from archfront.search.engine.pool import WorkerPool
from archfront.search.engine.slot import WorkerSlot
from archfront.search.engine.tasks import Task, TaskEngine
from archfront.trainers.threads import cores

_SUPERVISION_S = 0.1  # how late a timeout may be; too rare to disturb a measurement
_JOIN_S = 10.0  # a listener that waits for the closing thread must not block it for ever


class ProcessEngine(TaskEngine):
    """The engine of ``workers`` persistent processes, and of one more for exclusive jobs.

    With one worker on one core there is no such other process.

    Args:
        perform: Does a job; a function of an importable module.
        workers: Jobs at a time, in addition to an exclusive one.
        threads: Threads of one job; None for this machine's cores over ``workers``.
        imports: Modules that workers import before they have a job.
        exclusive_imports: The same of the one for exclusive jobs.
        start_timeout_s: A worker that has not finished its imports by then is given up.
        slot_variables: Additional environment of the workers, one mapping after another; none
            where it is empty.
        is_reaper_apart: Whether what kills the workers of a dead engine is no child of this
            process, for processes whose children somebody else kills.
    """

    isolates: ClassVar[bool] = True

    def __init__(
        self,
        perform: Perform,
        *,
        workers: int,
        threads: int | None = None,
        imports: tuple[str, ...] = (),
        exclusive_imports: tuple[str, ...] = (),
        start_timeout_s: float = 300.0,
        slot_variables: Sequence[Mapping[str, str]] = (),
        is_reaper_apart: bool = False,
    ) -> None:
        if getattr(perform, "__module__", None) == "__main__":
            raise ValueError(f"{perform!r} must be in a module that a worker can import.")
        if workers < 1:
            raise ValueError(f"{workers=} must be at least 1.")
        self.n_slots = workers
        self.threads = threads or max(1, cores() // workers)
        self._lock = threading.Lock()
        self._is_closed = False
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        has_one = workers == self.threads == cores() == 1
        self._exclusive_tasks = self._tasks if has_one else SimpleQueue()
        self._pool = WorkerPool(
            pickle.dumps(perform),
            start_timeout_s=start_timeout_s,
            is_reaper_apart=is_reaper_apart,
        )
        self._stopped = threading.Event()
        self._imports, self._exclusive_imports = imports, exclusive_imports
        self._variables = slot_variables or ({},)
        self._threads = self._start_threads()

    def submit_task(self, task: Task) -> None:
        """Queue a job that is pickled already; a closed engine gives it ``CLOSED`` at once."""
        tasks = self._exclusive_tasks if task.job.is_exclusive else self._tasks
        with self._lock:
            is_closed = self._is_closed
            if not is_closed:
                tasks.put(task)
        if is_closed:
            task.finish(CLOSED)

    def close(self) -> None:
        """Kill every worker with its children; unfinished jobs are ``Broken``. Repeatable."""
        with self._lock:
            dropped = [] if self._is_closed else self._close_queues()
            self._is_closed = True
        self._pool.kill_all()
        self._stopped.set()
        for task in dropped:
            task.finish(CLOSED)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_S)
        self._pool.close()

    def _start_threads(self) -> list[threading.Thread]:
        has_one = self._exclusive_tasks is self._tasks
        imports = (*self._exclusive_imports, *self._imports) if has_one else self._imports
        slots = [
            WorkerSlot(
                self._pool,
                self._tasks,
                threads=self.threads,
                is_lazy=False,
                imports=imports,
                variables=self._variables[number % len(self._variables)],
            )
            for number in range(self.n_slots)
        ]
        if not has_one:
            slots.append(
                WorkerSlot(
                    self._pool,
                    self._exclusive_tasks,
                    threads=cores(),
                    is_lazy=True,
                    imports=self._exclusive_imports,
                )
            )
        # Daemons, so that a driver which forgets to close its engine can end.
        threads = [
            threading.Thread(target=body, name="archfront-engine", daemon=True)
            for body in (*(slot.serve for slot in slots), self._supervise)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _supervise(self) -> None:
        while not self._stopped.wait(_SUPERVISION_S):
            self._pool.kill_overdue()

    def _close_queues(self) -> list[Task]:
        dropped = [*_drained(self._tasks), *_drained(self._exclusive_tasks)]
        for _ in range(self.n_slots):
            self._tasks.put(None)
        self._exclusive_tasks.put(None)
        return dropped


def _drained(tasks: SimpleQueue[Task | None]) -> Iterator[Task]:
    with suppress(Empty):
        while True:
            task = tasks.get_nowait()
            if task is not None:
                yield task
