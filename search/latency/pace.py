"""The pace of the core at a moment, by the time of a fixed piece of work.

A neighbor on the same host slows a core evenly for tenths of seconds to seconds. A step timed
meanwhile looks steady, so nothing in its own times shows it; but the fixed kernel takes longer
than it was seen to take before. The fastest time seen is kept for this process and, where a file
is given, for the processes after it.

Another process of this machine takes turns on the core, each longer than the kernel, whose median
run shows nothing of it; but Linux says how long threads waited for their turn.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np

Step = Callable[[], object]

# On a quiet virtual machine nine of ten medians of the kernel lie within 12 % of the fastest, half
# of them over 8 %; an SMT neighbor makes them 1.2 to 1.8 times as long (benchmarks/LOG.md, "The
# latency clock").
SLOWED = 1.15
# A median of nine runs of a millisecond passes over interruptions.
KERNEL_RUNS = 9
# Sines of the kernel: about a millisecond of work.
KERNEL_STEPS = 30
# The fastest time is forgotten after this long: a laptop that has become hot, or another
# governor, is not a neighbor to be waited out.
FORGET_S = 600.0
# Share of the time that threads may wait for a core: a quiet machine has under 0.5 %, one other
# busy process on the same core makes it half.
MAX_WAITED = 0.03


@dataclass(frozen=True)
class Reading:
    """The pace of the core at a moment.

    Attributes:
        seconds: Median of the kernel.
        waited: Share of the reading's time in which a thread waited for a core.
    """

    seconds: float
    waited: float


class Pace:
    """The pace of the core: times a fixed kernel and remembers the fastest time.

    Args:
        kernel: The fixed work; ``reference_kernel()`` if None.
        clock: Seconds from any fixed point.
        file: Where the fastest time is kept for later processes; None: nowhere. A file that
            cannot be read or written is as good as none.
        now: Seconds since the epoch.
        waiting: Seconds that this process has waited for a core so far.

    Attributes:
        fastest: Seconds of the fastest reading; infinite before the first.
    """

    def __init__(
        self,
        kernel: Step | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        file: Path | None = None,
        now: Callable[[], float] = time.time,
        waiting: Callable[[], float] | None = None,
    ) -> None:
        self._kernel = kernel or reference_kernel()
        self._clock = clock
        self._file = file
        self._now = now
        self.waiting = waiting or waiting_s
        self._seen_at = now()
        self.fastest = float("inf")
        self._recall()

    def read(self) -> Reading:
        """Return the pace of the core now, from about 10 ms of work."""
        self._kernel()
        waited, began = self.waiting(), self._clock()
        seconds = []
        for _ in range(KERNEL_RUNS):
            started = self._clock()
            self._kernel()
            seconds.append(self._clock() - started)
        span = self._clock() - began
        median = float(np.median(seconds))
        is_old = self._now() - self._seen_at > FORGET_S
        if median < self.fastest or is_old:
            self.fastest, self._seen_at = median, self._now()
            self._remember()
        return Reading(median, (self.waiting() - waited) / span)

    def is_slowed(self, reading: Reading) -> bool:
        """Return whether a reading is far from the fastest that was seen, or had to wait."""
        return reading.seconds > self.fastest * SLOWED or reading.waited > MAX_WAITED

    def _recall(self) -> None:
        if self._file is None:
            return
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            if self._now() - float(kept["at"]) <= FORGET_S:
                self.fastest, self._seen_at = float(kept["seconds"]), float(kept["at"])

    def _remember(self) -> None:
        if self._file is None:
            return
        text = json.dumps({"seconds": self.fastest, "at": self._seen_at})
        # Written to a file beside it and moved, so that another process never reads half of it.
        beside = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, self._file)


def waiting_s() -> float:
    """Return the seconds that the threads of this process have waited for a core so far.

    Zero where the system does not say: only Linux does.
    """
    total = 0
    for task in glob("/proc/self/task/*/schedstat"):
        # See Documentation/scheduler/sched-stats: the second number is the time on a run queue.
        with suppress(OSError, ValueError, IndexError):
            total += int(Path(task).read_text().split()[1])
    return total / 1e9


def reference_kernel() -> Step:
    """Return a fixed piece of work of about a millisecond on one thread."""
    # 32 KB: it stays in the first cache, so that it feels the processor and not the memory.
    values = np.linspace(0.1, 1.0, 4096)
    scratch = np.empty_like(values)

    def kernel() -> None:
        for _ in range(KERNEL_STEPS):
            np.sin(values, out=scratch)

    return kernel
