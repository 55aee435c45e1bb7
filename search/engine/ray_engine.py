"""The engine of a Ray cluster: trainings on any node that can, measurements on one device.

::

    ray_engine.py    the engine: queues, and which job goes where
    ray_members.py   the nodes in use, which come and go
    ray_node.py      the driver's side of one node
    node_agent.py    the node's side: an actor that holds a ``ProcessEngine``
    ray_cluster.py   the connection to the cluster
    placement.py     what a node can do for a study
    file_sets.py     what is sent to nodes that do not see the driver's folders
    file_transfer.py how it gets there, and back what jobs write
    node_files.py    the node's side of it, with file_cache.py

Ray carries messages and tells which nodes live. Queues, attempts and workers are our own: each
node runs the workers of ``processes.py``, so a crash, a hang, a timeout or a pause is there what
it is on one machine. A node that dies breaks the jobs that it ran as ``killed``, and the study
tries these again elsewhere. Ray itself repeats nothing (``max_restarts=0``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from archfront.search.engine.jobs import Perform
from archfront.search.engine.node_agent import Start
from archfront.search.engine.node_facts import write_mark
from archfront.search.engine.node_files import FilesSetup
from archfront.search.engine.placement import ClusterNeeds, Fit
from archfront.search.engine.ray_cluster import connect
from archfront.search.engine.ray_members import ClusterMembers, Crew
from archfront.search.engine.ray_node import LEASE_S, NodeLink
from archfront.search.engine.tasks import Task, TaskEngine, WaitingTasks
from archfront.search.errors import ConfigError
from archfront.trainers.threads import cores

if TYPE_CHECKING:
    from archfront.search.records.events import Follower


class RayEngine(TaskEngine):
    """The engine of a Ray cluster's nodes.

    Args:
        perform: Does a job; a function of a module that is installed on every node.
        workers: Trainings at a time on one node, at most.
        threads: Threads of one training; None for this machine's cores over ``workers``.
        imports: Modules that workers import before they have a job.
        exclusive_imports: The same of those for exclusive jobs.
        needs: What is asked of the cluster.
        on_slots: Called with the trainings at a time, whenever these have changed.
        on_lost: Called with the reason when the whole cluster is lost.
        emit: Takes events, of nodes to which files are sent.

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
        on_slots: Callable[[int], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
        emit: Follower = lambda _: None,
    ) -> None:
        self.threads = threads or max(1, cores() // workers)
        self._perform = perform
        self._imports, self._exclusive_imports = imports, exclusive_imports
        self._waiting = WaitingTasks()
        self._on_slots, self._told_slots, self._telling = on_slots, 0, threading.Lock()
        needs = needs or ClusterNeeds()
        self._needs = needs
        mark_shared(needs)
        self._connection = connect(needs.address)
        crew = Crew(workers, self.threads, self._start_of)
        self._members = ClusterMembers(
            self._connection,
            needs,
            crew=crew,
            on_free=self._dispatch,
            on_lost=on_lost,
            emit=emit,
        )
        try:
            self._members.join_all()
        except BaseException:
            self.close()
            raise

    @property
    def n_slots(self) -> int:
        """Return the trainings at a time on all nodes that are there now, at least one."""
        with self._members.lock:
            return max(1, sum(link.fit.slots for link in self._members.links.values()))

    @property
    def device(self) -> object:
        """Return the device that measures, as the needs describe one."""
        return self._members.device

    @property
    def is_closed(self) -> bool:
        """Return whether no job is taken any more."""
        return self._waiting.is_closed

    def submit_task(self, task: Task) -> None:
        """Queue a job that is pickled already; a closed engine gives it ``CLOSED`` at once."""
        self._waiting.add(task)
        self._dispatch()

    def close(self) -> None:
        """End every agent with its workers; unfinished jobs are ``Broken``. Repeatable."""
        if not self._waiting.close():
            return
        self._members.close()
        self._connection.close()

    def _start_of(self, fit: Fit) -> Start:
        # An engine of processes has one worker at least; it stays idle where nothing is trained.
        shared = self._needs.shared
        files = FilesSetup(shared if shared in fit.sent else None, int(self._needs.files_gb * 1e9))
        return Start(
            perform=self._perform,
            workers=max(1, fit.slots),
            threads=self.threads,
            imports=self._imports if fit.slots else (),
            exclusive_imports=self._exclusive_imports if fit.measures else (),
            gpus=self._needs.gpus,
            files=files if fit.sent else None,
            lease_s=LEASE_S,
        )

    def _dispatch(self) -> None:
        """Give waiting jobs to the nodes that are free for them, and say which nodes lack."""
        while True:
            with self._members.lock:
                found = self._next_job()
                if found is None:
                    break
                link, task = found
                number = link.flights.add(task)  # under the lock: a lost node drops what it has
            link.send(number, task)
        n_training, n_measuring = (self._waiting.n_of(is_exclusive=x) for x in (False, True))
        self._members.say_who_waits(n_training, n_measuring)
        with self._telling:  # else the number that is told last may be an old one
            n_slots = self.n_slots
            if self._on_slots is not None and n_slots != self._told_slots:
                self._told_slots = n_slots
                self._on_slots(n_slots)

    def _next_job(self) -> tuple[NodeLink, Task] | None:
        for is_exclusive in (False, True):
            link = self._free_to_measure() if is_exclusive else self._free_to_train()
            task = None if link is None else self._waiting.take(is_exclusive=is_exclusive)
            if link is not None and task is not None:
                return link, task
        return None

    def _free_to_train(self) -> NodeLink | None:
        """Return the node with the largest share of free slots; None if all are taken."""
        free = {
            link: 1 - n / link.fit.slots
            for link in self._members.links.values()
            if (n := link.flights.n_of(is_exclusive=False)) < link.fit.slots
        }
        return max(free, key=lambda link: free[link], default=None)

    def _free_to_measure(self) -> NodeLink | None:
        """Return the node that measures with the fewest trainings, on a machine free for it."""
        links = self._members.links.values()
        taken = {link.facts.machine for link in links if link.flights.n_of(is_exclusive=True)}
        free = [x for x in links if x.fit.measures and x.facts.machine not in taken]
        return min(free, key=lambda x: x.flights.n_of(is_exclusive=False), default=None)


def mark_shared(needs: ClusterNeeds) -> None:
    """Give the shared folder a mark, by which nodes know it.

    Raises:
        ConfigError: If it cannot be written.
    """
    if needs.shared is None:
        return
    try:
        write_mark(Path(needs.shared))
    except OSError as error:
        raise ConfigError(f"tracking.root: {needs.shared}: {error.strerror}.") from error
