"""The clock, driven by time that a test scripts."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from itertools import chain, repeat

import numpy as np
import pytest

from archfront.search.latency import clock
from archfront.search.latency.clock import (
    AGREEMENT,
    GAP_S,
    MAX_SITTINGS,
    MIN_RUNS,
    MIN_SITTINGS,
    MIN_TIMED_S,
    MIN_WINDOW,
    PATIENCE_SHARE,
    REWARM,
    Effort,
    Timing,
    measure,
)
from archfront.search.latency.pace import SLOWED, Pace


@pytest.fixture(autouse=True)
def _pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause between the sittings and wait for a quiet moment, which other tests do not."""
    monkeypatch.setattr(clock, "GAP_S", GAP_S)
    monkeypatch.setattr(clock, "PATIENCE_SHARE", PATIENCE_SHARE)


class ScriptedTime:
    """A clock that moves only when a step, the kernel or a pause does, each by its duration."""

    def __init__(self, steps: Iterator[float], kernel: Iterator[float] | None = None) -> None:
        self.now = 0.0
        self.n_steps = 0
        self.waited_s = 0.0
        self.waits: list[float] = []
        self._steps = steps
        self._kernel = kernel or repeat(0.001)

    def clock(self) -> float:
        return self.now

    def step(self) -> None:
        self.n_steps += 1
        self.now += next(self._steps)

    def kernel(self) -> None:
        self.now += next(self._kernel)

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def pace(self) -> Pace:
        return Pace(self.kernel, clock=self.clock, now=self.clock, waiting=lambda: self.waited_s)

    def measure(self, *, pace: Pace | None = None, **effort: float) -> Timing:
        return measure(
            self.step,
            Effort(**effort),
            pace=pace or self.pace(),
            clock=self.clock,
            pause=self.pause,
        )


def steady(seconds: float) -> Iterator[float]:
    return repeat(seconds)


def test_a_steady_step_has_its_duration_as_both_percentiles_and_no_spread() -> None:
    script = ScriptedTime(steady(0.010))
    timing = script.measure(warmup=5, repeats=20)
    assert timing.p50_ms == pytest.approx(10.0)
    assert timing.p95_ms == pytest.approx(10.0)
    assert timing.spread == pytest.approx(0.0, abs=1e-9)
    assert timing.interval == pytest.approx(0.0, abs=1e-9)
    assert timing.drift == pytest.approx(0.0, abs=1e-9)
    assert timing.is_stable
    assert timing.attempts == MIN_SITTINGS
    assert timing.repeats == 20
    assert script.waits == [GAP_S] * (MIN_SITTINGS - 1)


def test_percentiles_are_those_of_the_timed_runs_only() -> None:
    durations = [0.010 + 0.00002 * k for k in range(20)]
    shuffled = [durations[(7 * k) % 20] for k in range(20)]
    script = ScriptedTime(chain([5.0] * 6, shuffled[:10], [5.0] * REWARM, shuffled[10:]))
    timing = script.measure(warmup=3, repeats=20, max_seconds=1000)
    low, p50, high, p95 = np.percentile(durations, (25, 50, 75, 95))
    assert timing.warmup == 6 + REWARM
    assert timing.p50_ms == pytest.approx(p50 * 1e3)
    assert timing.p95_ms == pytest.approx(p95 * 1e3)
    assert timing.spread == pytest.approx((high - low) / p50)
    ordered = sorted(durations)
    assert timing.interval == pytest.approx((ordered[14] - ordered[5]) / 2 / p50)


def test_warm_up_goes_on_while_the_step_gets_faster() -> None:
    # Windows of 5: 40 ms, 20 ms, 10 ms and 10 ms again, which ends it.
    warming = [0.040] * 5 + [0.020] * 5 + [0.010] * 5
    timing = ScriptedTime(chain(warming, steady(0.010))).measure(warmup=5)
    assert timing.warmup == 20 + REWARM
    assert timing.p50_ms == pytest.approx(10.0)


def test_warm_up_ends_even_when_the_step_always_gets_faster() -> None:
    faster = (0.1 / (1 + 0.05 * k) for k in range(100_000))
    timing = ScriptedTime(faster).measure(warmup=10)
    assert timing.warmup < 100


def test_a_short_step_is_repeated_until_a_sitting_spans_the_least_time() -> None:
    timing = ScriptedTime(steady(0.001)).measure(warmup=5, repeats=20)
    assert timing.repeats == pytest.approx(2 * MIN_TIMED_S / 0.001, abs=2)


def noisy(share: float, seed: int = 3) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        yield 0.010 * (1 + share * rng.standard_normal())


