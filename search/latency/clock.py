"""The clock: the time of one step, measured so that it comes out the same tomorrow.

A single unwarmed run is off by far more than two architectures differ, so:

- warm-up goes on until the step no longer gets faster (within bounds);
- the garbage collector is off while timing;
- the step is timed in sittings that lie apart in time, since a neighbor slows a core evenly for
  tenths of seconds to seconds, and two sittings have to agree;
- a sitting in which anything interfered is not believed: its halves differ, its threads waited
  for a core, or a fixed reference kernel (``pace.py``) took longer after it than before, or longer
  than it ever did;
- repeats go on until the confidence interval of the median is narrow enough, or time is up.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from archfront.search.latency.pace import MAX_WAITED, Pace, Reading, Step
from archfront.trainers.threads import collector_off

# Runs the step once and returns its seconds.
StepTimer = Callable[[], float]
Clock = Callable[[], float]

# Halves of an undisturbed sitting differ by 1 to 2 %.
TOLERANCE = 0.05
# Two medians of the reference kernel on a quiet machine differ by up to 5 %.
MAX_DRIFT = 0.1
# Undisturbed medians of one process differ by about 1 %.
AGREEMENT = 0.03
# A step of 0.2 ms gives its median over 10 ms with 50 repeats, less than one burst of another
# process: the repeats of a sitting go on until they span this long.
MIN_TIMED_S = 0.08
# Of fewer runs than six, even the smallest and the largest are no 95 % interval.
MIN_SITTING, MIN_RUNS = 6, 3
MIN_WINDOW = 3
# Sittings of one measurement, seconds between them, and untimed runs after that pause.
MIN_SITTINGS, MAX_SITTINGS, GAP_S, REWARM = 2, 12, 0.3, 2
# Shares of the seconds allowed: for the warm-up, for one sitting, and to wait for a quiet moment.
WARMUP_SHARE, SITTING_SHARE, PATIENCE_SHARE = 0.25, 0.25, 0.4
QUIET_POLL_S = 0.1
CONFIDENCE, NORMAL_QUANTILE = 0.95, 1.96


@dataclass(frozen=True)
class Effort:
    """The effort of one timing.

    Attributes:
        warmup: Runs before the first timed one, at least.
        repeats: Timed runs, at least.
        interval: Half the confidence interval of the median, over the median, to reach.
        max_seconds: After this long the timing ends with what it has; a step of many seconds is
            still run a few times.
    """

    warmup: int = 3
    repeats: int = 12
    interval: float = 0.02
    max_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: If one of them is not above zero; ``warmup`` may be zero.
        """
        if self.repeats < 1 or self.warmup < 0 or self.interval <= 0 or self.max_seconds <= 0:
            raise ValueError(f"all must be above 0, but warmup may be 0; got {self}.")


@dataclass(frozen=True)
class Timing:
    """The time of one step.

    Attributes:
        p50_ms: Median of the repeats.
        p95_ms: 95th percentile of the repeats.
        spread: Interquartile range over the median.
        repeats: Timed runs that were kept.
        warmup: Untimed runs before them.
        is_stable: Whether the interval was reached by sittings that agree and in which nothing
            interfered.
        interval: Half the 95 % confidence interval of the median, over the median; None of fewer
            than six runs, which have none.
        drift: Largest relative change of the reference kernel from before a kept sitting to after
            it; None without one.
        attempts: Sittings made.
    """

    p50_ms: float
    p95_ms: float
    spread: float
    repeats: int
    warmup: int
    is_stable: bool
    interval: float | None
    drift: float | None
    attempts: int


