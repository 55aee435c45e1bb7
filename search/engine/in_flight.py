"""The jobs in flight at another place, which tells what becomes of them by numbers."""

from __future__ import annotations

import dataclasses
import logging
import pickle
import threading
from collections.abc import Callable
from itertools import count

from archfront.search.engine.failures import not_served, undeliverable
from archfront.search.engine.jobs import Broken, Result, notify
from archfront.search.engine.node_agent import Item
from archfront.search.engine.tasks import Task

logger = logging.getLogger(__name__)


class JobsInFlight:
    """The jobs that a node has taken, each with its number there.

    Attributes:
        node: Name of the node for people.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self._lock = threading.Lock()
        self._tasks: dict[int, Task] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        """Return how many there are."""
        with self._lock:
            return len(self._tasks)

    def n_of(self, *, is_exclusive: bool) -> int:
        """Return how many there are of one kind."""
        with self._lock:
            return sum(task.job.is_exclusive == is_exclusive for task in self._tasks.values())

    def __contains__(self, number: int) -> bool:
        """Return whether a job is in flight."""
        with self._lock:
            return number in self._tasks

    def add(self, task: Task) -> int:
        """Add a job, whose future runs already; return its number."""
        number = next(self._numbers)
        with self._lock:
            self._tasks[number] = task
        return number

    def remove(self, number: int) -> None:
        """Let go of a job that never went there."""
        with self._lock:
            self._tasks.pop(number, None)

    def take(
        self, item: Item, fetch: Callable[[Item, Result], None] | None = None
    ) -> Result | None:
        """Pass on what the node says; return the result of a job that has ended.

        Args:
            item: What it says.
            fetch: Takes a result with files that are still to be fetched; it ends the job.
        """
        if item.tag == "log":
            name, level, text = item.content
            where = f"node {self.node}: " if level >= logging.WARNING else ""
            logging.getLogger(name).log(level, "%s%s", where, text)
            return None
        with self._lock:
            task = self._tasks.get(item.job)
        if task is None:
            return None
        try:
            content = pickle.loads(item.content)
        except Exception as error:
            if item.tag == "event":
                logger.exception("A job's event cannot be read back.")
                return None
            what = f"The {task.job.kind} job's result cannot be read back"
            return self.end(item.job, undeliverable(what, error))
        if item.tag == "event":
            if task.on_event is not None:
                notify(task.on_event, content)
        elif item.files and fetch is not None:
            fetch(item, content)
        else:
            return self.end(item.job, content)
        return None

    def end(
        self, number: int, result: Result, put: Callable[[], None] = lambda: None
    ) -> Result | None:
        """Give a job its result, and return it; None if the job was given one before.

        Args:
            number: Of the job.
            result: Its result.
            put: Puts its files in their places: never those of a job that is tried again already.
        """
        with self._lock:
            task = self._tasks.pop(number, None)
        if task is None:
            return None
        try:
            put()
        except OSError as error:
            result = not_served("What the job wrote cannot be put in its place", error)
        result = dataclasses.replace(result, node=self.node)
        task.finish(result)
        return result

    def drop(self, result: Broken) -> int:
        """Give all jobs one result; return how many there were."""
        with self._lock:
            tasks = list(self._tasks.values())
            self._tasks.clear()
        for task in tasks:
            task.finish(result)
        return len(tasks)
