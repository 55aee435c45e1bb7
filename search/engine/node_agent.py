"""The agent of one node: our own workers there, and what the driver asks them.

An agent holds a ``ProcessEngine``, so that crashes, hangs, timeouts and pauses mean on every node
what they mean on one machine. On a Ray cluster it is an actor without cores of Ray's own
(``ray_node.py``), in a job of a queue an object of its process (``submitit_pilot.py``). It is
talked to by two calls that may both be repeated after a fault of the network: ``submit`` takes a
job by its number once, and ``poll`` gives what happened since, again until it is acknowledged.

This module imports nothing of Ray: Ray makes an actor of the class.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from archfront.search.engine.failures import not_served
from archfront.search.engine.file_parts import Entry
from archfront.search.engine.gpu_shares import slots_of_gpus
from archfront.search.engine.jobs import Job, Perform, Result
from archfront.search.engine.node_facts import NodeFacts, facts_of
from archfront.search.engine.node_files import FilesSetup, NodeFiles
from archfront.search.engine.processes import ProcessEngine

Tag = Literal["event", "log", "result"]

# An event of a job waits so long for the next ones, so that a driver with many nodes is not woken
# for each: the log, "Processor time of a Ray cluster's driver". The first one goes at once.
_TOGETHER_S = 2.0


@dataclass(frozen=True)
class Item:
    """Something that happened at a node, for the driver.

    Attributes:
        place: Its place in the order of all that happened there, from 1.
        tag: ``event`` and ``result`` of a job, or ``log``.
        job: Number of the job; 0 for a line of the log.
        content: The pickled event or result; or name, level and text of the line.
        files: What the job wrote that the driver has to fetch.
    """

    place: int
    tag: Tag
    job: int
    content: Any
    files: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Start:
    """What an agent needs to start its workers.

    Attributes:
        perform: The first of the arguments of ``ProcessEngine``, as the following ones.
        gpus: GPUs of each worker that trains, of those that the agent was given; 1/n where n
            workers share one.
        lease_s: Seconds after the last answer that reached the driver, after which the node ends
            itself: by then its jobs may run elsewhere, and write where they write.
        files: What the node has to know of the driver's files; None where it sees them all.
    """

    perform: Perform
    workers: int
    threads: int
    imports: tuple[str, ...]
    exclusive_imports: tuple[str, ...]
    gpus: float = 0
    lease_s: float = math.inf
    files: FilesSetup | None = None


class NodeAgent:
    """The agent of a node, whose calls may overlap."""

    def __init__(self) -> None:
        with suppress(PermissionError):  # Ray gives it a lower priority, which workers inherit
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        self._engine: ProcessEngine | None = None
        self._files: NodeFiles | None = None
        self._changed = threading.Condition()  # guards what follows
        self._items: list[tuple[float, Item]] = []  # with the time when each is to be told
        self._n_items = 0
        self._jobs: set[int] = set()
        self._told: set[int] = set()  # the jobs of which there was an event
        self._answers: dict[int, float] = {}  # when each was given
        self._heard = math.inf  # until it is listened to for the first time

    def facts(self, question: bytes) -> NodeFacts:
        """Return what this node says of itself."""
        return facts_of(pickle.loads(question))

    def start(self, start: bytes) -> None:
        """Start the workers; what warnings they give goes to the driver."""
        root, ours = logging.getLogger(), logging.getLogger("archfront")
        root.addHandler(_ToDriver(lambda content: self._add("log", 0, content)))
        ours.setLevel(logging.DEBUG)  # the driver's own levels decide
        how: Start = pickle.loads(start)
        self._files = None if how.files is None else NodeFiles(how.files)
        self._engine = ProcessEngine(
            how.perform,
            workers=how.workers,
            threads=how.threads,
            imports=how.imports,
            exclusive_imports=how.exclusive_imports,
            slot_variables=slots_of_gpus(
                os.environ.get("CUDA_VISIBLE_DEVICES", ""), how.gpus, how.workers
            ),
            is_reaper_apart=True,  # Ray kills an agent's children, and leaves theirs
        )
        threading.Thread(target=self._watch, args=(how.lease_s,), daemon=True).start()

    def files(self, name: str, *arguments: Any) -> Any:
        """Return what a method of this node's ``NodeFiles`` returns."""
        return getattr(self._files, name)(*arguments)

    def submit(self, number: int, message: bytes, given: tuple[Entry, ...] = ()) -> None:
        """Take a pickled job by its number; one that was taken already is not done twice.

        Args:
            number: Of the job.
            message: The job.
            given: The files that were sent for it.
        """
        with self._changed:
            if number in self._jobs:
                return
            self._jobs.add(number)
        try:
            job: Job = pickle.loads(message)
            if self._files is not None:
                job = self._files.begin(number, job, given)
        except Exception as error:
            self._add_result(number, not_served("The job cannot begin at its node", error))
            return
        assert self._engine is not None, "an agent is started before it gets a job"
        future = self._engine.submit(job, partial(self._add_event, number))
        future.add_done_callback(lambda done: self._end(number, done))

    def poll(
        self, acknowledged: int, wait_s: float, answer: int = 0, arrived: int = 0
    ) -> list[Item]:
        """Return what happened after a place in the order, or nothing after some seconds.

        It comes back at once for a result, a line of the log and the first event of a job.

        Args:
            acknowledged: The place up to which all has arrived.
            wait_s: The seconds.
            answer: Number of this answer.
            arrived: Number of the last one that arrived. A question alone says nothing of that:
                it may come late, from a driver that has given this node up.
        """
        with self._changed:
            now = time.monotonic()
            self._heard = self._answers.get(arrived, min(self._heard, now))
            self._answers = {n: at for n, at in self._answers.items() if n > arrived}
            self._items = [one for one in self._items if one[1].place > acknowledged]
            end = now + wait_s
            while (left := min([end, *(due for due, _ in self._items)]) - time.monotonic()) > 0:
                self._changed.wait(left)
            self._answers[answer] = time.monotonic()
            return [item for _, item in self._items]

    def close(self) -> None:
        """End the workers with their children, and remove what jobs wrote."""
        if self._engine is not None:
            self._engine.close()
        if self._files is not None:
            self._files.close()

    def _watch(self, lease_s: float) -> None:
        """End this process when long nothing reached the driver; the body of a thread."""
        while time.monotonic() - self._heard < lease_s:
            time.sleep(min(1.0, lease_s / 4))
        os._exit(1)  # the reaper kills the workers

    def _add_event(self, number: int, event: Any) -> None:
        self._add("event", number, pickle.dumps(event))

    def _end(self, number: int, future: Future[Result]) -> None:
        result = future.result()
        files: tuple[Entry, ...] = ()
        try:
            if self._files is not None:
                result, files = self._files.end(number, result)
        except Exception as error:  # the files that it wrote cannot be read
            result = not_served("What the job wrote cannot be sent back", error)
        self._add_result(number, result, files)

    def _add_result(self, number: int, result: Result, files: tuple[Entry, ...] = ()) -> None:
        self._add("result", number, pickle.dumps(result), files)

    def _add(self, tag: Tag, job: int, content: Any, files: tuple[Entry, ...] = ()) -> None:
        with self._changed:
            may_wait = tag == "event" and job in self._told
            if tag == "event":
                self._told.add(job)
            self._n_items += 1
            due = time.monotonic() + (_TOGETHER_S if may_wait else 0.0)
            self._items.append((due, Item(self._n_items, tag, job, content, files)))
            self._changed.notify_all()


class _ToDriver(logging.Handler):
    """The handler that passes lines of the log on to the driver's logger of the same name."""

    def __init__(self, send: Callable[[tuple[str, int, str]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send((record.name, record.levelno, self.format(record)))