def test_a_noisy_step_is_repeated_until_the_interval_is_reached() -> None:
    quiet = ScriptedTime(noisy(0.01)).measure(repeats=12, interval=0.02)
    timing = ScriptedTime(noisy(0.08)).measure(repeats=12, interval=0.02, max_seconds=60)
    assert quiet.repeats < timing.repeats
    assert timing.interval is not None
    assert timing.interval <= 0.02
    assert timing.p50_ms == pytest.approx(10.0, rel=0.03)


def test_an_interval_that_is_not_reached_in_time_is_told() -> None:
    script = ScriptedTime(noisy(0.08))
    timing = script.measure(repeats=12, interval=0.0001, max_seconds=3)
    assert timing.interval is not None
    assert timing.interval > 0.0001
    assert not timing.is_stable
    assert script.now < 3.5


@pytest.mark.parametrize("seconds", [0.0005, 0.005, 0.05, 0.1])
def test_a_quiet_machine_is_not_kept_busy_for_longer_than_needed(seconds: float) -> None:
    script = ScriptedTime(steady(seconds))
    assert script.measure().is_stable
    assert script.now < 0.6 + 20.1 * seconds


def test_a_step_of_many_seconds_is_run_a_few_times_only() -> None:
    script = ScriptedTime(steady(20.0))
    timing = script.measure(warmup=3, repeats=12, max_seconds=10)
    assert timing.p50_ms == pytest.approx(20_000)
    assert timing.repeats == MIN_RUNS
    assert timing.warmup == 1
    assert timing.interval is None
    assert not timing.is_stable


def test_a_sitting_that_gets_slower_is_not_believed_and_made_again() -> None:
    # Warm-up of 6, then 10 repeats whose second half is slower; the next sittings are quiet.
    disturbed = [0.010] * 11 + [0.013] * 5
    script = ScriptedTime(chain(disturbed, steady(0.010)))
    timing = script.measure(warmup=3, repeats=20, interval=0.5)
    assert timing.is_stable
    assert timing.attempts == 3
    assert timing.p50_ms == pytest.approx(10.0)


def test_of_sittings_that_are_never_believed_those_near_the_lowest_are_kept() -> None:
    def sitting(base: float) -> list[float]:
        return [base] * (REWARM + 5) + [base * 1.5] * 5

    rough = chain(*(sitting(base) for base in (0.010, 0.012, 0.010, 0.012) * 10))
    steps = chain([0.010] * 6, [0.010] * 5, [0.015] * 5, rough)
    timing = ScriptedTime(steps).measure(warmup=3, repeats=20, interval=0.5)
    assert not timing.is_stable
    assert timing.p50_ms == pytest.approx(12.5)


def test_a_kernel_that_drifts_makes_a_sitting_one_that_is_not_believed() -> None:
    # Ten runs of the kernel are one reading: the first slow one is that after the first sitting.
    kernel = chain([0.001] * 10, [0.0012] * 10, steady(0.001))
    timing = ScriptedTime(steady(0.010), kernel).measure(warmup=3)
    assert timing.attempts == 3
    assert timing.is_stable
    assert timing.drift == pytest.approx(0.0, abs=1e-9)


def test_the_drift_of_what_is_kept_is_told() -> None:
    kernel = chain([0.001] * 30, [0.00103] * 10, steady(0.001))
    timing = ScriptedTime(steady(0.010), kernel).measure(warmup=3)
    assert timing.drift == pytest.approx(0.03)
    assert timing.is_stable


def test_a_core_that_was_slowed_all_along_is_known_by_the_fastest_kernel_before() -> None:
    """A neighbor that slows everything evenly shows in no time of the step itself."""

    class Slowed(ScriptedTime):
        def factor(self) -> float:
            return 1.4 if 1.0 <= self.now < 3.0 else 1.0

        def step(self) -> None:
            self.n_steps += 1
            self.now += 0.005 * self.factor()

        def kernel(self) -> None:
            self.now += 0.001 * self.factor()

    script = Slowed(steady(0.0))
    pace = script.pace()
    pace.read()
    script.now = 1.0
    timing = script.measure(pace=pace)
    assert timing.p50_ms == pytest.approx(5.0)
    assert timing.is_stable
    assert timing.attempts == MIN_SITTINGS  # it waited instead of measuring
    assert script.now > 3.0


def test_a_core_that_stays_slowed_is_measured_when_patience_ends_and_said_to_be() -> None:
    script = ScriptedTime(steady(0.005), chain([0.001] * 10, steady(0.001 * SLOWED * 1.05)))
    pace = script.pace()
    pace.read()
    timing = script.measure(pace=pace, max_seconds=10)
    assert not timing.is_stable
    assert timing.attempts == MIN_SITTINGS
    assert 10 * PATIENCE_SHARE < script.now < 10 * PATIENCE_SHARE + 1


