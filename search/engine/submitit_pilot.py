"""A job of a batch queue: our own workers on the node that it was given, and their messages.

A job of the queue does job after job of the study until none is left or its time is over, so that
neither the queue nor the imports are waited for again. It holds the ``NodeAgent`` that a node of
a Ray cluster has, too; the driver and it send each other messages by files of a folder that both
see. It ends by itself when the driver is gone.

This module imports nothing of submitit, whose process calls ``Pilot``.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from archfront.search.engine.jobs import Broken
from archfront.search.engine.message_file import Mailbox
from archfront.search.engine.node_agent import Item, NodeAgent
from archfront.search.engine.node_facts import NodeFacts, facts_of

# Files in the folder of a pilot, for messages to it and from it.
TO_PILOT, FROM_PILOT = "to_job", "from_job"
# The driver writes to its file, and a pilot sends something, at least so often.
BEAT_S = 5.0
# A pilot whose driver has not written for so long ends itself; docs/cluster.md names it.
SILENCE_S = 120.0
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)  # the last one is submitit's


@dataclass(frozen=True)
class Hello:
    """The first message of a pilot.

    Attributes:
        node: Name of its node.
        facts: What the node says of itself.
        left_s: Seconds until the queue ends it.
    """

    node: str
    facts: NodeFacts
    left_s: float


@dataclass(frozen=True)
class Leaving:
    """The last message of a pilot that was told to end, or could not begin.

    Attributes:
        reason: Why it ends, in words.
        is_fault: Whether it never began, so that the next one will hardly do better.
    """

    reason: str
    is_fault: bool = False


@dataclass(frozen=True)
class ToDo:
    """A message to a pilot: a job with its number."""

    number: int
    message: bytes


@dataclass(frozen=True)
class Stop:
    """The message to a pilot that there is nothing more to do."""


class _Ended(Exception):
    """A pilot that is told by a signal to end."""


@dataclass(frozen=True)
class Pilot:
    """What a job of the queue calls.

    Attributes:
        folder: Folder of its messages.
        driver: File to which the driver writes as long as it lives.
        start: The pickled ``Start`` of its workers; None where it only says what its node is.
        question: The pickled ``Question``.
        minutes: Wall minutes that it may run.
        pauses_s: Seconds between looks at its messages: where some come, and where none do.
        silence_s: Seconds without a sign of the driver after which it ends.
    """

    folder: str
    driver: str
    start: bytes | None
    question: bytes
    minutes: float
    pauses_s: tuple[float, float]
    silence_s: float = SILENCE_S

    def __call__(self) -> str:
        """Work until there is nothing to do; return why it ended."""
        began = time.time()
        sent = Path(self.folder, FROM_PILOT)
        if sent.stat().st_size:
            return "The queue started it a second time, when its driver had given it up."
        out = Mailbox(sent)
        for number in _ENDING:
            signal.signal(number, _end)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)  # of which submitit warns
        logging.getLogger("submitit").propagate = False  # it has a file of its own
        agent, has_begun = NodeAgent(), False
        try:
            out.send(pickle.dumps(self._hello(began)))
            if self.start is None:
                return "It has said what its node is."
            agent.start(self.start)
            has_begun = True
            return self._serve(agent, out)
        except _Ended as error:
            out.send(pickle.dumps(Leaving(str(error))))
            return str(error)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            out.send(pickle.dumps(Leaving(reason, is_fault=not has_begun)))
            raise
        finally:
            agent.close()

    def _hello(self, began: float) -> Hello:
        node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        until = os.environ.get("SLURM_JOB_END_TIME", "")  # since SLURM 23.02
        end = float(until) if until.isdecimal() else began + 60 * self.minutes
        return Hello(node, facts_of(pickle.loads(self.question)), end - time.time())

    def _serve(self, agent: NodeAgent, out: Mailbox) -> str:
        """Take jobs and pass on what becomes of them; return why that ended."""
        inbox, pulse = Mailbox(Path(self.folder, TO_PILOT)), Pulse(Path(self.driver))
        passing = _Passing(agent, out, pause_s=self.pauses_s[1], patience_s=self.silence_s)
        shortest, pause_s = self.pauses_s[0], self.pauses_s[0]
        passing.start()
        try:
            while True:
                messages = []
                with suppress(OSError):  # of a file server, which is asked again
                    messages = [pickle.loads(message) for message in inbox.receive()]
                for message in messages:
                    if isinstance(message, Stop):
                        return "There is nothing more to do."
                    agent.submit(message.number, message.message)
                if pulse.silent_s() > self.silence_s:
                    return f"Its driver gave no sign for {self.silence_s:g} s."
                if passing.problem:
                    return passing.problem
                pause_s = shortest if messages else min(2 * pause_s, self.pauses_s[1])
                time.sleep(pause_s)
        finally:
            passing.stop()


class Pulse:
    """The sign of life that the driver writes to a file.

    Args:
        file: The file; that it is not there is no sign.
        clock: Seconds of this machine: those of two machines are not compared.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._last = b""
        self._seen = self._looked = clock()

    def silent_s(self) -> float:
        """Return the seconds since the last sign."""
        now = self._clock()
        if now - self._looked >= BEAT_S or not self._last:
            self._looked = now
            try:
                content = self._file.read_bytes()
            except OSError:
                content = self._last
            if content != self._last:
                self._last, self._seen = content, now
        return now - self._seen


