"""The clock: how long one step takes, measured so that it comes out the same tomorrow.

A single unwarmed run is off by far more than two architectures differ, so:

- warm-up goes on until the step no longer gets faster (within bounds);
- the garbage collector is off while timing;
- the result is the median of many repeats, which a few interruptions cannot move;
- a measurement counts as stable when the two halves of its repeats agree and a fixed reference
  kernel, timed before and after, took as long both times. One that is not is made again.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

Step = Callable[[], object]

# Medians of repeated runs on a quiet 2-core machine differ by 1 to 2 %.
TOLERANCE = 0.05
# A step of 0.2 ms gives its median over 10 ms with 50 repeats, less than one burst of another
# process: the repeats of a sitting go on until they span this long.
MIN_TIMED_S = 0.08
MAX_WARMUP_S = 2.0
# A disturbed measurement that took longer than this is not made again.
MAX_RETRY_S = 10.0
# Sittings of one measurement, and seconds between them.
MIN_SITTINGS, MAX_SITTINGS, GAP_S = 3, 8, 0.25
# Undisturbed medians of one process differ by about 1 %.
AGREEMENT = 0.03
MIN_WINDOW = 5
REFERENCE_REPEATS = 9


@dataclass(frozen=True)
class Timing:
    """The time of one step.

    Attributes:
        p50_ms: Median of the repeats.
        p95_ms: 95th percentile of the repeats.
        spread: Interquartile range over the median.
        repeats: Timed runs of the attempt that was kept.
        warmup: Runs before them, in that attempt.
        is_stable: Whether the halves of the repeats agree and the reference did not drift.
        drift: Relative change of the reference kernel from before to after.
        attempts: How often the measurement was made.
    """

    p50_ms: float
    p95_ms: float
    spread: float
    repeats: int
    warmup: int
    is_stable: bool
    drift: float
    attempts: int = 1


def measure(
    step: Step,
    *,
    warmup: int = 10,
    repeats: int = 50,
    attempts: int = 3,
    clock: Callable[[], float] = time.perf_counter,
    reference: Step | None = None,
) -> Timing:
    """Return the time of a step, which returns only when its work is done.

    A disturbed measurement is made again, up to ``attempts`` in all. The first stable one is
    kept; if none is, the one with the lowest median, since a disturbance can only slow a step.

    Args:
        step: What is timed; a device that works asynchronously is synchronized inside it.
        warmup: Runs before the first timed one, at least.
        repeats: Timed runs, at least; short steps are repeated until they span
            ``MIN_TIMED_S``.
        attempts: Measurements at most, 1 or more.
        clock: Seconds from any fixed point.
        reference: Fixed work timed before and after; ``reference_kernel()`` if None.

    Raises:
        ValueError: If ``repeats`` or ``attempts`` is under 1 or ``warmup`` negative.
    """
    if repeats < 1 or attempts < 1 or warmup < 0:
        msg = f"{repeats=} and {attempts=} must be at least 1, {warmup=} at least 0."
        raise ValueError(msg)
    reference = reference or reference_kernel()
    made: list[Timing] = []
    with _collector_off():
        while len(made) < attempts:
            started = clock()
            made.append(_attempt(step, warmup, repeats, clock, reference))
            if made[-1].is_stable or clock() - started > MAX_RETRY_S:
                break
    # Only the last can be stable.
    kept = made[-1] if made[-1].is_stable else min(made, key=lambda timing: timing.p50_ms)
    return replace(kept, attempts=len(made))


def measure_apart(
    step: Step,
    *,
    warmup: int = 10,
    repeats: int = 50,
    clock: Callable[[], float] = time.perf_counter,
    reference: Step | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> Timing:
    """Return the time of a step from measurements that lie apart in time.

    A neighbor on the same host slows a core for tenths of seconds to seconds, evenly, so that
    one measurement cannot see it. So at least ``MIN_SITTINGS`` are made, ``GAP_S`` apart, until
    the two lowest medians agree; the lowest is kept, since a disturbance can only slow a step.
    It is stable when it agrees with another and is stable by itself.

    Args:
        step: What is timed.
        warmup: Runs before the first timed one of each sitting, at least.
        repeats: Timed runs of each sitting, at least.
        clock: Seconds from any fixed point.
        reference: As in ``measure``.
        pause: Waits so many seconds.
    """
    reference = reference or reference_kernel()
    started = clock()
    made: list[Timing] = []
    while len(made) < MAX_SITTINGS and (not made or clock() - started < MAX_RETRY_S):
        if made:
            pause(GAP_S)
        made.append(
            measure(
                step,
                warmup=warmup,
                repeats=repeats,
                attempts=1,
                clock=clock,
                reference=reference,
            )
        )
        if len(made) >= MIN_SITTINGS and _lowest_agree(made):
            break
    kept = min(made, key=lambda timing: timing.p50_ms)
    is_confirmed = len(made) == 1 or _lowest_agree(made)
    return replace(kept, attempts=len(made), is_stable=kept.is_stable and is_confirmed)


def _lowest_agree(made: list[Timing]) -> bool:
    lowest = sorted(timing.p50_ms for timing in made)[:2]
    return len(lowest) == 2 and lowest[1] / lowest[0] - 1 <= AGREEMENT


def reference_kernel() -> Step:
    """Return a fixed piece of work of about a millisecond on one thread."""
    # 32 KB: it stays in the first cache, so that it feels the processor and not the memory.
    values = np.linspace(0.1, 1.0, 4096)
    scratch = np.empty_like(values)

    def kernel() -> None:
        for _ in range(30):
            np.sin(values, out=scratch)

    return kernel


def _attempt(
    step: Step,
    warmup: int,
    repeats: int,
    clock: Callable[[], float],
    reference: Step,
) -> Timing:
    warmed = _warm_up(step, warmup, clock)
    before = _median_of(reference, clock)
    seconds: list[float] = []
    spent = 0.0
    while len(seconds) < repeats or spent < MIN_TIMED_S:
        seconds.append(_seconds(step, clock))
        spent += seconds[-1]
    drift = _median_of(reference, clock) / before - 1
    times = np.array(seconds)
    low, p50, high, p95 = np.percentile(times, (25, 50, 75, 95))
    return Timing(
        p50_ms=float(p50) * 1e3,
        p95_ms=float(p95) * 1e3,
        spread=float((high - low) / p50),
        repeats=len(seconds),
        warmup=warmed,
        is_stable=_halves_agree(times) and abs(drift) <= TOLERANCE,
        drift=float(drift),
    )


def _warm_up(step: Step, warmup: int, clock: Callable[[], float]) -> int:
    """Run the step until a window of runs is no faster than the one before; return how often."""
    window = max(warmup, MIN_WINDOW)
    started = clock()
    previous = float(np.median([_seconds(step, clock) for _ in range(window)]))
    n_runs = window
    while clock() - started < MAX_WARMUP_S:
        latest = float(np.median([_seconds(step, clock) for _ in range(window)]))
        n_runs += window
        if latest >= previous * (1 - TOLERANCE):
            break
        previous = latest
    return n_runs


def _halves_agree(times: np.ndarray) -> bool:
    if len(times) < 2:
        return False
    first, second = np.array_split(times, 2)
    return bool(abs(np.median(first) / np.median(second) - 1) <= TOLERANCE)


def _median_of(reference: Step, clock: Callable[[], float]) -> float:
    reference()
    return float(np.median([_seconds(reference, clock) for _ in range(REFERENCE_REPEATS)]))


def _seconds(step: Step, clock: Callable[[], float]) -> float:
    started = clock()
    step()
    return clock() - started


@contextmanager
def _collector_off() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
