from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from archfront.search.engine.jobs import Done
from archfront.search.engine.process import Stopwatch, WorkerProcess
from archfront.search.engine.processes import ProcessEngine
from tests.support import engine_jobs
from tests.support.engine_checks import (
    broken,
    children,
    is_running,
    measure,
    pauses,
    result,
    train,
    value,
)
from tests.support.waiting import DEADLINE_S, eventually


@pytest.fixture
def processes() -> Iterator[ProcessEngine]:
    with ProcessEngine(engine_jobs.perform, workers=2, threads=1) as engine:
        yield engine


@pytest.fixture
def counted(processes: ProcessEngine, tmp_path: Path) -> Iterator[list[int]]:
    """What a training beside counts, which loses and doubles nothing until the test is over."""
    events: list[int] = []
    other = processes.submit(train("count", str(tmp_path / "stop")), events.append)
    eventually(lambda: events)
    yield events
    (tmp_path / "stop").touch()
    assert value(other) == len(events) == events[-1]


class TestExclusiveJobs:
    @pytest.mark.slow
    def test_others_make_no_progress_meanwhile_and_go_on_after(
        self, processes: ProcessEngine, tmp_path: Path
    ) -> None:
        events: list[list[int]] = [[], []]
        others = [
            processes.submit(train("count", str(tmp_path / "stop")), seen.append)
            for seen in events
        ]
        eventually(lambda: all(events))
        during: list[list[int]] = []

        def look(event: Any) -> None:
            during.append([len(seen) for seen in events])

        measured = processes.submit(measure("count", str(tmp_path / "measured")), look)
        eventually(lambda: len(during) >= 60)
        (tmp_path / "measured").touch()
        value(measured)
        assert during[30] == during[-1]  # what was sent before the pause is read by then
        eventually(lambda: all(len(s) > n for s, n in zip(events, during[-1], strict=True)))
        (tmp_path / "stop").touch()
        assert [value(other) for other in others] == [len(seen) for seen in events]

    @pytest.mark.slow
    def test_others_go_on_before_its_exclusive_block_and_in_shared_ones(
        self, processes: ProcessEngine, tmp_path: Path, counted: list[int]
    ) -> None:
        said: list[str] = []
        measured = processes.submit(measure("rest", str(tmp_path)), said.append)
        eventually(lambda: said)
        self._assert_goes_on(counted)
        (tmp_path / "first").touch()
        eventually(lambda: said[-1] == "exclusive")
        self._assert_stands_still(counted)
        (tmp_path / "second").touch()
        eventually(lambda: said[-1] == "shared again")
        self._assert_goes_on(counted)
        (tmp_path / "third").touch()
        eventually(lambda: said[-1] == "exclusive again")
        self._assert_stands_still(counted)
        (tmp_path / "fourth").touch()
        value(measured)
        self._assert_goes_on(counted)

    @pytest.mark.slow
    def test_an_exclusive_block_within_another_changes_nothing(
        self, processes: ProcessEngine, tmp_path: Path, counted: list[int]
    ) -> None:
        seen: list[int] = []
        measured = processes.submit(measure("nest", str(tmp_path / "measured")), seen.append)
        eventually(lambda: seen)
        self._assert_stands_still(counted)
        (tmp_path / "measured").touch()
        value(measured)
        self._assert_goes_on(counted)

    def test_others_go_on_after_one_that_fails_in_a_shared_block(
        self, processes: ProcessEngine, counted: list[int]
    ) -> None:
        broken(processes.submit(measure("fail shared")))
        self._assert_goes_on(counted)

    def _assert_goes_on(self, counted: list[int]) -> None:
        before = len(counted)
        eventually(lambda: len(counted) > before + 5)

    def _assert_stands_still(self, counted: list[int]) -> None:
        time.sleep(0.1)  # what was sent before the pause is read by then
        before = len(counted)
        time.sleep(0.2)
        assert len(counted) == before

    @pytest.mark.slow
    def test_paused_time_is_neither_counted_nor_held_against_a_job(
        self, processes: ProcessEngine, tmp_path: Path
    ) -> None:
        value(processes.submit(measure("echo", "starts the worker")))
        future = processes.submit(train("spend", 0.3, timeout_s=4.0))
        eventually(future.running)
        was_done: list[bool] = []
        measured = processes.submit(
            measure("count", str(tmp_path / "stop")), lambda event: was_done.append(future.done())
        )
        eventually(lambda: was_done)
        started = time.monotonic()
        eventually(lambda: time.monotonic() - started > 4.1)
        (tmp_path / "stop").touch()
        value(measured)
        done = result(future)
        assert isinstance(done, Done), done
        assert 0.25 <= done.seconds < 4.0
        assert not any(was_done)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("payload", "kind"), [(("segfault",), "crash"), (("hang",), "timeout")]
    )
    def test_others_go_on_after_one_that_breaks(
        self, processes: ProcessEngine, counted: list[int], payload: tuple[str], kind: str
    ) -> None:
        assert broken(processes.submit(measure(*payload, timeout_s=0.3))).kind == kind
        seen = len(counted)
        eventually(lambda: len(counted) > seen)
        assert value(processes.submit(measure("echo", 1))) == 1

    @pytest.mark.slow
    def test_they_run_one_at_a_time_and_new_jobs_wait(
        self, processes: ProcessEngine, tmp_path: Path
    ) -> None:
        first = processes.submit(measure("wait", str(tmp_path / "go")))
        second = processes.submit(measure("pid"))
        pids: list[int] = []
        hanging = processes.submit(measure("hang", timeout_s=0.2), pids.append)
        eventually(first.running)
        (tmp_path / "go").touch()
        assert value(first)
        assert value(second) not in {os.getpid()}
        assert broken(hanging).kind == "timeout"
        assert pids == [value(second)]


