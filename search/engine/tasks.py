"""Jobs as engines keep them: pickled, each with its future, until a worker takes them."""

from __future__ import annotations

import dataclasses
import pickle
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Collection
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from archfront.search.engine.failures import undeliverable
from archfront.search.engine.jobs import (
    CLOSED,
    Broken,
    ClosedByBlock,
    Job,
    OnEvent,
    Result,
    finished,
)


@dataclasses.dataclass(frozen=True)
class Task:
    """A submitted job, pickled, with the receivers of its events and its result."""

    job: Job
    message: bytes
    on_event: OnEvent | None
    future: Future[Result]

    @classmethod
    def of(cls, job: Job, on_event: OnEvent | None) -> Task | Broken:
        """Return the task of a job, whose payload is pickled at once; why it is none."""
        try:
            return cls(job, pickle.dumps(job), on_event, Future())
        except Exception as error:
            return undeliverable(f"The {job.kind} job cannot be sent to a worker", error)

    def finish(self, result: Result) -> None:
        """Give the future its result, unless it was cancelled or has one."""
        with suppress(InvalidStateError):  # another thread, which closes the engine, was first
            if self.future.running() or self.future.set_running_or_notify_cancel():
                self.future.set_result(result)


class TaskEngine(ClosedByBlock):
    """What engines have in common that keep jobs until a worker is free."""

    def submit(self, job: Job, on_event: OnEvent | None = None) -> Future[Result]:
        """Queue a job; its future gives ``Done`` or ``Broken``, never an exception.

        The payload is pickled at once: what changes afterwards does not reach the worker. A
        waiting job's future can be cancelled. ``on_event`` is called on a thread of the engine.
        """
        task = Task.of(job, on_event)
        if isinstance(task, Broken):
            return finished(task)
        self.submit_task(task)
        return task.future

    @abstractmethod
    def submit_task(self, task: Task) -> None:
        """Queue a job that is pickled already; a closed engine gives it ``CLOSED`` at once."""


class WaitingTasks:
    """The jobs of an engine that no worker has taken, exclusive ones apart.

    Any thread may call it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[bool, deque[Task]] = {False: deque(), True: deque()}
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Return whether no job is taken in any more."""
        with self._lock:
            return self._is_closed

    def n_of(self, *, is_exclusive: bool) -> int:
        """Return how many wait of one kind."""
        with self._lock:
            return len(self._queues[is_exclusive])

    def add(self, task: Task, *, is_next: bool = False) -> None:
        """Add a job, which gets ``CLOSED`` once ``close`` was called.

        Args:
            task: The job.
            is_next: Whether it is the first to be taken, as one that was taken before.
        """
        with self._lock:
            is_closed, queue = self._is_closed, self._queues[task.job.is_exclusive]
            if not is_closed:
                queue.insert(0 if is_next else len(queue), task)
        if is_closed:
            task.finish(CLOSED)

    def take(self, *, is_exclusive: bool) -> Task | None:
        """Return the next job of a kind, whose future runs from now on; None if none waits."""
        with self._lock:
            queue = self._queues[is_exclusive]
            while queue:
                task = queue.popleft()
                if task.future.running() or task.future.set_running_or_notify_cancel():
                    return task
        return None

    def drop(self, result: Broken, *, kinds: Collection[bool] = (False, True)) -> None:
        """Give the jobs that wait one result.

        Args:
            result: The result.
            kinds: Which jobs: those that are exclusive, or are not.
        """
        with self._lock:
            dropped = [task for kind in kinds for task in self._queues[kind]]
            for kind in kinds:
                self._queues[kind].clear()
        for task in dropped:
            task.finish(result)

    def close(self) -> bool:
        """Take no job in any more, and drop those that wait; return whether that is new."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        self.drop(CLOSED)
        return not was_closed
