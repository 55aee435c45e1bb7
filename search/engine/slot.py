"""A slot of an engine: a thread and its worker, which take tasks from a queue in turn."""

from __future__ import annotations

import dataclasses
import logging
import pickle
from collections.abc import Mapping
from contextlib import ExitStack
from queue import SimpleQueue

from archfront.search.engine.failures import (
    death,
    ending,
    last_lines,
    not_served,
    undeliverable,
)
from archfront.search.engine.jobs import CLOSED, Broken, Job, OnEvent, Result, notify
from archfront.search.engine.pool import PoolClosedError, WorkerPool
from archfront.search.engine.process import WorkerProcess
from archfront.search.engine.tasks import Task
from archfront.search.engine.worker import EVENT, EXCLUSIVE, LOG, READY, RESULT, SHARED
from archfront.trainers.words import count_of

logger = logging.getLogger(__name__)

# After these a worker's memory or its GPU may be in any state, so a fresh one takes its place.
# After a failure that archfront recognized the worker is kept, with all that it has imported.
_SPENT_AFTER = ("crash", "out of memory", "machine")
_GRACE_S = 2.0  # a dying process closes its pipe shortly before it can be reaped


class WorkerSlot:
    """A slot, which serves the tasks of a queue with one worker at a time.

    Args:
        pool: Starts and ends the workers.
        tasks: What to do; None ends the slot.
        threads: Threads of the worker.
        is_lazy: Whether the worker starts with the first task, unless it has something to import.
        imports: Modules that the worker imports before it has a task.
        variables: Additional environment of the worker.
    """

    def __init__(
        self,
        pool: WorkerPool,
        tasks: SimpleQueue[Task | None],
        *,
        threads: int,
        is_lazy: bool,
        imports: tuple[str, ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._pool = pool
        self._tasks = tasks
        self._threads = threads
        self._is_lazy = is_lazy
        self._imports, self._variables = imports, variables
        self._worker: WorkerProcess | None = None

    def serve(self) -> None:
        """Do tasks until there are no more; the body of the slot's thread."""
        if self._imports or not self._is_lazy:
            self._start_early()
        while (task := self._tasks.get()) is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            task.finish(self._result(task))
            if self._worker is None:
                self._start_early()
        if self._worker is not None:
            self._retire(self._worker)

    def _start_early(self) -> None:
        # Imports take seconds: a worker does them before it has a job. A worker that could not
        # start is tried once more for the next task, which then says why.
        try:
            self._ready_worker()
        except EOFError:
            logger.debug("A worker did not start: %s", self._obituary(None).message)
        except (PoolClosedError, OSError) as error:
            logger.debug("No worker was started.", exc_info=error)

    def _result(self, task: Task) -> Result:
        try:
            worker = self._ready_worker()
            result = self._run(worker, task)
        except PoolClosedError:
            return CLOSED
        except EOFError:
            return self._obituary(task.job)
        except Exception as error:  # the system has no process left, or a mistake of the engine
            logger.exception("The engine could not run a %s job.", task.job.kind)
            if self._worker is not None:
                self._retire(self._worker)
            return not_served(f"The engine could not run the {task.job.kind} job", error)
        is_killed = worker.watch.lift_limit()
        result = dataclasses.replace(result, seconds=worker.watch.seconds)
        if is_killed or (isinstance(result, Broken) and result.kind in _SPENT_AFTER):
            self._retire(worker)
        return result

    def _ready_worker(self) -> WorkerProcess:
        """Return the slot's worker, started and with its imports done.

        Raises:
            EOFError: If it ended at its start.
        """
        if self._worker is not None and not self._worker.is_alive:
            exit_code = self._retire(self._worker)
            how = ending(exit_code) if exit_code is not None else "ended"
            logger.warning("A worker without a job %s; another takes its place.", how)
        if self._worker is None:
            self._worker = self._pool.start(
                threads=self._threads, imports=self._imports, variables=self._variables
            )
            self._listen(self._worker, READY, None)
            if self._worker.watch.lift_limit():
                raise EOFError
            self._worker.is_ready = True
        return self._worker

    def _run(self, worker: WorkerProcess, task: Task) -> Result:
        self._pool.begin(worker, limit_s=task.job.timeout_s)
        worker.send(task.message)
        body = self._listen(worker, RESULT, task.on_event)
        try:
            result: Result = pickle.loads(body)
        except Exception as error:
            return undeliverable(f"The {task.job.kind} job's result cannot be read back", error)
        return result

    def _listen(self, worker: WorkerProcess, wanted: bytes, on_event: OnEvent | None) -> bytes:
        with ExitStack() as pause:  # of the others; over when the worker ends
            while True:
                tag, body = worker.receive()
                if tag == wanted:
                    return body
                if tag == EXCLUSIVE:
                    pause.enter_context(self._pool.exclusive(worker))
                    worker.send(EXCLUSIVE)
                elif tag == SHARED:
                    pause.close()
                elif tag == LOG:
                    name, level, text = pickle.loads(body)
                    logging.getLogger(name).log(level, "%s", text)
                elif tag == EVENT and on_event is not None:
                    _deliver(body, on_event)

    def _obituary(self, job: Job | None) -> Broken:
        """Retire a worker that ended at its start or within a job; return the failure."""
        worker = self._worker
        assert worker is not None
        seconds = worker.watch.seconds
        is_expired = worker.watch.lift_limit()
        exit_code = self._retire(worker, grace_s=_GRACE_S)
        if self._pool.is_closed:
            return dataclasses.replace(CLOSED, seconds=seconds)
        output = worker.last_output
        logger.debug("A worker ended with %s; it had printed:\n%s", exit_code, output)
        if is_expired and worker.is_ready and job is not None:
            return Broken("timeout", _timeout_message(job), seconds)
        if is_expired and not worker.is_ready:
            late = "The worker did not finish its imports in time."
            return Broken("machine", late + last_lines(output), seconds)
        failure = death(exit_code, output, is_at_start=not worker.is_ready)
        return dataclasses.replace(failure, seconds=seconds)

    def _retire(self, worker: WorkerProcess, *, grace_s: float = 0.0) -> int | None:
        self._worker = None
        return self._pool.retire(worker, grace_s=grace_s)


def _deliver(body: bytes, on_event: OnEvent) -> None:
    try:
        event = pickle.loads(body)
    except Exception:
        logger.exception("A job's event cannot be read back.")
    else:
        notify(on_event, event)


def _timeout_message(job: Job) -> str:
    limit_s = job.timeout_s or 0.0
    limit = count_of(limit_s / 60, "minute") if limit_s >= 60 else f"{limit_s:g} s"
    return f"The job was ended after {limit} of running, {job.timeout_text}"
