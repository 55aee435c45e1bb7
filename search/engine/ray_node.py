"""The driver's side of one node: its agent, the jobs in flight there, and what it says."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from archfront.search.engine.file_parts import Entry
from archfront.search.engine.file_transfer import bring, first_of_each, inputs_of, send
from archfront.search.engine.in_flight import JobsInFlight
from archfront.search.engine.jobs import CLOSED, Job, Result
from archfront.search.engine.node_agent import Item, NodeAgent, Start
from archfront.search.engine.node_facts import NodeFacts, Question
from archfront.search.engine.placement import Fit
from archfront.search.engine.ray_cluster import Node
from archfront.search.engine.ray_reasons import LostError, lost_on_the_way, reason_of, unreached
from archfront.search.engine.tasks import Task

logger = logging.getLogger(__name__)

_START_S = 120.0  # in which an agent answers: a process with our imports, on a busy machine
_POLL_S = 5.0  # how long an agent waits for something to say
_AGAIN_S = 0.5  # between tries at an agent that is not reached
_UNREACHED_S = 60.0  # after which a node that is not reached is given up
# A node to which none of its answers comes for so long ends its workers by itself. Before that the
# driver repeats nothing that such a node ran, since both would write into one folder.
LEASE_S = 33.0
_MARGIN_S = 2.0  # in which an agent sees that its time is over, and its workers are killed
LEASE_END_S = LEASE_S + _MARGIN_S
_CLOSE_S = 5.0  # in which an agent ends its workers before it is killed
_CALLS = 16  # of an agent at a time: a poll waits in one, and files come and go in others
_TRANSFERS = 4  # jobs whose files are on their way to or from a node at a time


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
        flights: The jobs in flight there.
    """

    def __init__(self, ray: ModuleType, node: Node, *, gpus: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.node = node
        self.facts: NodeFacts
        self.fit = Fit(0, False, (), (), "")
        self.answered = time.monotonic()
        self._ray = ray
        self.flights = JobsInFlight(node.name)
        self._lock = threading.Lock()  # guards what is being sent
        self._sending: dict[int, tuple[Task, Any, tuple[Entry, ...]]] = {}
        self._is_closed = False
        self._root: Path | None = None
        self._threads = ThreadPoolExecutor(_TRANSFERS, "archfront-files")
        self._on_free: Callable[[], None] = lambda: None
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
        if start.files is not None and start.files.shared is not None:
            self._root = Path(start.files.shared)

    def files(self, name: str, *arguments: Any) -> Any:
        """Return what a method of the node's ``NodeFiles`` returns, asked again if need be.

        Raises:
            LostError: If the node does not answer.
            ArchfrontError: What the method raises.
        """
        until: float | None = None
        while True:
            try:
                return self._ray.get(self._agent.files.remote(name, *arguments))
            except self._ray.exceptions.ActorUnavailableError as error:
                until = until or time.monotonic() + _UNREACHED_S
                if self._is_closed or time.monotonic() > until:
                    raise LostError(unreached(error, _UNREACHED_S)) from error
                time.sleep(_AGAIN_S)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except self._ray.exceptions.RayError as error:
                raise LostError(reason_of(error)) from error

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

    def send(self, number: int, task: Task) -> None:
        """Send a job that is in flight; that may fail, and ``listen`` sees to it."""
        if self._root is None:
            self._submit(number, task, ())
        else:
            self._in_background(self._send_with_files, number, task, self._root)

    def _in_background(self, body: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the link was ended, which drops its jobs
            self._threads.submit(body, *arguments)

    def _send_with_files(self, number: int, task: Task, root: Path) -> None:
        """Send a job after the files that it reads, which the node does not see."""
        try:
            job: Job = pickle.loads(task.message)
            given = inputs_of(job.payload, root)
            send(self.files, number, first_of_each(given))
            self._submit(number, task, tuple(entry for _, entry in given))
        except Exception as error:
            self.flights.end(number, lost_on_the_way(error))
            self._on_free()
            self._release(number)

    def _submit(self, number: int, task: Task, given: tuple[Entry, ...]) -> None:
        reference = self._agent.submit.remote(number, task.message, given)
        with self._lock:
            self._sending[number] = task, reference, given

    def listen(self, on_free: Callable[[], None]) -> str:
        """Take what the node says until it is lost or closed; return why it was lost.

        Args:
            on_free: Called when a job has ended there.
        """
        self._on_free, self.answered = on_free, time.monotonic()
        place, asked, arrived, unreached_since = 0, 0, 0, None
        unavailable = self._ray.exceptions.ActorUnavailableError
        while True:
            try:
                asked += 1
                items = self._ray.get(self._agent.poll.remote(place, _POLL_S, asked, arrived))
                arrived = asked
                self._send_again()
            except unavailable as error:
                now = time.monotonic()
                unreached_since = unreached_since or now
                if self._is_closed or now - unreached_since > _UNREACHED_S:
                    return unreached(error, _UNREACHED_S)
                time.sleep(_AGAIN_S)
                continue
            except Exception as error:  # it died, or Ray was shut down by another
                return reason_of(error)
            unreached_since, self.answered = None, time.monotonic()
            for item in items:
                place = item.place
                self.flights.take(item, self._fetch if self._root is not None else None)
                if item.tag == "result" and not item.files:
                    on_free()

    def seconds_of_doubt(self) -> float:
        """Return for how long a lost node may still compute, if it lives: until its lease ends."""
        return max(0.0, self.answered + LEASE_END_S - time.monotonic())

    def begin_close(self) -> Any:
        """Let the agent end its workers; return what ``end`` waits for."""
        self._is_closed = True
        return self._agent.close.remote()

    def end(self, closing: Any = None) -> None:
        """End the agent, which ends its workers; jobs in flight there are ``Broken``."""
        self.end_agent(closing)
        self.flights.drop(CLOSED)

    def end_agent(self, closing: Any = None) -> None:
        """End the agent, which ends its workers."""
        self._is_closed = True
        try:
            if closing is not None:
                self._ray.wait([closing], timeout=_CLOSE_S)
            self._ray.kill(self._agent)
        except Exception as error:  # it is gone already, or the whole cluster
            logger.debug("The agent of %s was not ended: %s", self.node.name, error)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _send_again(self) -> None:
        """Send again what did not arrive: an agent takes each number once."""
        with self._lock:
            sending = dict(self._sending)
        if not sending:
            return
        references = [reference for _, reference, _ in sending.values()]
        done, _ = self._ray.wait(references, num_returns=len(sending), timeout=0)
        for number, (task, reference, given) in sending.items():
            if reference not in done:
                continue
            with self._lock:
                del self._sending[number]
            try:
                self._ray.get(reference)
            except self._ray.exceptions.ActorUnavailableError:
                if number in self.flights:
                    self._submit(number, task, given)

    def _fetch(self, item: Item, result: Result) -> None:
        assert self._root is not None, "only nodes that are sent files have some to fetch"
        self._in_background(self._bring, item, result, self._root)

    def _bring(self, item: Item, result: Result, root: Path) -> None:
        """Fetch what a job wrote; only then it has its result."""
        try:
            arrived = bring(self.files, item.job, item.files, root)
            if self.flights.end(item.job, result, arrived.put) is None:
                arrived.drop()
        except Exception as error:
            self.flights.end(item.job, lost_on_the_way(error))
        self._on_free()
        self._release(item.job)

    def _release(self, number: int) -> None:
        """Let the node remove what it keeps of a job, if it lives."""
        self._agent.files.remote("release", number)
