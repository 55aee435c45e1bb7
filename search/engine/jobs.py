"""Jobs, their results, and the protocol of an engine that runs them."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Literal, Protocol, Self

from archfront.search.records.failure_kinds import FailureKind

logger = logging.getLogger(__name__)

JobKind = Literal["measure", "train", "fold", "score", "draw", "steps", "weights"]


@dataclass(frozen=True)
class Job:
    """One piece of work for a worker.

    Attributes:
        kind: Key of ``search.jobs.perform.JOBS``, the function that performs it.
        payload: The function's one argument; a frozen dataclass that pickles.
        is_exclusive: It runs on all cores, one such job at a time, and nothing else computes in
            its ``exclusive()`` blocks (``search.engine.worker``), like those of a measurement.
        timeout_s: Seconds of its own running time after which it is killed; None for no limit.
        timeout_text: What sets this limit and what to do about it, the end of the message of a
            job that was killed after it.
    """

    kind: JobKind
    payload: Any
    is_exclusive: bool = False
    timeout_s: float | None = None
    timeout_text: str = "its limit."


@dataclass(frozen=True)
class Done:
    """The result of a job that ended well.

    Attributes:
        value: What it returned.
        seconds: Its running time without pauses.
        node: Name of the cluster's node that it ran on; None on this machine.
    """

    value: Any
    seconds: float
    node: str | None = None


@dataclass(frozen=True)
class Broken:
    """The result of a job that failed: an exception, a dead worker or a timeout, in words.

    Attributes:
        kind: What failed.
        message: The same for people.
        seconds: Running time of the job without pauses.
        node: Name of the cluster's node that it ran on; None on this machine.
        is_lost: Whether the machine that it ran on was lost or taken away, which says nothing of
            the job.
    """

    kind: FailureKind
    message: str
    seconds: float
    node: str | None = None
    is_lost: bool = False


Result = Done | Broken
Perform = Callable[[Job], Any]
OnEvent = Callable[[Any], None]

CLOSED = Broken("crash", "The engine was closed before the job came to its end.", 0.0)


def finished(result: Result) -> Future[Result]:
    """Return a future that has its result already."""
    future: Future[Result] = Future()
    future.set_result(result)
    return future


def notify(on_event: OnEvent, event: Any) -> None:
    """Call the listener of an event; an exception of the listener is only logged."""
    try:
        on_event(event)
    except Exception:
        logger.exception("A listener to a job's events failed.")


class Engine(Protocol):
    """An engine, which runs jobs; ``submit`` never raises an exception of a job.

    Attributes:
        isolates: Whether a job that crashes or hangs harms nothing but itself.
        n_slots: Jobs that run at a time; more of them wait in the order submitted. It changes
            where nodes of a cluster come and go.
    """

    isolates: ClassVar[bool]

    @property
    def n_slots(self) -> int:
        """Return the jobs that run at a time."""

    def __init__(
        self,
        perform: Perform,
        *,
        workers: int,
        threads: int | None,
        imports: tuple[str, ...] = (),
        exclusive_imports: tuple[str, ...] = (),
    ) -> None:
        """Make an engine whose workers call ``perform``, a function of an importable module.

        Args:
            perform: What does a job; its return value comes back in ``Done``.
            workers: Jobs at a time; on one node where there are several.
            threads: Threads of one job; None for this machine's cores over ``workers``.
            imports: Modules that jobs need and that take long to import. An engine with workers
                imports them before there is a job.
            exclusive_imports: The same for exclusive jobs.
        """

    def submit(self, job: Job, on_event: OnEvent | None = None) -> Future[Result]:
        """Queue a job; its future gives ``Done`` or ``Broken``, never an exception.

        Args:
            job: What to do.
            on_event: Called with whatever the job emits (``search.engine.worker.emit``), in
                order and before the future is done, perhaps on another thread. It should
                return soon; what it raises is logged and goes no further.
        """

    def close(self) -> None:
        """Stop at once: running jobs are ended, waiting ones dropped, both ``Broken``."""

    def __enter__(self) -> Self:
        """Return the engine, which is closed at the end of the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the engine."""


class ClosedByBlock(ABC):
    """What engines have in common: a ``with`` block closes them at its end."""

    @abstractmethod
    def close(self) -> None:
        """Stop at once; repeatable."""

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the engine."""
        self.close()
