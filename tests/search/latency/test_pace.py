"""The pace of the machine, told by a kernel whose durations a test scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from archfront.search.latency.device import allowed_cores, pinned
from archfront.search.latency.pace import (
    FORGET_S,
    KERNEL_RUNS,
    MAX_WAITED,
    SLOWED,
    Pace,
    reference_kernel,
    waiting_s,
)


class Machine:
    """A clock that the kernel moves, and the time of day beside it."""

    def __init__(self, *, seconds: float = 0.001, today: float = 1_800_000_000.0) -> None:
        self.now, self.seconds, self.today, self.n_runs = 0.0, seconds, today, 0
        self.share = 0.0

    def kernel(self) -> None:
        self.n_runs += 1
        self.now += self.seconds

    def pace(self, file: Path | None = None) -> Pace:
        return Pace(
            self.kernel,
            clock=lambda: self.now,
            file=file,
            now=lambda: self.today,
            waiting=lambda: self.now * self.share,
        )


def test_a_reading_is_the_median_of_the_kernel_after_one_untimed_run() -> None:
    machine = Machine(seconds=0.002)
    assert machine.pace().read().seconds == pytest.approx(0.002)
    assert machine.n_runs == KERNEL_RUNS + 1


def test_slowed_is_what_is_far_from_the_fastest_reading() -> None:
    machine = Machine()
    pace = machine.pace()
    fast = pace.read()
    machine.seconds = 0.001 * SLOWED * 1.01
    assert pace.is_slowed(pace.read())
    assert not pace.is_slowed(fast)
    machine.seconds = 0.001 * SLOWED * 0.99
    assert not pace.is_slowed(pace.read())
    assert pace.fastest == pytest.approx(0.001)


def test_a_reading_that_had_to_wait_for_the_core_is_slowed_whatever_its_median() -> None:
    machine = Machine()
    pace = machine.pace()
    assert not pace.is_slowed(pace.read())
    machine.share = 2 * MAX_WAITED
    assert pace.read().waited == pytest.approx(2 * MAX_WAITED)
    assert pace.is_slowed(pace.read())


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="only Linux tells")
def test_two_threads_that_want_one_core_wait_for_it() -> None:
    with pinned((min(allowed_cores() or (0,)),)):
        before, ended = waiting_s(), threading.Event()

        def spin() -> None:
            while not ended.is_set():
                np.sin(values)  # without the interpreter's lock

        values = np.linspace(0.0, 1.0, 200_000)
        thread = threading.Thread(target=spin)
        thread.start()
        try:
            for _ in range(100):
                np.sin(values)
        finally:
            ended.set()
            thread.join()
        assert waiting_s() > before + 0.01


def test_what_came_before_is_slowed_too_when_a_faster_reading_comes() -> None:
    machine = Machine(seconds=0.0014)
    pace = machine.pace()
    early = pace.read()
    assert not pace.is_slowed(early)
    machine.seconds = 0.001
    pace.read()
    assert pace.is_slowed(early)


def test_a_machine_that_has_become_slower_for_good_is_believed_after_a_while() -> None:
    machine = Machine()
    pace = machine.pace()
    pace.read()
    machine.seconds = 0.002
    machine.today += FORGET_S + 1
    assert not pace.is_slowed(pace.read())


def test_the_next_process_knows_the_fastest_reading(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "pace.json"
    first = Machine()
    first.pace(file).read()
    second = Machine(seconds=0.0014, today=first.today + 60)
    pace = second.pace(file)
    assert pace.fastest == pytest.approx(0.001)
    assert pace.is_slowed(pace.read())
    assert [path.name for path in file.parent.iterdir()] == ["pace.json"]


def test_the_next_process_forgets_what_is_old(tmp_path: Path) -> None:
    file = tmp_path / "pace.json"
    first = Machine()
    first.pace(file).read()
    late = Machine(seconds=0.002, today=first.today + FORGET_S + 1)
    pace = late.pace(file)
    assert not pace.is_slowed(pace.read())
    assert json.loads(file.read_text()) == {"seconds": pytest.approx(0.002), "at": late.today}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"seconds": "a", "at": 1}', "\xff"])
def test_a_file_that_is_something_else_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pace.json"
    file.write_text(content, encoding="latin-1")
    pace = Machine().pace(file)
    assert pace.read().seconds == pace.fastest


def test_a_place_that_cannot_be_written_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pace = Machine().pace(tmp_path / "file" / "pace.json")
    assert pace.read().seconds == pace.fastest


def test_the_reference_kernel_is_short_and_is_the_same_work_every_time() -> None:
    kernel: Callable[[], object] = reference_kernel()
    # A millisecond on the machines seen; a loaded one may take ten times as long.
    assert 1e-5 < Pace(kernel).read().seconds < 0.1