class _Passing(threading.Thread):
    """The thread that passes on what happens at an agent.

    Args:
        agent: The agent.
        out: Takes the messages.
        pause_s: Seconds before a message that could not be written is tried again.
        patience_s: Seconds of that after which it ends: the driver gives this job up then.

    Attributes:
        problem: Why it ended by itself; empty if it did not.
    """

    def __init__(
        self, agent: NodeAgent, out: Mailbox, *, pause_s: float, patience_s: float
    ) -> None:
        super().__init__(name="archfront-pilot", daemon=True)
        self.problem = ""
        self._agent, self._out = agent, out
        self._pause_s, self._patience_s = pause_s, patience_s
        self._lock = threading.Lock()  # held while something is sent
        self._is_stopped = False

    def run(self) -> None:
        """Pass on until stopped; send an empty list where nothing happens."""
        place, killed = 0, oom_kills()
        while True:
            items = self._agent.poll(place, BEAT_S)
            if (now := oom_kills()) > killed:
                items, killed = [_for_memory(item) for item in items], now
            if not self._is_sent(pickle.dumps(items)):
                return
            place = items[-1].place if items else place

    def _is_sent(self, message: bytes) -> bool:
        """Send a message, again while the file server is away; return whether that was done."""
        until = time.monotonic() + self._patience_s
        while True:
            with self._lock:
                if self._is_stopped:
                    return False
                try:
                    self._out.send(message)
                except OSError as error:
                    if time.monotonic() > until:
                        self.problem = f"It cannot write its messages: {error}"
                        return False
                else:
                    return True
            time.sleep(self._pause_s)

    def stop(self) -> None:
        """Send nothing more: what follows are workers that are ended on purpose."""
        with self._lock:
            self._is_stopped = True


def _end(number: int, frame: FrameType | None) -> None:
    raise _Ended(f"the queue told it to end ({signal.Signals(number).name})")


def _for_memory(item: Item) -> Item:
    """Return a result of a killed worker as one that was out of memory."""
    if item.tag != "result":
        return item
    result = pickle.loads(item.content)
    if not isinstance(result, Broken) or result.kind != "killed":
        return item
    message = (
        "The worker used more memory than the queue gave its job, and was killed. Give "
        "engine.memory_gb more."
    )
    result = replace(result, kind="out of memory", message=message)
    return replace(item, content=pickle.dumps(result))


def oom_kills(
    cgroups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int:
    """Return how many processes of this one's control group were killed for want of memory.

    Args:
        cgroups: The control groups of this process.
        root: Where their files are.
    """
    try:
        lines = cgroups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            file = root / path.lstrip("/") / "memory.events"
        elif "memory" in kinds.split(","):
            file = root / "memory" / path.lstrip("/") / "memory.oom_control"
        else:
            continue
        try:
            fields = dict(row.split() for row in file.read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):
            continue
        return int(fields.get("oom_kill", 0))
    return 0
