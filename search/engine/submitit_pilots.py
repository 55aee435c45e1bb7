"""The jobs of a queue that an engine has: asked for, heard, looked after, ended, and buried."""

from __future__ import annotations

import logging
import pickle
import re
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from archfront.search.engine.gpu_shares import memory_fault
from archfront.search.engine.jobs import Broken
from archfront.search.engine.node_agent import Start
from archfront.search.engine.node_facts import question_of
from archfront.search.engine.placement import version_faults
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.run_folder import DRIVER_FILE
from archfront.search.engine.slurm_commands import (
    NEVER,
    SUSPENDED,
    TAKEN_AWAY,
    JobState,
    SlurmError,
    ending_of,
)
from archfront.search.engine.submitit_link import Crew, CrewFacts, PilotLink
from archfront.search.engine.submitit_pilot import SILENCE_S, Pilot
from archfront.search.engine.submitit_queue import JobQueue
from archfront.search.errors import ConfigError
from archfront.trainers.words import count_of, duration

logger = logging.getLogger(__name__)

# A queue in which nothing has begun for so long gets a line, and again when the reason changes.
_LONG_S = 60.0
# A job that runs and says nothing for so long is given up; the first word takes its imports.
# A job that does not see its driver ends itself before that, so that nothing is done twice.
_SILENT_S, _FIRST_WORD_S = 1.5 * SILENCE_S, 600.0
_LEAVING_S = 30.0  # in which a job that was told to end does
_LEFT_S = 60.0  # of its time, with which a job begins nothing more
_HURRY_S = 2.0  # between looks while a job is to end
_AGAIN_S = 20.0  # before another job is asked for where one failed
_MOST_FAULTS = 2  # jobs in a row that never began, after which what waits is given up
_MARGIN = 1.2  # by which a training may take longer than any before
# What had so much of a job's time and did not end is too long for a job.
_MOST = 0.75