def measure(
    step: Step,
    effort: Effort | None = None,
    *,
    timer: StepTimer | None = None,
    pace: Pace | None = None,
    clock: Clock = time.perf_counter,
    pause: Callable[[float], object] = time.sleep,
) -> Timing:
    """Return the time of a step, which returns only when its work is done.

    Sittings are made until two of them agree, are believed, and together give the interval. Of
    all sittings those near the lowest median are kept, since a disturbance can only slow a step.
    Where the reference kernel shows that the core is slowed, a quiet moment is waited for first.

    Args:
        step: What is timed.
        effort: The effort of the timing.
        timer: Runs the step once and returns its seconds, where the device has a clock of its
            own; the wall clock if None.
        pace: Shows whether the core is slowed; None where the step does not run on one.
        clock: Seconds from any fixed point.
        pause: Waits the given seconds, or longer; other work may go on meanwhile.
    """
    effort = effort or Effort()
    stopwatch = timer or (lambda: _seconds(step, clock))
    started = clock()
    with collector_off():
        warmed = _warm_up(stopwatch, effort, clock)
        sittings: list[_Sitting] = []
        while not _is_enough(sittings, effort, pace, clock() - started):
            if sittings:
                until = clock() + GAP_S
                pause(GAP_S)
                started += max(0.0, clock() - until)  # what else was done in it is not timed
            before = _quiet_moment(pace, started, effort, clock, pause)
            for _ in range(REWARM if sittings else 0):
                stopwatch()
                warmed += 1
            waited, began = pace.waiting() if pace else 0.0, clock()
            times = _sit(stopwatch, effort, started, clock)
            share = (pace.waiting() - waited) / (clock() - began) if pace else 0.0
            sittings.append(_Sitting(times, share, before, pace.read() if pace else None))
    return _timing(sittings, effort, pace, warmed)


