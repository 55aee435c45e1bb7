"""The nodes of a cluster that an engine uses: joined, watched, lost, joined again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archfront.search.engine.jobs import Broken
from archfront.search.engine.node_agent import Start
from archfront.search.engine.placement import (
    ClusterNeeds,
    Fit,
    device_to_measure,
    fit_of,
    nobody,
    question_to_node,
    waited_for,
)
from archfront.search.engine.ray_cluster import Connection, Node
from archfront.search.engine.ray_folders import FolderSender
from archfront.search.engine.ray_node import NodeLink
from archfront.search.errors import ConfigError
from archfront.trainers.words import count_of

if TYPE_CHECKING:
    from archfront.search.records.events import Follower

logger = logging.getLogger(__name__)

_JOIN_S = 10.0  # a listener that waits for the closing thread must not block it for ever
_CLUSTER_S = 60.0  # without an answer, after which a cluster is given up
_LONGEST_AGAIN_S = 60.0  # before a lost node is tried again; doubled each time, up to this


@dataclass(frozen=True)
class Crew:
    """The workers that a node is to have.

    Attributes:
        workers: Trainings at a time, at most.
        threads: Threads of one training.
        start_of: Gives what an agent needs to start its workers.
    """

    workers: int
    threads: int
    start_of: Callable[[Fit], Start]


@dataclass
class _Lost:
    """A node that was lost: how often, and when it may be tried again."""

    times: int = 0
    not_before: float = 0.0


class ClusterMembers:
    """The nodes in use.

    Args:
        connection: The cluster.
        needs: What is asked of it.
        crew: The workers of a node.
        on_free: Called when a node came, or a job ended at one.
        on_lost: Called with the reason when the cluster has not answered for long.
        emit: Takes events, of nodes to which files are sent.

    Attributes:
        lock: Guards ``links``, and what its user keeps beside them.
        links: The nodes in use by their ids.
        device: The device that measures; None where nothing tells devices apart.
    """

    def __init__(
        self,
        connection: Connection,
        needs: ClusterNeeds,
        *,
        crew: Crew,
        on_free: Callable[[], None],
        emit: Follower,
        on_lost: Callable[[str], None] | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.links: dict[str, NodeLink] = {}
        self.device: object = None
        self._connection, self._needs = connection, needs
        self._crew, self._on_free, self._on_lost = crew, on_free, on_lost
        self._folders = FolderSender(needs, emit)
        self._is_closed = False
        self._joining: set[str] = set()
        self._coming: dict[str, NodeLink] = {}
        self._unfit: set[str] = set()
        self._lost: dict[str, _Lost] = {}
        self._said: dict[str, str] = {}
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def join_all(self) -> None:
        """Join the nodes that are there, and from then on those that come.

        Raises:
            ConfigError: If none of them can train, or none measure.
        """
        nodes = self._connection.nodes()
        with ThreadPoolExecutor(max(1, len(nodes))) as threads:
            reached = list(threads.map(self._reach, nodes))
            there = [(x.node, x.facts) for x in reached if isinstance(x, NodeLink)]
            self.device = device_to_measure(there, self._needs)
            found = list(zip(nodes, threads.map(self._use, reached), strict=True))
        problems = nobody(found, self._needs)
        if problems and not self._needs.waits:
            raise ConfigError(*problems)
        self._folders.check([fit for _, fit in found if isinstance(fit, Fit)])
        for node, fit in found:
            self._note(node, fit)
        for link in reached:
            if isinstance(link, NodeLink) and link.fit.sent:
                self._run(self._enter_later, link)
        self._run(self._watch)

    def close(self) -> None:
        """End every agent with its workers; the jobs in flight there are ``Broken``."""
        with self.lock:
            self._is_closed = True
            links = [*self.links.values(), *self._coming.values()]
            self.links.clear()
        self._stopped.set()
        closing = [(link, link.begin_close()) for link in links]
        for link, reference in closing:
            link.end(reference)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_S)

    def say_who_waits(self, n_training: int, n_measuring: int) -> None:
        """Say once when no node can do what waits, and once when one can again."""
        with self.lock:
            fits = [link.fit for link in (*self.links.values(), *self._coming.values())]
        can = {
            "train": (n_training, any(fit.slots for fit in fits)),
            "measure": (n_measuring, any(fit.measures for fit in fits)),
        }
        for what, (n_waiting, is_able) in can.items():
            if is_able:
                self._say(what, "", f"A node of the cluster can {what} again: the jobs go on.")
            elif n_waiting:
                self._say(
                    what,
                    f"No node of the cluster can {what}: the jobs wait until one joins that "
                    f"can. {waited_for(self._needs, what, self.device)}",
                )

    def _reach(self, node: Node) -> NodeLink | str:
        """Return the link to a node that has said what it is, or why there is none."""
        link = None
        try:
            link = NodeLink(self._connection.ray, node, gpus=node.gpus if self._needs.gpus else 0)
            needs = self._needs
            if link.ask(question_to_node(needs)).unseen:
                # Meanwhile another study may have given the root a new mark.
                link.ask(question_to_node(needs))
        except Exception as error:  # of Ray, and of the agent's start
            if link is not None:
                link.end()
            return str(error)
        return link

    def _use(self, link: NodeLink | str) -> Fit | str:
        """Take a node into use as far as it fits; return that, or why it was not reached.

        One that is to get files has its workers started, and is entered later.
        """
        if isinstance(link, str):
            return link
        crew = self._crew
        link.fit = fit = fit_of(
            link.node,
            link.facts,
            self._needs,
            workers=crew.workers,
            threads=crew.threads,
            device=self.device,
        )
        try:
            if fit.is_of_use:
                link.start(crew.start_of(fit))
        except Exception as error:
            link.end()
            return str(error)
        if fit.is_of_use and fit.sent:
            with self.lock:
                self._joining.add(link.node.id)
                self._coming[link.node.id] = link
        elif not self._enter(link):
            link.end()
        return fit

    def _enter_later(self, link: NodeLink) -> None:
        """Send a node what it needs and use it then; the body of a thread."""
        node = link.node
        try:
            self._folders.send(link)
        except Exception as error:
            link.end()
            if not self._stopped.is_set():
                self._note(node, str(error).rstrip("."))
        else:
            if not self._enter(link):
                link.end()
        with self.lock:
            self._joining.discard(node.id)
            self._coming.pop(node.id, None)

    def _enter(self, link: NodeLink) -> bool:
        """Use a node that can do something; return whether it is used."""
        with self.lock:
            if self._is_closed or not link.fit.is_of_use:
                return False
            self.links[link.node.id] = link
        self._run(self._serve, link)
        self._on_free()
        return True

    def _run(self, body: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(
            target=body, args=arguments, name="archfront-cluster", daemon=True
        )
        with self.lock:
            self._threads = [each for each in self._threads if each.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _serve(self, link: NodeLink) -> None:
        """Listen to a node until it is lost; the body of its thread."""
        reason = link.listen(self._on_free)
        with self.lock:
            if self._is_closed:
                return
            self.links.pop(link.node.id, None)
            self._postpone(link.node)
        message = f"The node {link.node.name} was lost: {reason}."
        logger.warning("%s It ran %s.", message, count_of(len(link.flights), "job"))
        link.end_agent()  # it may live, only out of reach
        shared = self._needs.shared  # what jobs write is brought back from others by the driver
        if shared not in (None, *link.fit.sent) and self._may_live(link.node):
            self._stopped.wait(link.seconds_of_doubt())
        link.flights.drop(Broken("killed", message, 0.0, link.node.name, is_lost=True))
        self._on_free()

    def _may_live(self, node: Node) -> bool:
        """Return whether a node whose agent is lost may still compute: it is out of reach."""
        try:
            return all(other.id != node.id for other in self._connection.nodes())
        except Exception:  # then nothing is known
            return True

    def _watch(self) -> None:
        """Join the nodes that come; the body of a thread."""
        answered = time.monotonic()
        while not self._stopped.wait(self._needs.look_s):
            try:
                nodes = self._connection.nodes()
            except Exception as error:
                self._say("cluster", f"The cluster does not answer: {error}")
                if self._on_lost is not None and time.monotonic() - answered > _CLUSTER_S:
                    self._on_lost(str(error))
                continue
            answered = time.monotonic()
            self._say("cluster", "", "The cluster answers again.")
            for node in nodes:
                if self._is_to_join(node):
                    self._run(self._join_later, node)
            self._on_free()

    def _is_to_join(self, node: Node) -> bool:
        with self.lock:
            if node.id in self.links or node.id in self._joining or node.id in self._unfit:
                return False
            lost = self._lost.get(node.id)
            if lost is not None and time.monotonic() < lost.not_before:
                return False
            self._joining.add(node.id)
            return True

    def _join_later(self, node: Node) -> None:
        fit = self._use(link := self._reach(node))
        is_coming = isinstance(fit, Fit) and bool(fit.sent)
        with self.lock:
            if not is_coming:
                self._joining.discard(node.id)
            if self._is_closed:
                return
        self._note(node, fit)
        if is_coming and isinstance(link, NodeLink):
            self._enter_later(link)

    def _note(self, node: Node, fit: Fit | str) -> None:
        """Say what became of a node, and see that it is tried again where that may help."""
        is_fault = isinstance(fit, str) or bool(fit.faults)
        with self.lock:
            if is_fault:
                self._postpone(node)
            elif isinstance(fit, Fit) and not fit.is_of_use:
                self._unfit.add(node.id)
        if is_fault:
            self._say(node.name, f"The node {node.name} is not used: {fit}.")
        else:
            self._say(node.name, "", f"The node {node.name} is used again.")
            logger.info("The node %s joined. %s", node.name, fit)

    def _postpone(self, node: Node) -> None:
        lost = self._lost.setdefault(node.id, _Lost())
        wait_s = min(self._needs.look_s * 2**lost.times, _LONGEST_AGAIN_S)
        lost.times, lost.not_before = lost.times + 1, time.monotonic() + wait_s

    def _say(self, topic: str, text: str, end: str = "") -> None:
        """Log a warning once; an empty text ends it, with another line if it had been said."""
        with self.lock:
            before = self._said.get(topic, "")
            self._said[topic] = text
        if text and text != before:
            logger.warning("%s", text)
        elif before and not text and end:
            logger.warning("%s", end)
