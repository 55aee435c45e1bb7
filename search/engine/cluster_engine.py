"""The engine of a cluster, which outlives the cluster.

Ray ends every program that is connected to a cluster when the head dies. That must not be the
driver, which writes records: another process holds the connection and the ``RayEngine``
(``cluster_process.py``), and takes the jobs through a pipe. When that process ends, the jobs that
had begun are ``Broken`` as lost and the others wait; then the cluster is tried again until it is
there.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import pickle
import threading
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import Any, ClassVar

from archfront.search.engine.cluster_process import (
    BEGUN,
    REFUSED,
    SLOTS,
    TOLD,
    ClusterSetup,
    Order,
)
from archfront.search.engine.failures import last_lines
from archfront.search.engine.jobs import (
    CLOSED,
    Broken,
    OnEvent,
    Perform,
    Result,
    notify,
)
from archfront.search.engine.placement import ClusterNeeds
from archfront.search.engine.process import WorkerProcess
from archfront.search.engine.ray_node import LEASE_END_S
from archfront.search.engine.tasks import Task, TaskEngine
from archfront.search.engine.worker import EVENT, LOG, READY, RESULT
from archfront.search.errors import ConfigError
from archfront.trainers.threads import cores
from archfront.trainers.words import count_of

logger = logging.getLogger(__name__)

_END_S = 20.0  # in which the process leaves the cluster before it is killed
# Between tries to join a cluster again, doubled each time.
_AGAIN_S, _LONGEST_AGAIN_S = 2.0, 30.0
# What Ray counts and reports of the calls of each process, for a dashboard: a part of what the
# connection takes of a processor. The log, "Processor time of a Ray cluster's driver".
_QUIET = {"RAY_event_stats": "0", "RAY_task_events_report_interval_ms": "0"}


class ClusterEngine(TaskEngine):
    """The engine of a Ray cluster's nodes, in a process of its own.

    Args:
        perform: Does a job; a function of a module that is installed on every node.
        workers: Trainings at a time on one node, at most.
        threads: Threads of one training; None for this machine's cores over ``workers``.
        imports: Modules that workers import before they have a job.
        exclusive_imports: The same of those for exclusive jobs.
        needs: What is asked of the cluster.
        emit: Takes events, of nodes to which files are sent, on a thread of the engine.

    Attributes:
        threads: The threads of one training.
        device: The device that measures, as the needs describe one.

    Raises:
        ConfigError: If the cluster cannot be joined, or none of its nodes can train or measure.
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
        needs: ClusterNeeds | None = None,
        emit: OnEvent = lambda _: None,
    ) -> None:
        if getattr(perform, "__module__", None) == "__main__":
            raise ValueError(f"{perform!r} must be in a module that a worker can import.")
        self.threads = threads or max(1, cores() // workers)
        self.device: object = None
        self._needs, self._emit = needs or ClusterNeeds(), emit
        self._setup = ClusterSetup(
            perform, workers, self.threads, imports, exclusive_imports, self._needs
        )
        self._lock = threading.Lock()  # guards what follows
        self._process: WorkerProcess | None = None
        self._is_connected = self._is_closed = False
        self._tasks: dict[int, Task] = {}
        self._begun: set[int] = set()
        self._n_slots = 1
        self._numbers, self._sending = count(1), threading.Lock()
        self._stopped = threading.Event()
        try:
            problems = self._connect(self._setup)
        except BaseException:  # Ctrl-C
            if self._process is not None:
                self._process.kill()
            raise
        if problems:
            raise ConfigError(*problems)
        self._thread = threading.Thread(target=self._serve, name="archfront-cluster", daemon=True)
        self._thread.start()

    @property
    def n_slots(self) -> int:
        """Return the trainings at a time on all nodes that are there now, at least one."""
        with self._lock:
            return self._n_slots

    @property
    def is_closed(self) -> bool:
        """Return whether no job is taken any more."""
        with self._lock:
            return self._is_closed

    def submit_task(self, task: Task) -> None:
        """Queue a job that is pickled already; a closed engine gives it ``CLOSED`` at once."""
        with self._lock:
            is_closed = self._is_closed
            number = next(self._numbers)
            process = self._process if self._is_connected else None
            if not is_closed:
                self._tasks[number] = task
        if is_closed:
            task.finish(CLOSED)
            return
        task.future.add_done_callback(partial(self._forget, number))
        if process is not None:
            self._send(process, _order(number, task))

    def close(self) -> None:
        """End every agent with its workers; unfinished jobs are ``Broken``. Repeatable."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed, process = True, self._process
            grace_s = _END_S if self._is_connected else 0.0  # it may wait for the cluster
            tasks = list(self._tasks.values())
        self._stopped.set()
        for task in tasks:
            task.finish(CLOSED)
        if process is not None:
            self._send(process, ("close",))
            process.end(grace_s=grace_s)
        if self._thread is not threading.current_thread():
            self._thread.join(_END_S)

    def _send(self, process: WorkerProcess, order: Order) -> None:
        with self._sending:
            process.send(pickle.dumps(order))

    def _forget(self, number: int, future: Future[Result]) -> None:
        """Let go of a job that has its result or was cancelled."""
        with self._lock:
            self._tasks.pop(number, None)
            self._begun.discard(number)
            process = self._process if self._is_connected and not self._is_closed else None
        if future.cancelled() and process is not None:
            self._send(process, ("cancel", number))

    def _connect(self, setup: ClusterSetup) -> tuple[str, ...]:
        """Start the process and wait until it has joined the cluster; return why it did not."""
        process = WorkerProcess(
            threads=1,
            start_timeout_s=math.inf,
            variables={name: os.environ.get(name, value) for name, value in _QUIET.items()},
            module="cluster_process",
        )
        with self._lock:
            if self._is_closed:
                process.end(grace_s=0.0)
                return (CLOSED.message,)
            self._process = process
        process.send(pickle.dumps(setup))
        tag, body = _message(process)
        while tag not in (READY, REFUSED, b""):
            self._take(tag, body)
            tag, body = _message(process)
        if tag == READY:
            self.device, n_slots = body
            with self._lock:
                self._is_connected, self._n_slots = True, n_slots
                waiting = list(self._tasks.items())
            for number, task in waiting:
                self._send(process, _order(number, task))
            return ()
        process.end(grace_s=_END_S if tag == REFUSED else 0.0)
        if tag == REFUSED:
            problems: tuple[str, ...] = body
            return problems
        return (f"engine.address: {self._lost()}{last_lines(process.last_output)}",)

    def _lost(self) -> str:
        return f"The connection to the cluster at {self._needs.address} ended."

    def _serve(self) -> None:
        """Take what the cluster's process says, and start another one where it ends."""
        is_open = True
        while is_open:
            process = self._process
            assert process is not None, "the first process is started with the engine"
            tag, body = _message(process)
            while tag:
                self._take(tag, body)
                tag, body = _message(process)
            with self._lock:
                is_open, self._is_connected = not self._is_closed, False
            process.end(grace_s=_END_S)
            if is_open:
                logger.debug("The cluster's process had printed:\n%s", process.last_output)
                self._lose()
                is_open = self._connect_again()

    def _lose(self) -> None:
        """Break the jobs that had begun; the others wait."""
        with self._lock:
            begun = [self._tasks[number] for number in self._begun if number in self._tasks]
            self._begun.clear()
        logger.warning(
            "%s The head died, or cannot be reached. It ran %s. The study waits and goes on when "
            "the cluster is there again: start its head as before, and the other nodes.",
            self._lost(),
            count_of(len(begun), "job"),
        )
        if begun and self._needs.shared is not None and self._needs.files != "sent":
            # Nodes that live go on for so long, and would write where the next try does.
            self._stopped.wait(LEASE_END_S)
        for task in begun:
            task.finish(Broken("killed", self._lost(), 0.0, is_lost=True))

    def _connect_again(self) -> bool:
        """Try until the cluster is there again; return whether the engine is still open."""
        # Latencies are of one device, whatever nodes there are then.
        needs = dataclasses.replace(self._needs, device=self.device, waits=True)
        setup = dataclasses.replace(self._setup, needs=needs)
        said, wait_s = "", _AGAIN_S
        while not self._stopped.wait(wait_s):
            problems = "\n".join(self._connect(setup))
            if not problems:
                logger.warning("The cluster at %s is there again.", self._needs.address)
                return True
            if problems != said and not self._stopped.is_set():
                logger.warning("The study waits: %s", problems)
            said, wait_s = problems, min(2 * wait_s, _LONGEST_AGAIN_S)
        return False

    def _take(self, tag: bytes, body: Any) -> None:
        """Take a message of the process; the body of a job is its number and what it is."""
        if tag == LOG:
            name, level, text = body
            logging.getLogger(name).log(level, "%s", text)
        elif tag == SLOTS:
            with self._lock:
                self._n_slots = body
        elif tag == BEGUN:
            self._begin(body)
        elif tag == TOLD:
            notify(self._emit, body)
        else:
            number, content = body
            with self._lock:
                task = self._tasks.get(number)
            if task is None:
                return
            if tag == RESULT:
                task.finish(content)
            elif tag == EVENT and task.on_event is not None:
                notify(task.on_event, content)

    def _begin(self, number: int) -> None:
        with self._lock:
            task = self._tasks.get(number)
            if task is None or self._is_closed:
                return
            self._begun.add(number)
            task.future.set_running_or_notify_cancel()


def _order(number: int, task: Task) -> Order:
    return "job", number, dataclasses.replace(task.job, payload=None), task.message


def _message(process: WorkerProcess) -> tuple[bytes, Any]:
    """Return the next message of the process; an empty tag if it ended."""
    try:
        tag, body = process.receive()
    except EOFError:
        return b"", None
    return tag, pickle.loads(body)