class TestClosing:
    @pauses
    def test_running_paused_and_waiting_jobs_are_ended_at_once(self, tmp_path: Path) -> None:
        before = threading.active_count()
        engine = ProcessEngine(engine_jobs.perform, workers=1)
        pids: list[int] = []
        paused = engine.submit(train("hang"), pids.append)
        eventually(lambda: pids)
        running = engine.submit(measure("hang"), pids.append)
        eventually(lambda: len(pids) == 2)
        waiting = [engine.submit(train("pid")), engine.submit(measure("pid"))]
        started = time.monotonic()
        engine.close()
        assert time.monotonic() - started < DEADLINE_S
        for future in (paused, running, *waiting):
            assert future.done()
            assert broken(future).message.startswith("The engine was closed")
        assert threading.active_count() == before
        assert not any(is_running(pid) for pid in pids)
        assert children() == []

    def test_a_listener_to_a_result_may_close_the_engine(self) -> None:
        engine = ProcessEngine(engine_jobs.perform, workers=1)
        closed = threading.Event()
        future = engine.submit(train("echo", 1))
        future.add_done_callback(lambda _: (engine.close(), closed.set()))
        assert closed.wait(DEADLINE_S)
        engine.close()
        assert children() == []

    def test_no_worker_outlives_a_killed_driver(self, tmp_path: Path) -> None:
        script = f"""
            import threading
            from tests.support import engine_jobs
            from archfront.search.engine.jobs import Job
            from archfront.search.engine.processes import ProcessEngine

            engine = ProcessEngine(engine_jobs.perform, workers=2)
            engine.submit(Job("train", ("pid",))).result()
            engine.submit(Job("train", ("hang with child", {str(tmp_path / "first")!r})))
            engine.submit(Job("train", ("hang with child", {str(tmp_path / "second")!r})))
            engine.submit(Job("train", ("wait", {str(tmp_path / "never")!r})))
            engine.submit(
                Job("measure", ("hang with child", {str(tmp_path / "third")!r}), is_exclusive=True)
            )
            threading.Event().wait()
        """
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
        driver = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment)
        try:
            # The third job is exclusive: the other two workers are paused, if they got that far.
            eventually((tmp_path / "third").exists)
            family = psutil.Process(driver.pid).children(recursive=True)
            assert len(family) >= 5  # the reaper, three workers, the third one's child
        finally:
            driver.kill()
            driver.wait()
        eventually(lambda: not any(is_running(process.pid) for process in family))

    def test_the_engine_works_on_without_its_reaper(self) -> None:
        with ProcessEngine(engine_jobs.perform, workers=1) as engine:
            worker = value(engine.submit(train("pid")))
            (reaper,) = (child for child in children() if child.pid != worker)
            reaper.kill()
            eventually(lambda: not is_running(reaper.pid))
            assert broken(engine.submit(train("exit", 1))).kind == "crash"
            assert value(engine.submit(train("echo", 1))) == 1

    def test_ctrl_c_in_the_terminal_reaches_no_worker(self, processes: ProcessEngine) -> None:
        pid = value(processes.submit(train("pid")))
        assert os.getpgid(pid) == os.getsid(pid) == pid
        os.kill(pid, signal.SIGINT)
        assert value(processes.submit(train("echo", 1))) == 1
        assert is_running(pid)


def test_a_message_to_a_process_that_another_thread_has_ended_raises_nothing() -> None:
    """A study that submitted a job while its connection to a cluster ended was ended by that."""
    worker = WorkerProcess(threads=1, start_timeout_s=DEADLINE_S)
    worker.end(grace_s=0.0)
    worker.send(b"late")


def test_a_stopwatch_counts_running_time_only() -> None:
    now = [0.0]
    watch = Stopwatch(clock=lambda: now[0])
    watch.restart(10.0)
    now[0] = 9.0
    watch.pause()
    now[0] = 100.0
    assert not watch.expire()
    watch.resume()
    now[0] = 100.5
    assert watch.seconds == 9.5
    assert not watch.expire()
    now[0] = 101.0
    assert watch.expire()
    assert watch.lift_limit()


def test_a_stopwatch_without_a_limit_does_not_expire() -> None:
    now = [0.0]
    watch = Stopwatch(clock=lambda: now[0])
    watch.restart(1.0)
    assert not watch.lift_limit()
    now[0] = 5.0
    assert not watch.expire()