def median_interval(times: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return a 95 % confidence interval of the median, whatever the distribution.

    Its ends are two of the values, so that nothing is assumed but that they are independent;
    runs of one sitting are not quite, which is why sittings have to agree as well.

    Source: Le Boudec 2010 (Performance Evaluation of Computer and Communication Systems),
    theorem 2.1 and, above 70 values, its normal approximation.

    Returns:
        The lower and the upper end; None of fewer than six values, which have none.
    """
    rank = _lower_rank(len(times))
    if rank is None:
        return None
    ordered = np.sort(times)
    return float(ordered[rank]), float(ordered[len(times) - 1 - rank])


@lru_cache(maxsize=256)
def _lower_rank(n: int) -> int | None:
    """Return the index, from zero, of the ordered value that the interval of ``n`` begins at."""
    if n > 70:
        return max(0, math.floor((n - NORMAL_QUANTILE * math.sqrt(n)) / 2) - 1)
    outside, rank = 0, None
    for k in range(n // 2):
        # P(fewer than k + 1 of n values lie below the median), and the same above.
        outside += 2 * math.comb(n, k)
        if outside > (1 - CONFIDENCE) * 2**n:
            break
        rank = k
    return rank


@dataclass(frozen=True)
class _Sitting:
    """Times of the step in a row, and the readings that show whether anything interfered.

    Attributes:
        times: Seconds of each run.
        waited: Share of the time in which a thread waited for a core.
        before: Reading of the reference kernel before; None without one.
        after: Reading of the reference kernel after.
    """

    times: NDArray[np.float64]
    waited: float
    before: Reading | None
    after: Reading | None

    @property
    def median(self) -> float:
        return float(np.median(self.times))

    @property
    def drift(self) -> float | None:
        if self.before is None or self.after is None:
            return None
        return self.after.seconds / self.before.seconds - 1

    def is_believed(self, pace: Pace | None) -> bool:
        """Return whether nothing interfered, by the fastest pace seen so far."""
        first, second = np.array_split(self.times, 2)
        if abs(np.median(first) / np.median(second) - 1) > TOLERANCE or self.waited > MAX_WAITED:
            return False
        if pace is None or self.before is None or self.after is None:
            return True
        is_slowed = pace.is_slowed(self.before) or pace.is_slowed(self.after)
        return not is_slowed and abs(self.drift or 0.0) <= MAX_DRIFT


def _is_enough(
    sittings: list[_Sitting], effort: Effort, pace: Pace | None, elapsed: float
) -> bool:
    if not sittings:
        return False
    if len(sittings) >= MAX_SITTINGS or elapsed >= effort.max_seconds:
        return True
    # A core that stays slowed is not waited for for ever: what agrees is then taken.
    is_patient = elapsed < effort.max_seconds * PATIENCE_SHARE
    near = _near_lowest(sittings)
    kept = [s for s in near if s.is_believed(pace)] if is_patient else near
    return len(kept) >= MIN_SITTINGS and _is_narrow(_pool(kept), effort)


def _near_lowest(sittings: list[_Sitting]) -> list[_Sitting]:
    lowest = min(sitting.median for sitting in sittings)
    return [sitting for sitting in sittings if sitting.median <= lowest * (1 + AGREEMENT)]


def _timing(sittings: list[_Sitting], effort: Effort, pace: Pace | None, warmed: int) -> Timing:
    near = _near_lowest(sittings)
    believed = [sitting for sitting in near if sitting.is_believed(pace)]
    kept = believed or near
    times = _pool(kept)
    low, p50, high, p95 = (float(q) for q in np.percentile(times, (25, 50, 75, 95)))
    drifts = [sitting.drift for sitting in kept if sitting.drift is not None]
    return Timing(
        p50_ms=p50 * 1e3,
        p95_ms=p95 * 1e3,
        spread=(high - low) / p50,
        repeats=len(times),
        warmup=warmed,
        is_stable=len(believed) >= MIN_SITTINGS and _is_narrow(times, effort),
        interval=_half_width(times),
        drift=max(drifts, key=abs, default=None),
        attempts=len(sittings),
    )


def _pool(sittings: list[_Sitting]) -> NDArray[np.float64]:
    return np.concatenate([sitting.times for sitting in sittings])


def _half_width(times: NDArray[np.float64]) -> float | None:
    """Return half the interval of the median over the median."""
    ends = median_interval(times)
    return None if ends is None else (ends[1] - ends[0]) / 2 / float(np.median(times))


def _is_narrow(times: NDArray[np.float64], effort: Effort) -> bool:
    half = _half_width(times)
    return half is not None and half <= effort.interval


def _quiet_moment(
    pace: Pace | None,
    started: float,
    effort: Effort,
    clock: Clock,
    pause: Callable[[float], object],
) -> Reading | None:
    """Wait until the core is not slowed, or patience ends; return the last reading."""
    if pace is None:
        return None
    reading = pace.read()
    while pace.is_slowed(reading) and clock() - started < effort.max_seconds * PATIENCE_SHARE:
        pause(QUIET_POLL_S)
        reading = pace.read()
    return reading


def _sit(
    stopwatch: StepTimer, effort: Effort, started: float, clock: Clock
) -> NDArray[np.float64]:
    """Return the seconds of runs in a row: enough for the interval, or until time is up."""
    until = min(started + effort.max_seconds, clock() + effort.max_seconds * SITTING_SHARE)
    seconds: list[float] = []
    spent = 0.0
    wanted = max(MIN_SITTING, math.ceil(effort.repeats / MIN_SITTINGS))
    while True:
        while len(seconds) < wanted or spent < MIN_TIMED_S:
            if len(seconds) >= MIN_RUNS and clock() >= until:
                return np.array(seconds)
            seconds.append(stopwatch())
            spent += seconds[-1]
        if _is_narrow(np.array(seconds), effort):
            return np.array(seconds)
        # Looked at now and then only: sorting beside the step would cool its caches.
        wanted = len(seconds) + max(MIN_SITTING, len(seconds) // 2)


def _warm_up(stopwatch: StepTimer, effort: Effort, clock: Clock) -> int:
    """Run until a window of runs is no faster than the one before; return the number of runs."""
    window = max(effort.warmup, MIN_WINDOW)
    until = clock() + effort.max_seconds * WARMUP_SHARE
    n_runs, previous = 0, math.inf
    while True:
        seconds: list[float] = []
        while len(seconds) < window and not (seconds and clock() >= until):
            seconds.append(stopwatch())
        n_runs += len(seconds)
        latest = float(np.median(seconds))
        if latest >= previous * (1 - TOLERANCE) or clock() >= until:
            return n_runs
        previous = latest


def _seconds(step: Step, clock: Clock) -> float:
    started = clock()
    step()
    return clock() - started
