"""The instruments that measure a loaded network: its time, memory, energy and throughput."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Self

from archfront.search.errors import ExportError
from archfront.search.latency import clock, memory
from archfront.search.latency.energy import METERS, Meter, energy_per_image
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.pace import Pace
from archfront.search.runtimes import Runtime, Session

logger = logging.getLogger(__name__)

# A context in which no other work computes; it gives a function for blocks in which others may.
Shared = Callable[[], AbstractContextManager[None]]
Exclusive = Callable[[], AbstractContextManager[Shared]]

# Opening a larger file in a process of its own takes over 0.3 s (resnet50, 79 MB: 0.4), and
# OpenVINO's import and compilation take that for any.
CHEAP, CHEAP_MB = ("onnxruntime",), 60.0
# A batch of images takes long and averages by itself.
THROUGHPUT_EFFORT = clock.Effort(warmup=1, repeats=6, interval=0.05, max_seconds=3.0)


@contextmanager
def no_others() -> Iterator[Shared]:
    """Hold nothing off, where no other work computes beside a measurement."""
    yield nullcontext


@dataclass(frozen=True)
class SessionCosts:
    """The costs of running a loaded network.

    Attributes:
        timing: Time of a run.
        memory_mb: Peak memory; None if it was not measured.
        energy_mj: Energy of an image; None if it was not measured.
    """

    timing: clock.Timing
    memory_mb: float | None
    energy_mj: float | None


@dataclass(frozen=True)
class Instruments:
    """The instruments that measure a loaded network.

    Attributes:
        runtime: The runtime of the network.
        settings: How architectures are measured.
        pace: Shows whether the core is slowed.
        meter: Counter of the energy; None if the energy is not asked for.
        exclusive: Holds other work off within its block.
    """

    runtime: Runtime
    settings: MeasureSettings
    pace: Pace
    meter: Meter | None
    exclusive: Exclusive

    @classmethod
    def of(cls, runtime: Runtime, settings: MeasureSettings, exclusive: Exclusive) -> Self:
        """Return the instruments that the settings ask for.

        Raises:
            ConfigError: If the energy is asked for and cannot be read.
        """
        meter = METERS[runtime.runs_on]() if settings.measures_energy else None
        return cls(runtime, settings, pace_of(settings), meter, exclusive)

    def costs(self, session: Session, artifact: Path) -> SessionCosts:
        """Return the costs of a session; the memory is measured in the pauses of the clock.

        Args:
            session: The loaded network.
            artifact: The file that the session was loaded from.

        Raises:
            ExportError: If the memory is asked for and cannot be measured.
            ConfigError: If the counter of the energy does not move.
        """
        memory_mb = cache(partial(self._memory_mb, session, artifact))
        timing = self._timing(session, memory_mb)
        return SessionCosts(timing, memory_mb(), self._energy_mj(session))

    def throughput_ips(self, session: Session, batch: int) -> float:
        """Return the images per second of a session that takes batches of this size."""
        with self.exclusive():
            timing = clock.measure(session.run, THROUGHPUT_EFFORT, timer=session.timer)
        return batch / timing.p50_ms * 1e3

    def _timing(self, session: Session, meanwhile: Callable[[], object]) -> clock.Timing:
        """Return the time of a run; ``meanwhile`` is called in the pauses of the clock."""
        with self.exclusive() as shared:

            def pause(seconds: float) -> None:
                until = time.perf_counter() + seconds
                with shared():
                    meanwhile()
                    time.sleep(max(0.0, until - time.perf_counter()))

            return clock.measure(
                session.run,
                effort_of(self.settings),
                timer=session.timer,
                # A GPU is not slowed by what slows a core.
                pace=self.pace if self.runtime.runs_on == "cpu" else None,
                pause=pause,
            )

    def _memory_mb(self, session: Session, artifact: Path) -> float | None:
        """Return the peak memory; None if measuring it takes long and it is not asked for."""
        runtime, settings = self.runtime, self.settings
        if session.device_memory_mb is not None:
            return session.device_memory_mb
        if runtime.name not in memory.OPENERS:
            return memory.allocated_mb(session.run) + session.size_mb
        is_cheap = runtime.name in CHEAP and session.size_mb <= CHEAP_MB
        if not settings.measures_memory and not is_cheap:
            return None
        try:
            return memory.artifact_mb(runtime.name, artifact, settings.threads, settings.precision)
        except ExportError as error:
            if settings.measures_memory:
                raise
            logger.warning("The memory was not measured. %s", error)
            return None

    def _energy_mj(self, session: Session) -> float | None:
        if self.meter is None:
            return None
        with self.exclusive():
            return energy_per_image(session.run, self.meter, images=self.settings.batch_size)


def effort_of(settings: MeasureSettings) -> clock.Effort:
    """Return the effort of one timing."""
    return clock.Effort(settings.warmup, settings.repeats, settings.interval, settings.max_seconds)


def pace_of(settings: MeasureSettings) -> Pace:
    """Return the reader of the core's pace, which shares the file of the settings."""
    return Pace(file=None if settings.pace_file is None else Path(settings.pace_file))
