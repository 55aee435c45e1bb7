"""A virtual clock that the work of a driver moves on, and an engine that takes its time."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from heapq import heappop, heappush
from typing import Any, ClassVar

import numpy as np

from archfront.search.engine.jobs import (
    ClosedByBlock,
    Done,
    Job,
    OnEvent,
    Perform,
    Result,
    finished,
)

# What is not told apart.
REST = "rest"


class VirtualClock:
    """Seconds that go on by the processor time of this process, by waits, and by jumps.

    Attributes:
        waited_s: Seconds of waits for the disk, in which the driver does nothing else.
        idle_s: Seconds that were jumped over, in which the driver had nothing to do.
        parts: Processor seconds and waits by what they were spent on.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._offset = start - time.process_time()
        self.waited_s = self.idle_s = 0.0
        self.parts: dict[str, float] = defaultdict(float)
        self._open, self._since = [REST], time.process_time()

    def __call__(self) -> float:
        """Return the seconds since the epoch of this clock."""
        return self._offset + time.process_time()

    def wait(self, seconds: float) -> None:
        """Let the driver wait."""
        self._offset += seconds
        self.waited_s += seconds
        self.parts[self._open[-1]] += seconds

    def jump(self, moment: float) -> None:
        """Go on to a moment, unless it is over."""
        seconds = max(0.0, moment - self())
        self._offset += seconds
        self.idle_s += seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the processor time of a block as spent on something, without blocks within."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose time is counted as spent on something."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return call

    def spent(self) -> dict[str, float]:
        """Return the seconds that each part took so far."""
        self._switch()
        return dict(self.parts)

    def _switch(self) -> None:
        now = time.process_time()
        self.parts[self._open[-1]] += now - self._since
        self._since = now


@dataclass(frozen=True)
class Begun:
    """The begin of a training.

    Attributes:
        at: The clock.
        waited_s: Seconds since its worker had become free.
        idle_s: Seconds that the driver had nothing to do until then.
    """

    at: float
    waited_s: float
    idle_s: float


class MadeUpEngine(ClosedByBlock):
    """The engine of workers that take drawn seconds for a training, and none for other jobs.

    Args:
        perform: Gives the result of a job.
        workers: Trainings at a time.
        clock: The clock on which they end.
        median_s: Median of the seconds, which are lognormal.
        spread: Standard deviation of their logarithm.
        seed: Of the draws.

    Attributes:
        begun: The trainings in the order in which they began.
    """

    isolates: ClassVar[bool] = True

    def __init__(
        self,
        perform: Perform,
        *,
        workers: int,
        clock: VirtualClock,
        median_s: float,
        spread: float,
        seed: int = 0,
    ) -> None:
        self.n_slots, self._perform, self._clock = workers, perform, clock
        self._median_s, self._spread = median_s, spread
        self._rng = np.random.default_rng([seed, 3])
        self._ends: list[tuple[float, int, Future[Result], Done]] = []
        self._free: deque[float] = deque()
        self.begun: list[Begun] = []

    def start(self) -> None:
        """Let all workers be free from now on."""
        self._free.extend([self._clock()] * self.n_slots)

    def submit(self, job: Job, on_event: OnEvent | None = None) -> Future[Result]:
        """Begin a training on a free worker, or do another job at once."""
        value = self._perform(job)
        if job.kind != "train":
            return finished(Done(value, 0.0))
        now = self._clock()
        self.begun.append(Begun(now, now - self._free.popleft(), self._clock.idle_s))
        seconds = self._median_s * float(np.exp(self._spread * self._rng.standard_normal()))
        future: Future[Result] = Future()
        heappush(self._ends, (now + seconds, len(self.begun), future, Done(value, seconds)))
        return future

    def end_due(self) -> None:
        """End what is due; where nothing is, let the clock go on until something is."""
        if self._ends and self._ends[0][0] > self._clock():
            self._clock.jump(self._ends[0][0])
        while self._ends and self._ends[0][0] <= self._clock():
            end, _, future, done = heappop(self._ends)
            self._free.append(end)
            future.set_result(done)

    def close(self) -> None:
        """Nothing runs."""