def test_a_sitting_whose_threads_waited_for_a_core_is_not_believed() -> None:
    """Every run of 10 ms is held up for 3 of them by another process, evenly."""

    class Shared(ScriptedTime):
        def step(self) -> None:
            super().step()
            if len(self.waits) < 2:
                self.now += 0.003
                self.waited_s += 0.003

    timing = Shared(steady(0.010)).measure(warmup=3)
    assert timing.p50_ms == pytest.approx(10.0)
    assert timing.attempts == 4
    assert timing.is_stable


def test_a_few_interruptions_move_neither_the_median_nor_stability() -> None:
    pattern = [0.010] * 9 + [0.050]
    timing = ScriptedTime(iter(pattern * 200)).measure(warmup=10, repeats=50)
    assert timing.is_stable
    assert timing.p50_ms == pytest.approx(10.0)
    assert timing.p95_ms == pytest.approx(50.0)


class Busy(ScriptedTime):
    """A clock in whose pauses something is done that takes longer."""

    def pause(self, seconds: float) -> None:
        super().pause(seconds + 0.5)


def test_what_is_done_in_a_pause_takes_nothing_from_the_time_of_the_step() -> None:
    timing = Busy(steady(0.030)).measure(max_seconds=1)
    assert timing == ScriptedTime(steady(0.030)).measure(max_seconds=1)
    assert timing.is_stable


class Neighbor(ScriptedTime):
    """Time in which a neighbor slows everything evenly until a moment."""

    def __init__(self, *, slowed_until: float) -> None:
        super().__init__(steady(0.0))
        self.slowed_until = slowed_until

    def step(self) -> None:
        self.n_steps += 1
        self.now += 0.0014 if self.now < self.slowed_until else 0.001

    def kernel(self) -> None:
        self.step()


@pytest.mark.parametrize("slowed_until", [0.05, 0.2, 0.5])
def test_a_neighbor_that_slows_a_whole_sitting_evenly_is_waited_out(slowed_until: float) -> None:
    """Three of ten p50s of one network were 1.35 times the others, and called stable."""
    timing = Neighbor(slowed_until=slowed_until).measure(repeats=50)
    assert timing.p50_ms == pytest.approx(1.0)
    assert timing.is_stable


def test_sittings_that_never_agree_end_and_say_so() -> None:
    class Growing(ScriptedTime):
        def step(self) -> None:
            self.n_steps += 1
            self.now += 0.001 * (1 + 2 * AGREEMENT) ** len(self.waits)

    script = Growing(steady(0.0))
    timing = script.measure(max_seconds=100)
    assert timing.attempts == MAX_SITTINGS
    assert not timing.is_stable


def test_a_device_with_a_clock_of_its_own_is_asked_for_the_seconds() -> None:
    script = ScriptedTime(steady(0.010))
    n_asked = 0

    def timer() -> float:
        nonlocal n_asked
        n_asked += 1
        script.step()
        return 0.004

    timing = measure(script.step, timer=timer, clock=script.clock, pause=script.pause)
    assert timing.p50_ms == pytest.approx(4.0)
    assert timing.drift is None
    assert timing.is_stable
    assert n_asked == script.n_steps == timing.repeats + timing.warmup


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_garbage_collector_is_off_while_timing_and_then_as_before(was_enabled: bool) -> None:
    seen: list[bool] = []

    class Looking(ScriptedTime):
        def step(self) -> None:
            seen.append(gc.isenabled())
            super().step()

    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        Looking(steady(0.010)).measure()
        after = gc.isenabled()
    finally:
        (gc.enable if before else gc.disable)()
    assert len(seen) > MIN_WINDOW
    assert not any(seen)
    assert after is was_enabled


def test_the_garbage_collector_is_on_again_after_a_step_that_raises() -> None:
    def step() -> None:
        raise RuntimeError("the device is gone")

    with pytest.raises(RuntimeError, match="the device is gone"):
        measure(step)
    assert gc.isenabled()


@pytest.mark.parametrize(
    "effort", [{"repeats": 0}, {"warmup": -1}, {"interval": 0.0}, {"max_seconds": 0}]
)
def test_numbers_that_make_no_sense_are_refused(effort: dict[str, float]) -> None:
    (name, value), *_ = effort.items()
    with pytest.raises(ValueError, match=f"must be above 0.*{name}={value}"):
        Effort(**effort)


@pytest.mark.slow
def test_a_real_step_takes_about_as_long_as_it_works() -> None:
    def step() -> None:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass

    timing = measure(step, Effort(max_seconds=1), pause=lambda seconds: None)
    # A step cannot end early; an interrupted one ends late.
    assert 2.0 <= timing.p50_ms < 20.0
