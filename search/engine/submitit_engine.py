"""The engine of a batch queue (SLURM): trainings in its jobs, measurements alone on a node.

::

    submitit_engine.py   the engine: what waits, and which job does it
    submitit_pilots.py   the jobs of the queue: asked for, heard, looked after
    submitit_link.py     the driver's side of one of them
    submitit_pilot.py    the node's side: a ``NodeAgent`` and its messages
    submitit_queue.py    submission by submitit: SLURM, or processes of this machine
    slurm_commands.py    what squeue, sacct and sinfo print
    message_file.py      messages by a file

A job of the queue is a worker, or several that share a GPU. Each does one job of the study after
the other until nothing waits or its time is over. Waiting in the queue and imports of half a
minute are so paid once and not by each training. Jobs of the queue are asked for in arrays, as
many as there is work for. What one ran that dies, is preempted or has no time left is ``killed``
and tried again by the study's own attempts in another one; SLURM itself repeats nothing
(``no-requeue``).
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import threading
import time
from contextlib import suppress
from typing import ClassVar

from archfront.search.engine.jobs import CLOSED, Perform
from archfront.search.engine.node_agent import Start
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.run_folder import DRIVER_FILE, new_run_folder
from archfront.search.engine.slurm_commands import SlurmError
from archfront.search.engine.submitit_link import Crew, PilotLink
from archfront.search.engine.submitit_pilot import BEAT_S
from archfront.search.engine.submitit_pilots import Pilots
from archfront.search.engine.submitit_queue import JobQueue, queue_of
from archfront.search.engine.tasks import Task, TaskEngine, WaitingTasks
from archfront.search.errors import ConfigError
from archfront.trainers.threads import cores

logger = logging.getLogger(__name__)

_JOIN_S = 60.0  # in which SLURM takes a last job; a listener that closes must not block for ever


class SubmititEngine(TaskEngine):
    """The engine of a queue's jobs.

    Args:
        perform: Does a job; a function of a module that all nodes can import.
        workers: Trainings at a time.
        threads: Threads of one training; None for this machine's cores over ``workers``.
        imports: Modules that workers import before they have a job.
        exclusive_imports: The same of those for exclusive jobs.
        needs: What is asked of the queue; processes of this machine when None.

    Raises:
        ConfigError: If there is no queue, it refuses the jobs, or no node that it gives can
            measure.
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
        needs: QueueNeeds | None = None,
    ) -> None:
        self.n_slots = workers
        self.threads = threads or max(1, cores() // workers)
        self._needs = needs = needs or QueueNeeds()
        self._perform = perform
        self._imports, self._exclusive_imports = imports, exclusive_imports
        self._waiting = WaitingTasks()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._crews = _crews(needs, workers)
        self._folder = new_run_folder(needs.shared)
        name = f"archfront-{needs.study}-{self._folder.name}"
        try:
            self._queue: JobQueue = queue_of(
                needs, self._folder / "jobs", name=name, cores=self.threads, slots=workers
            )
        except ConfigError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._pilots = Pilots(self._queue, needs, self._folder, start_of=self._start_of)
        self._threads = [
            threading.Thread(target=body, name="archfront-queue", daemon=True)
            for body in (self._beat, self._serve)
        ]
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def device(self) -> object:
        """Return the device that measures, as the needs describe one."""
        return self._pilots.device

    @property
    def is_closed(self) -> bool:
        """Return whether no job is taken any more."""
        return self._waiting.is_closed

    def submit_task(self, task: Task) -> None:
        """Queue a job that is pickled already; a closed engine gives it ``CLOSED`` at once."""
        self._waiting.add(task)
        self._wake.set()

    def close(self) -> None:
        """End every job of the queue; unfinished ones are ``Broken``. Repeatable."""
        if not self._waiting.close():
            return
        self._stopped.set()
        self._wake.set()
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(_JOIN_S)
        for link in self._pilots.links:
            link.stop()
        self._queue.close()
        for link in self._pilots.links:
            link.flights.drop(CLOSED)
        if not self._pilots.has_failed:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self) -> None:
        """Ask for the first jobs, and wait for the device that measures.

        Raises:
            ConfigError: If the queue refuses them or does not answer, or none can measure.
        """
        beat, serve = self._threads
        self._write_beat(0)
        beat.start()
        try:
            for crew in self._crews:
                n_jobs = 1 if crew.measures else -(-self.n_slots // crew.slots)
                self._pilots.ask(crew, n_jobs)
            if self._needs.describe is not None and self._crews[0].measures:
                self._wait_for_device(self._crews[0])
        except SlurmError as error:
            raise ConfigError(f"engine.cluster: SLURM does not answer: {error}") from error
        serve.start()

    def _wait_for_device(self, crew: Crew) -> None:
        """Wait until a node of the device has said what it is.

        Raises:
            ConfigError: If jobs for that never begin.
        """
        pilots = self._pilots
        while pilots.device is None:
            pilots.hear()
            pilots.look()
            pilots.let_go(is_needed=self._is_needed)
            if (failure := pilots.given_up(crew)) is not None:
                raise ConfigError(failure.message)
            if not any(link.crew == crew for link in pilots.links):
                pilots.ask_for(crew, 1)
            time.sleep(self._queue.pauses_s[0])

    def _start_of(self, crew: Crew) -> Start:
        # An engine of processes has one worker at least; it stays idle where nothing is trained.
        return Start(
            perform=self._perform,
            workers=max(1, crew.slots),
            threads=self.threads,
            imports=self._imports if crew.slots else (),
            exclusive_imports=self._exclusive_imports if crew.measures else (),
            gpus=self._needs.gpus if crew.slots else 0,
        )

    def _beat(self) -> None:
        """Write that the driver lives; the body of a thread."""
        for n in itertools.count(1):
            if self._stopped.wait(BEAT_S):
                return
            with suppress(OSError):  # of a file server that is away for a while
                self._write_beat(n)

    def _write_beat(self, n: int) -> None:
        (self._folder / DRIVER_FILE).write_text(f"{os.getpid()} {n}\n", encoding="ascii")

    def _serve(self) -> None:
        """Give work to the jobs and take what becomes of it; the body of a thread."""
        shortest, longest = self._queue.pauses_s
        pause_s = shortest
        while not self._stopped.is_set():
            is_busy = False
            try:
                is_busy = self._pilots.hear()
                self._pilots.look()
                is_busy = self._dispatch() or is_busy
                self._ask()
                self._pilots.let_go(is_needed=self._is_needed)
            except Exception:  # a mistake of the engine must not hang the study
                logger.exception("The engine of the queue failed; it goes on.")
            pause_s = shortest if is_busy else min(2 * pause_s, longest)
            self._wake.wait(pause_s)
            self._wake.clear()

    def _dispatch(self) -> bool:
        """Give what waits to jobs that are free for it; return whether any was given."""
        is_any = False
        while (found := self._next()) is not None:
            is_any = True
            link, task = found
            if not link.send(task):
                assert link.leaving is not None, "that is why"
                logger.warning("The job %s gets no more work: %s.", link.id, link.leaving.reason)
                self._waiting.add(task, is_next=True)
        return is_any

    def _next(self) -> tuple[PilotLink, Task] | None:
        for is_exclusive in (False, True):
            link = self._free(is_exclusive=is_exclusive)
            task = None if link is None else self._waiting.take(is_exclusive=is_exclusive)
            if link is not None and task is not None:
                return link, task
        return None

    def _free(self, *, is_exclusive: bool) -> PilotLink | None:
        """Return the job that may take one more of a kind; None if there is none."""
        for link in self._pilots.links:
            most = int(link.crew.measures) if is_exclusive else link.crew.slots
            n = link.flights.n_of(is_exclusive=is_exclusive)
            if link.is_open and n < most and self._pilots.has_time(link):
                return link
        return None

    def _ask(self) -> None:
        """Give up what gets no job, and ask for as many jobs as there is work for."""
        links = self._pilots.links
        for crew in self._crews:
            if (failure := self._pilots.given_up(crew)) is not None:
                kinds = [kind for kind, can in ((False, crew.slots), (True, crew.measures)) if can]
                self._waiting.drop(failure, kinds=kinds)
            mine = [x for x in links if x.crew == crew and x.leaving is None]
            if crew.measures and not mine and self._waiting.n_of(is_exclusive=True):
                self._pilots.ask_for(crew, 1)
            elif crew.slots:
                n_jobs = self._waiting.n_of(is_exclusive=False) + sum(
                    link.flights.n_of(is_exclusive=False) for link in links
                )
                n_wanted = min(self.n_slots, n_jobs) - crew.slots * len(mine)
                self._pilots.ask_for(crew, -(-n_wanted // crew.slots))

    def _is_needed(self, crew: Crew) -> bool:
        n_measuring, n_training = (self._waiting.n_of(is_exclusive=x) for x in (True, False))
        return bool((crew.measures and n_measuring) or (crew.slots and n_training))


def _crews(needs: QueueNeeds, workers: int) -> list[Crew]:
    """Return the crews of a queue's jobs, the one that measures first.

    It is asked for first, so that no training takes its node. In place of a queue one process
    does all, so that its measurements pause its trainings.
    """
    if needs.cluster == "local":
        return [Crew(workers if needs.trains else 0, measures=needs.measures)]
    crews = [Crew(0, measures=True)] if needs.measures else []
    return [*crews, Crew(needs.per_job, measures=False)] if needs.trains else crews
