"""The driver's side of one node: its agent, the jobs in flight there, and what it says."""

from __future__ import annotations

import dataclasses
import logging
import pickle
import threading
import time
from collections.abc import Callable
from itertools import count
from types import ModuleType
from typing import Any

from archfront.search.engine.failures import undeliverable
from archfront.search.engine.jobs import CLOSED, Broken, Result, notify
from archfront.search.engine.placement import Fit
from archfront.search.engine.ray_agent import Item, NodeAgent, NodeFacts, Question, Start
from archfront.search.engine.ray_cluster import Node
from archfront.search.engine.slot import Task

logger = logging.getLogger(__name__)

_START_S = 120.0  # in which an agent answers: a process with our imports, on a busy machine
_POLL_S = 2.0  # how long an agent waits for something to say
_AGAIN_S = 0.5  # between tries at an agent that is not reached
_UNREACHED_S = 60.0  # after which a node that is not reached is given up
_MARGIN_S = 2.0  # an agent looks that often whether its time is over
_CLOSE_S = 5.0  # in which an agent ends its workers before it is killed
_CALLS = 8  # of an agent at a time: a poll waits in one


class LostError(Exception):
    """A node that cannot be used any more, with the reason in words."""


class NodeLink:
    """The link to a node.

    Args:
        ray: The library.
        node: The node.
        gpus: GPUs that the agent takes for its workers.

    Attributes:
        node: The node.
        facts: What it said of itself.
        fit: What it can do.
        answered: Time of its last answer, by the monotonic clock.
    """

    def __init__(self, ray: ModuleType, node: Node, *, gpus: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.node = node
        self.facts: NodeFacts
        self.fit = Fit(0, False, (), (), "")
        self.answered = time.monotonic()
        self._ray = ray
        self._lock = threading.Lock()  # guards the jobs
        self._jobs: dict[int, Task] = {}
        self._sending: dict[int, Any] = {}
        self._numbers = count(1)
        self._is_closed = False
        place = NodeAffinitySchedulingStrategy(node.id, soft=False)
        self._agent = (
            ray.remote(NodeAgent)
            .options(
                num_cpus=0,
                num_gpus=gpus,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=_CALLS,
                scheduling_strategy=place,
            )
            .remote()
        )

    def ask(self, question: Question) -> NodeFacts:
        """Return what the node says of itself.

        Raises:
            LostError: If its agent does not start.
        """
        self.facts = self._get(self._agent.facts.remote(pickle.dumps(question)), _START_S)
        return self.facts

    def start(self, start: Start) -> None:
        """Start the workers of the node.

        Raises:
            LostError: If they cannot be started.
        """
        self._get(self._agent.start.remote(pickle.dumps(start)), _START_S)

    def _get(self, reference: Any, timeout_s: float | None = None) -> Any:
        """Return what an agent answers.

        Raises:
            LostError: If it does not.
        """
        try:
            return self._ray.get(reference, timeout=timeout_s)
        except self._ray.exceptions.GetTimeoutError:
            raise LostError(f"it did not answer within {timeout_s:g} s") from None
        except self._ray.exceptions.RayError as error:
            raise LostError(reason_of(error)) from error

    @property
    def n_jobs(self) -> int:
        """Return the jobs in flight there."""
        with self._lock:
            return len(self._jobs)

    @property
    def n_training(self) -> int:
        """Return the trainings in flight there."""
        with self._lock:
            return sum(not task.job.is_exclusive for task in self._jobs.values())

    @property
    def is_measuring(self) -> bool:
        """Return whether an exclusive job is in flight there."""
        with self._lock:
            return any(task.job.is_exclusive for task in self._jobs.values())

    def take_on(self, task: Task) -> int:
        """Take on a job, whose future runs already; return its number, to send it by."""
        number = next(self._numbers)
        with self._lock:
            self._jobs[number] = task
        return number

    def send(self, number: int, task: Task) -> None:
        """Send a job that was taken on; that may fail, and ``listen`` sees to it."""
        reference = self._agent.submit.remote(number, task.message)
        with self._lock:
            self._sending[number] = reference

    def listen(self, on_free: Callable[[], None]) -> str:
        """Take what the node says until it is lost or closed; return why it was lost.

        Args:
            on_free: Called when a job has ended there.
        """
        place, unreached_since = 0, None
        unavailable = self._ray.exceptions.ActorUnavailableError
        while True:
            try:
                items = self._ray.get(self._agent.poll.remote(place, _POLL_S))
                self._send_again()
            except unavailable as error:
                now = time.monotonic()
                unreached_since = unreached_since or now
                if self._is_closed or now - unreached_since > _UNREACHED_S:
                    return f"it was not reached for {_UNREACHED_S:g} s ({reason_of(error)})"
                time.sleep(_AGAIN_S)
                continue
            except Exception as error:  # it died, or Ray was shut down by another
                return reason_of(error)
            unreached_since, self.answered = None, time.monotonic()
            for item in items:
                place = item.place
                self._take(item)
                if item.tag == "result":
                    on_free()

    def seconds_of_doubt(self, lease_s: float) -> float:
        """Return for how long a lost node may still compute, if it lives: until its lease ends."""
        return max(0.0, self.answered + lease_s + _MARGIN_S - time.monotonic())

    def drop(self, result: Broken) -> int:
        """Give all jobs in flight there one result; return how many they were."""
        with self._lock:
            jobs = list(self._jobs.values())
            self._jobs.clear()
        for task in jobs:
            task.finish(result)
        return len(jobs)

    def begin_close(self) -> Any:
        """Let the agent end its workers; return what ``end`` waits for."""
        self._is_closed = True
        return self._agent.close.remote()

    def end(self, closing: Any = None) -> None:
        """End the agent, which ends its workers; jobs in flight there are ``Broken``."""
        self.end_agent(closing)
        self.drop(CLOSED)

    def end_agent(self, closing: Any = None) -> None:
        """End the agent, which ends its workers."""
        self._is_closed = True
        try:
            if closing is not None:
                self._ray.wait([closing], timeout=_CLOSE_S)
            self._ray.kill(self._agent)
        except Exception as error:  # it is gone already, or the whole cluster
            logger.debug("The agent of %s was not ended: %s", self.node.name, error)

    def _send_again(self) -> None:
        """Send again what did not arrive: an agent takes each number once."""
        with self._lock:
            sending = dict(self._sending)
        if not sending:
            return
        done, _ = self._ray.wait(list(sending.values()), num_returns=len(sending), timeout=0)
        for number, reference in sending.items():
            if reference not in done:
                continue
            with self._lock:
                del self._sending[number]
                task = self._jobs.get(number)
            try:
                self._ray.get(reference)
            except self._ray.exceptions.ActorUnavailableError:
                if task is not None:
                    self.send(number, task)

    def _take(self, item: Item) -> None:
        if item.tag == "log":
            name, level, text = item.content
            where = f"node {self.node.name}: " if level >= logging.WARNING else ""
            logging.getLogger(name).log(level, "%s%s", where, text)
            return
        with self._lock:
            task = self._jobs.get(item.job)
            if item.tag == "result":
                self._jobs.pop(item.job, None)
        if task is None:
            return
        try:
            content = pickle.loads(item.content)
        except Exception as error:
            if item.tag == "event":
                logger.exception("A job's event cannot be read back.")
            else:
                what = f"The {task.job.kind} job's result cannot be read back"
                self._finish(task, undeliverable(what, error))
            return
        if item.tag == "result":
            self._finish(task, content)
        elif task.on_event is not None:
            notify(task.on_event, content)

    def _finish(self, task: Task, result: Result) -> None:
        task.finish(dataclasses.replace(result, node=self.node.name))


def reason_of(error: BaseException) -> str:
    """Return in words why an agent does not answer, from what Ray says."""
    said = str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if "memory pressure" in said or "running low on memory" in said:
        return (
            "Ray ended archfront's agent there since the node's memory ran out; give "
            "engine.memory_gb, or fewer engine.workers"
        )
    if "its worker process has died" in said:
        return (
            "archfront's process there ended: somebody or the system killed it, as for want of "
            "memory, or it crashed"
        )
    if "its node has died" in said:
        return "it ended, or Ray could not reach it any more"
    missing = next((line for line in lines if line.startswith("ModuleNotFoundError")), None)
    if missing is not None:
        return f"{missing.partition(': ')[2]}: install archfront there in the same version"
    if getattr(error, "actor_init_failed", False) and lines:
        return lines[-1].rstrip(".")
    ends = [line for line in lines if not line.startswith(("class_name", "actor_id", "pid", "ip"))]
    ends = [line for line in ends if not line.startswith(("namespace", "name:"))]
    return " ".join(ends[-2:]).rstrip(".") or type(error).__name__
