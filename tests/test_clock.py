"""The clock, driven by time that a test scripts."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import numpy as np
import pytest

from search.latency.clock import (
    GAP_S,
    MAX_SITTINGS,
    MIN_SITTINGS,
    MIN_TIMED_S,
    REFERENCE_REPEATS,
    TOLERANCE,
    Timing,
    measure,
    measure_apart,
    reference_kernel,
)


class ScriptedTime:
    """A clock that moves only when a step or the reference runs, each by its next duration."""

    def __init__(self, steps: Iterator[float], reference: Iterator[float]) -> None:
        self.now = 0.0
        self.n_steps = 0
        self.n_references = 0
        self._steps = steps
        self._reference = reference

    def clock(self) -> float:
        return self.now

    def step(self) -> None:
        self.n_steps += 1
        self.now += next(self._steps)

    def reference(self) -> None:
        self.n_references += 1
        self.now += next(self._reference)

    def measure(self, **settings: int) -> Timing:
        return measure(self.step, clock=self.clock, reference=self.reference, **settings)


def steady(seconds: float) -> Iterator[float]:
    return repeat(seconds)


def test_a_steady_step_has_its_duration_as_both_percentiles_and_no_spread() -> None:
    timing = ScriptedTime(steady(0.010), steady(0.001)).measure(warmup=5, repeats=20)
    assert timing.p50_ms == pytest.approx(10.0)
    assert timing.p95_ms == pytest.approx(10.0)
    assert timing.spread == pytest.approx(0.0, abs=1e-9)
    assert timing.is_stable
    assert timing.attempts == 1


def test_percentiles_are_those_of_the_timed_runs_only() -> None:
    durations = [0.010 + 0.0001 * k for k in range(20)]
    shuffled = [durations[(7 * k) % 20] for k in range(20)]
    script = ScriptedTime(chain([5.0] * 10, shuffled), steady(0.001))
    timing = script.measure(warmup=10, repeats=20)
    low, p50, high, p95 = np.percentile(durations, (25, 50, 75, 95))
    assert timing.warmup == 10
    assert timing.p50_ms == pytest.approx(p50 * 1e3)
    assert timing.p95_ms == pytest.approx(p95 * 1e3)
    assert timing.spread == pytest.approx((high - low) / p50)


def test_warm_up_goes_on_while_the_step_gets_faster() -> None:
    # Windows of 5: 40 ms, 20 ms, 10 ms and 10 ms again, which ends it.
    warming = [0.040] * 5 + [0.020] * 5 + [0.010] * 5
    timing = ScriptedTime(chain(warming, steady(0.010)), steady(0.001)).measure(
        warmup=5, repeats=20
    )
    assert timing.warmup == 20
    assert timing.p50_ms == pytest.approx(10.0)


def test_warm_up_ends_even_when_the_step_always_gets_faster() -> None:
    faster = (0.1 * 0.99**k for k in range(10_000))
    timing = ScriptedTime(faster, steady(0.001)).measure(warmup=10, repeats=20, attempts=1)
    assert timing.warmup < 100


def test_a_short_step_is_repeated_until_the_repeats_span_the_least_time() -> None:
    timing = ScriptedTime(steady(0.001), steady(0.001)).measure(warmup=5, repeats=20)
    assert timing.repeats == pytest.approx(MIN_TIMED_S / 0.001, abs=1)


def test_a_long_step_is_repeated_as_often_as_asked() -> None:
    assert ScriptedTime(steady(0.1), steady(0.001)).measure(warmup=5, repeats=20).repeats == 20


def test_a_disturbed_measurement_is_made_again_and_the_quiet_one_kept() -> None:
    # Warm-up of 10, then 20 repeats whose second half is slower; the second attempt is quiet.
    disturbed = [0.010] * 20 + [0.013] * 10
    script = ScriptedTime(chain(disturbed, steady(0.010)), steady(0.001))
    timing = script.measure(warmup=5, repeats=20)
    assert timing.is_stable
    assert timing.attempts == 2
    assert timing.p50_ms == pytest.approx(10.0)


def test_of_disturbed_measurements_the_fastest_is_kept_and_said_to_be_unstable() -> None:
    def attempt(base: float) -> list[float]:
        return [base] * 20 + [base * 1.5] * 10

    steps = chain(attempt(0.012), attempt(0.010), attempt(0.011))
    timing = ScriptedTime(steps, steady(0.001)).measure(warmup=5, repeats=20, attempts=3)
    assert not timing.is_stable
    assert timing.attempts == 3
    assert timing.p50_ms == pytest.approx(12.5)


def test_a_reference_that_drifts_makes_a_measurement_unstable() -> None:
    n_before = REFERENCE_REPEATS + 1
    drifting = chain([0.001] * n_before, steady(0.001 * (1 + 2 * TOLERANCE)))
    timing = ScriptedTime(steady(0.010), drifting).measure(warmup=5, repeats=20, attempts=1)
    assert timing.drift == pytest.approx(2 * TOLERANCE)
    assert not timing.is_stable


def test_a_drift_that_ends_is_forgotten_by_the_next_attempt() -> None:
    n_before = REFERENCE_REPEATS + 1
    drifting = chain([0.001] * n_before, steady(0.002))
    timing = ScriptedTime(steady(0.010), drifting).measure(warmup=5, repeats=20)
    assert timing.is_stable
    assert timing.attempts == 2


def test_a_few_interruptions_move_neither_the_median_nor_stability() -> None:
    pattern = [0.010] * 9 + [0.050]
    timing = ScriptedTime(iter(pattern * 20), steady(0.001)).measure(warmup=10, repeats=50)
    assert timing.is_stable
    assert timing.p50_ms == pytest.approx(10.0)
    assert timing.p95_ms == pytest.approx(50.0)


def test_a_measurement_of_minutes_is_not_made_again() -> None:
    steps = chain([3.0] * 10, [3.0] * 10, [4.0] * 10, steady(3.0))
    timing = ScriptedTime(steps, steady(0.001)).measure(warmup=5, repeats=20)
    assert not timing.is_stable
    assert timing.attempts == 1


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_garbage_collector_is_off_while_timing_and_then_as_before(was_enabled: bool) -> None:
    seen: list[bool] = []
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        script = ScriptedTime(steady(0.010), steady(0.001))

        def step() -> None:
            seen.append(gc.isenabled())
            script.step()

        measure(step, clock=script.clock, reference=script.reference, warmup=5, repeats=20)
        after = gc.isenabled()
    finally:
        (gc.enable if before else gc.disable)()
    assert not any(seen)
    assert after is was_enabled


def test_the_garbage_collector_is_on_again_after_a_step_that_raises() -> None:
    def step() -> None:
        raise RuntimeError("the device is gone")

    with pytest.raises(RuntimeError, match="the device is gone"):
        measure(step)
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"repeats": 0}, "repeats=0"),
        ({"attempts": 0}, "attempts=0"),
        ({"warmup": -1}, "warmup=-1"),
    ],
)
def test_counts_that_make_no_sense_are_refused(settings: dict[str, int], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        ScriptedTime(steady(0.01), steady(0.001)).measure(**settings)


def test_the_reference_kernel_is_short_and_is_the_same_work_every_time() -> None:
    kernel: Callable[[], object] = reference_kernel()
    kernel()
    started = time.perf_counter()
    for _ in range(5):
        kernel()
    # A millisecond on the machines seen; a loaded one may take ten times as long.
    assert 1e-5 < (time.perf_counter() - started) / 5 < 0.1


def test_a_real_step_takes_about_as_long_as_it_works() -> None:
    def step() -> None:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass

    timing = measure(step, warmup=5, repeats=20, attempts=1)
    # A step cannot end early; an interrupted one ends late.
    assert 2.0 <= timing.p50_ms < 20.0


class Neighbor(ScriptedTime):
    """Time in which a neighbor slows everything evenly until a moment."""

    def __init__(self, *, slowed_until: float) -> None:
        super().__init__(steady(0.001), steady(0.001))
        self.slowed_until = slowed_until
        self.waits: list[float] = []

    def step(self) -> None:
        self.n_steps += 1
        self.now += 0.0014 if self.now < self.slowed_until else 0.001

    def reference(self) -> None:
        self.now += 0.0014 if self.now < self.slowed_until else 0.001

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def measure_apart(self) -> Timing:
        return measure_apart(
            self.step, clock=self.clock, reference=self.reference, pause=self.pause
        )


def test_a_quiet_machine_needs_the_least_number_of_sittings() -> None:
    time = Neighbor(slowed_until=0.0)
    timing = time.measure_apart()
    assert timing.p50_ms == pytest.approx(1.0)
    assert timing.attempts == MIN_SITTINGS
    assert time.waits == [GAP_S] * (MIN_SITTINGS - 1)
    assert timing.is_stable


@pytest.mark.parametrize("slowed_until", [0.2, 0.5, 0.7])
def test_a_neighbor_that_slows_whole_sittings_evenly_is_waited_out(slowed_until: float) -> None:
    """Three of ten p50s of one network were 1.35 times the others, and called stable."""
    timing = Neighbor(slowed_until=slowed_until).measure_apart()
    assert timing.p50_ms == pytest.approx(1.0)
    assert timing.is_stable


def test_sittings_that_never_agree_end_and_say_so() -> None:
    growing = (0.001 * 1.1 ** (n // 90) for n in range(3000))
    time = ScriptedTime(growing, steady(0.001))
    timing = measure_apart(
        time.step, clock=time.clock, reference=time.reference, pause=lambda seconds: None
    )
    assert timing.attempts == MAX_SITTINGS
    assert not timing.is_stable
