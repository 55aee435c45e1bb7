"""The driver's side of one job of a queue: its messages, and what it works on."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from archfront.search.engine.in_flight import JobsInFlight
from archfront.search.engine.jobs import Broken, Done
from archfront.search.engine.message_file import Mailbox
from archfront.search.engine.node_agent import Item
from archfront.search.engine.node_facts import NodeFacts
from archfront.search.engine.submitit_pilot import (
    FROM_PILOT,
    TO_PILOT,
    Hello,
    Leaving,
    Stop,
    ToDo,
)
from archfront.search.engine.tasks import Task


@dataclass(frozen=True)
class Crew:
    """The workers of a job of the queue.

    Attributes:
        slots: Trainings at a time; 0 for one that trains nothing.
        measures: Whether it measures.
    """

    slots: int
    measures: bool


@dataclass
class CrewFacts:
    """What is known of the jobs of one crew.

    Attributes:
        faults: How many in a row never began.
        problem: Why the last of them did not.
        not_before: When the next may be asked for.
        wanted_since: Since when more are wanted; None while there are enough.
        has_begun: Whether any began well, so that other nodes than those that do not fit exist.
        excluded: Nodes that do not fit, which the next ones must not get.
    """

    faults: int = 0
    problem: str = ""
    not_before: float = 0.0
    wanted_since: float | None = None
    has_begun: bool = False
    excluded: set[str] = field(default_factory=set)


class PilotLink:
    """The link to a job of the queue, from its submission to its end.

    Args:
        folder: Folder of its messages, which is made.
        crew: Its workers.
        clock: Seconds.

    Attributes:
        id: The queue's id of it; empty before it is submitted.
        crew: Its workers.
        hello: What it said first; None before that.
        leaving: Why it takes no more jobs; None while it does.
        left: When that was, by the clock.
        asked: When it was made, by the clock,
        heard: when it was last heard of, and
        began: when it began to run; the last two are None before that.
        given: When it was given each of its jobs, by their numbers and the clock.
        flights: The jobs in flight there.
    """

    def __init__(
        self, folder: Path, crew: Crew, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.id = ""
        self.folder, self.crew = folder, crew
        self.hello: Hello | None = None
        self.leaving: Leaving | None = None
        self.left = float("inf")
        self.asked = clock()
        self.heard: float | None = None
        self.began: float | None = None
        self.given: dict[int, float] = {}
        self.flights = JobsInFlight("")
        self._clock = clock
        self._ends = float("inf")
        self._idle_since = self.asked
        folder.mkdir(mode=0o700)
        for name in (TO_PILOT, FROM_PILOT):  # both ends find them: no folder is looked at again
            (folder / name).touch()
        self._to, self._from = Mailbox(folder / TO_PILOT), Mailbox(folder / FROM_PILOT)

    @property
    def facts(self) -> NodeFacts:
        """Return what its node said of itself."""
        assert self.hello is not None
        return self.hello.facts

    @property
    def is_open(self) -> bool:
        """Return whether it takes jobs."""
        return self.hello is not None and self.leaving is None

    @property
    def idle_s(self) -> float:
        """Return for how long it has had nothing to do."""
        return 0.0 if len(self.flights) else self._clock() - self._idle_since

    def has_time(self, seconds: float) -> bool:
        """Return whether the queue leaves it so long."""
        return self._ends - self._clock() > seconds

    def receive(self) -> list[Item]:
        """Take what came from it, and return what of it concerns its jobs."""
        with suppress(OSError):  # of a file server, which is asked again
            return [item for message in self._from.receive() for item in self._take(message)]
        return []

    @property
    def overstay_s(self) -> float:
        """Return for how long it has had nothing to do since it was to end."""
        return max(0.0, min(self.idle_s, self._clock() - self.left))

    def leave(self, leaving: Leaving) -> None:
        """Give it no more jobs."""
        if self.leaving is None:
            self.leaving, self.left = leaving, self._clock()

    def send(self, task: Task) -> bool:
        """Send a job, whose future runs already; return whether that was possible."""
        number = self.flights.add(task)
        try:
            self._to.send(pickle.dumps(ToDo(number, task.message)))
            self.given[number] = self._clock()
        except OSError as error:
            self.flights.remove(number)
            self.leave(Leaving(f"no message to it can be written: {error}"))
            return False
        return True

    def stop(self, reason: str = "there is nothing more to do") -> None:
        """Let it end; it takes no more jobs."""
        self.leave(Leaving(reason))
        with suppress(OSError):
            self._to.send(pickle.dumps(Stop()))

    def pass_on(self, items: list[Item]) -> float:
        """Pass on what it said of its jobs; return the longest time of one that ended well."""
        longest = 0.0
        for item in items:
            result = self.flights.take(item)
            if result is not None:
                self._idle_since = self._clock()
                self.given.pop(item.job, None)
            if isinstance(result, Done):
                longest = max(longest, result.seconds)
        return longest

    def end_long(self, result: Broken, least_s: float) -> float:
        """Give a result to the jobs that have had so long; return the longest time of any."""
        had = {number: self._clock() - since for number, since in self.given.items()}
        for number, seconds in had.items():
            if seconds >= least_s:
                self.flights.end(number, result)
        return max(had.values(), default=0.0)

    def _take(self, message: bytes) -> list[Item]:
        self.heard = self._clock()
        content = pickle.loads(message)
        if isinstance(content, Hello):
            self.hello = content
            self.flights.node = content.node
            self._ends = self.heard + content.left_s
            self._idle_since = self.heard
        elif isinstance(content, Leaving):
            self.leave(content)
        else:
            items: list[Item] = content
            return items
        return []