class Pilots:
    """The jobs of a queue, of one or two crews.

    Args:
        queue: The queue.
        needs: What is asked.
        folder: Folder of their messages.
        start_of: Gives what a crew's agent needs to start its workers; None for one that only says
            what its node is.
        clock: Seconds.

    Attributes:
        links: The jobs that have not ended.
        device: The device that measures; None before it is known.
        longest_s: The longest time that a job took which ended well.
        has_failed: Whether a job of the queue did not begin as it should.
        reasons: Why jobs wait, by their ids.
    """

    def __init__(
        self,
        queue: JobQueue,
        needs: QueueNeeds,
        folder: Path,
        *,
        start_of: Callable[[Crew], Start | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.links: list[PilotLink] = []
        self.device: object = None
        self.longest_s = 0.0
        self.has_failed = False
        self.reasons: dict[str, str] = {}
        self._queue, self._needs, self._folder = queue, needs, folder
        self._start_of, self._clock = start_of, clock
        self._numbers = count(1)
        self._kinds: dict[Crew, CrewFacts] = {}
        self._looked = clock()
        self._said: dict[str, str] = {}

    def ask(self, crew: Crew, n: int) -> None:
        """Ask the queue for so many jobs at once.

        Raises:
            ConfigError: If it refuses them.
            SlurmError: If it does not answer.
        """
        needs = self._needs
        # A job that begins sees the shared folder, of which it has its messages.
        question = question_of(
            needs.read, needs.describe, uses_gpus=bool(needs.gpus and crew.slots)
        )
        start = self._start_of(crew)
        names = [f"job{next(self._numbers)}" for _ in range(n)]
        try:
            links = [PilotLink(self._folder / name, crew, clock=self._clock) for name in names]
        except OSError as error:
            raise ConfigError(f"tracking.root: {self._folder}: {error.strerror}.") from error
        pilots = [
            Pilot(
                folder=str(link.folder),
                driver=str(self._folder / DRIVER_FILE),
                start=None if start is None else pickle.dumps(start),
                question=pickle.dumps(question),
                minutes=needs.job_minutes,
                pauses_s=self._queue.pauses_s,
            )
            for link in links
        ]
        excluded = self._kind(crew).excluded
        try:
            ids = self._queue.submit(pilots, measures=crew.measures, excluded=excluded)
        except ConfigError as error:
            if not excluded:
                raise
            left_out = ", ".join(sorted(excluded))
            raise ConfigError(
                f"{error} Nodes that do not fit are left out: {left_out}."
            ) from error
        for link, name in zip(links, ids, strict=True):
            link.id = name
        self.links += links
        logger.info("Asked the queue for %s: %s.", count_of(n, "job"), ", ".join(ids))

    def ask_for(self, crew: Crew, n: int) -> None:
        """Ask for so many jobs once they have been wanted long enough to come together."""
        kind, now = self._kind(crew), self._clock()
        if n < 1:
            kind.wanted_since = None
            return
        if kind.wanted_since is None:
            kind.wanted_since = now
        if now - kind.wanted_since < self._queue.gather_s or now < kind.not_before:
            return
        kind.wanted_since = None
        try:
            self.ask(crew, n)
        except ConfigError as error:
            self._fault(crew, str(error))
        except SlurmError as error:
            self._wait(crew)
            self._say("asked", f"The study waits: SLURM takes no job now: {error}", key="away")
        else:
            self._say("asked", "")

    def hear(self) -> bool:
        """Take what the jobs say; return whether anything came."""
        came = False
        for link in list(self.links):
            was_here = link.hello is not None
            items = link.receive()
            came = came or bool(items)
            self.longest_s = max(self.longest_s, link.pass_on(items))
            if not was_here and link.hello is not None:
                came = True
                self._greet(link)
        return came

    def look(self) -> None:
        """Ask the queue for the states of the jobs, not too often, and bury those that ended."""
        now = self._clock()
        look_s = self._queue.look_s
        if any(link.leaving is not None for link in self.links):
            look_s = min(look_s, _HURRY_S)
        if now - self._looked < look_s:
            return
        self._looked = now
        try:
            states = self._queue.states([link.id for link in self.links])
        except SlurmError as error:
            self._say("queue", f"SLURM does not answer: {error}")
            return
        self._say("queue", "")
        self.hear()  # what a job said before it ended
        for link in list(self.links):
            state = states[link.id]
            if state.phase == "running" and link.began is None:
                link.began = now
            if state.phase == "ended":
                if state.word in SUSPENDED:
                    self._queue.cancel([link.id])
                self._bury(link, state)
            elif state.phase == "queued" and state.reason == NEVER:
                self._queue.cancel([link.id])
                self.links.remove(link)
                self._fault(
                    link.crew, f"engine.job_minutes: the job {link.id} never begins: {state.why}."
                )
            elif state.phase == "running" and (silence := self._silence(link)):
                self._queue.cancel([link.id])
                self._bury(link, state, f"gave no sign for {duration(silence)}")
            elif state.phase == "running" and link.overstay_s > _LEAVING_S:
                self._queue.cancel([link.id])
                self._bury(link, state, "did not end when it was to")
        self.reasons = {name: s.why for name, s in states.items() if s.phase == "queued"}
        self._say_who_waits(states)

    def let_go(self, *, is_needed: Callable[[Crew], bool]) -> None:
        """End the jobs without work whose time is nearly over, or that have been idle long."""
        for link in self.links:
            if not link.is_open or len(link.flights):
                continue
            if not self.has_time(link):
                link.stop("its time in the queue is nearly over")
            elif link.idle_s > 60 * self._needs.idle_minutes and not is_needed(link.crew):
                link.stop()

    def has_time(self, link: PilotLink) -> bool:
        """Return whether a job is left the time for another training, by those before."""
        most = 30.0 * self._needs.job_minutes  # half of its time, so that it does something
        return link.has_time(min(max(_LEFT_S, _MARGIN * self.longest_s), most))

    def given_up(self, crew: Crew) -> Broken | None:
        """Return the failure of what waits for jobs that never begin; None where they do."""
        kind = self._kind(crew)
        is_any_left = any(link.crew == crew and link.leaving is None for link in self.links)
        if kind.faults < _MOST_FAULTS or is_any_left:
            return None
        kind.faults = 0
        return Broken("machine", kind.problem, 0.0)

    def problem(self, crew: Crew) -> str:
        """Return why the last job of a crew did not begin; empty if it did."""
        kind = self._kind(crew)
        return kind.problem if kind.faults else ""

    def _kind(self, crew: Crew) -> CrewFacts:
        return self._kinds.setdefault(crew, CrewFacts())

    def _greet(self, link: PilotLink) -> None:
        """Take a job that has begun into use, unless its node does not fit."""
        facts, node = link.facts, link.flights.node
        faults = [
            *version_faults(facts),
            *(f"does not see {path}: all nodes need it, by this path" for path in facts.unseen),
        ]
        lack = memory_fault(facts.gpu_memory_gb, self._needs.gpus, self._needs.gpu_memory_gb)
        faults += [f"does not fit engine.gpu_memory_gb: {lack}"] if lack else []
        if faults:
            link.stop(f"{node} {'; '.join(faults)}")
            self._fault(link.crew, f"engine: the node {node} {'; '.join(faults)}.", node)
            return
        if link.crew.measures:
            self.device = self.device or facts.device
            if facts.device != self.device:
                link.stop("its device is another one")
                text = f"the node {node} is {facts.device}, not {self.device}: it measures nothing"
                self._fault(link.crew, f"engine: {text}. Give engine.device_constraint.", node)
                return
        kind = self._kind(link.crew)
        kind.has_begun, kind.faults, kind.not_before = True, 0, 0.0
        logger.info("The job %s begins on %s.", link.id, node)

    def _silence(self, link: PilotLink) -> float:
        """Return for how long a job that runs has said nothing, if that is too long, else 0."""
        last, most = link.heard, _LEAVING_S if link.leaving else _SILENT_S
        if last is None:
            last, most = link.began or self._clock(), _FIRST_WORD_S
        silence = self._clock() - last
        return silence if silence > most else 0.0

    def _bury(self, link: PilotLink, state: JobState, how: str = "") -> None:
        """Remove a job that has ended; what it worked on is a failure of the machine."""
        leaving = link.leaving
        link.stop()  # SLURM may only have lost sight of its node, which works on
        self.links.remove(link)
        node = link.flights.node or state.node
        where = f" on {node}" if node else ""
        needs = self._needs
        kind, words = ending_of(state.word, minutes=needs.job_minutes, memory_gb=needs.memory_gb)
        said = f"The job {link.id}{where} {how or words}."
        if state.word in ("FAILED", "ENDED"):
            said += self._queue.output_of(link.id)
        n_jobs = len(link.flights)
        result = Broken(kind, said, 0.0, node or None)
        if state.word == "TIMEOUT":
            # What is too long is so again; what else ends a job says nothing of what it ran.
            had_s = link.end_long(result, _MOST * 60 * needs.job_minutes)
            self.longest_s = max(self.longest_s, had_s)
        link.flights.drop(replace(result, is_lost=kind == "killed"))
        if n_jobs:
            logger.warning("%s It ran %s.", said, count_of(n_jobs, "job"))
        is_fault = leaving is not None and leaving.is_fault
        never_began = link.hello is None and leaving is None
        if never_began and state.word in TAKEN_AWAY:
            self._wait(link.crew)
        elif is_fault or never_began:
            reason = f" {leaving.reason}." if is_fault and leaving else ""
            self._fault(link.crew, self._never_began(f"{said}{reason}", link), node)

    def _never_began(self, said: str, link: PilotLink) -> str:
        shared = self._needs.shared
        folder = f" and the folder {shared} (tracking.root)" if shared else ""
        return (
            f"engine: {said} It ended before it could take any work. Most often its node does not "
            f"see this Python{folder}: both have to lie where all nodes see them, by the same "
            f"paths. What it printed is in {link.folder.parent}."
        )

    def _wait(self, crew: Crew) -> None:
        """Ask for no other job of a crew for a while."""
        pause_s = _AGAIN_S if self._queue.look_s >= 1 else 0.0
        self._kind(crew).not_before = self._clock() + pause_s

    def _fault(self, crew: Crew, problem: str, node: str = "") -> None:
        kind = self._kind(crew)
        if node and kind.has_begun:
            kind.excluded.add(node)
        self.has_failed = True
        kind.faults, kind.problem = kind.faults + 1, problem
        self._wait(crew)
        # Another job that fails so is nothing new: its number and its file are left out.
        self._say(f"fault {crew}", problem, key=re.sub(r"\d+", "", problem))

    def _say_who_waits(self, states: dict[str, JobState]) -> None:
        """Say for which crew nothing runs, and why its jobs wait."""
        for crew in {link.crew for link in self.links}:
            links = [link for link in self.links if link.crew == crew]
            waited_s = self._clock() - min(link.asked for link in links)
            queued = {s.reason: s.why for x in links if (s := states[x.id]).phase == "queued"}
            what = "measure" if not crew.slots else "train"
            if any(link.hello is not None for link in links):
                self._say(what, "")
            elif waited_s >= _LONG_S and queued:
                ids = ", ".join(link.id for link in links)
                reasons = "; ".join(queued.values())
                text = f"The jobs that {what} wait in the queue ({ids}). {reasons}."
                self._say(what, text, key=" ".join(sorted(queued)))

    def _say(self, topic: str, text: str, *, key: str | None = None) -> None:
        """Log a warning once, and again when it, or its key, changes."""
        key = text if key is None else key
        if text and key != self._said.get(topic):
            logger.warning("%s", text)
        self._said[topic] = key
