from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.engine.jobs import Job
from archfront.search.engine.processes import ProcessEngine
from archfront.trainers.threads import cores
from tests.support import engine_jobs
from tests.support.engine_checks import assert_matches, broken, is_running, measure, train, value
from tests.support.waiting import DEADLINE_S, eventually


@pytest.fixture
def processes() -> Iterator[ProcessEngine]:
    with ProcessEngine(engine_jobs.perform, workers=2, threads=1) as engine:
        yield engine


def broken_in_workers(
    patch: pytest.MonkeyPatch, folder: Path, statement: str
) -> Callable[[Job], None]:
    """Return the function of a module that imports here, but fails in a worker by a statement."""
    name = f"module_of_{folder.name}"
    (folder / f"{name}.py").write_text(
        f"import os\nif os.getpid() != {os.getpid()}:\n    {statement}\ndef perform(job): ...\n"
    )
    patch.syspath_prepend(str(folder))
    return importlib.import_module(name).perform


class TestWorkers:
    def test_a_worker_takes_job_after_job(self, processes: ProcessEngine) -> None:
        futures = [processes.submit(train("pid")) for _ in range(20)]
        pids = {value(f) for f in futures}
        assert len(pids) <= processes.n_slots
        assert os.getpid() not in pids

    @pytest.mark.parametrize("n_cores", [1, 2])
    def test_workers_import_before_they_have_a_job(
        self, monkeypatch: pytest.MonkeyPatch, n_cores: int
    ) -> None:
        monkeypatch.setattr("archfront.search.engine.processes.cores", lambda: n_cores)
        modules = {"imports": ("wave",), "exclusive_imports": ("colorsys",)}
        with ProcessEngine(engine_jobs.perform, workers=1, **modules) as engine:
            has = [
                value(engine.submit(job("has_imported", name)))
                for job in (train, measure)
                for name in ("wave", "colorsys")
            ]
            pids = {value(engine.submit(job("pid"))) for job in (train, measure)}
        # On one core one worker does all.
        assert has == [True, n_cores == 1, n_cores == 1, True]
        assert len(pids) == n_cores

    def test_one_worker_for_all_is_replaced_and_closed_like_any(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("archfront.search.engine.processes.cores", lambda: 1)
        with ProcessEngine(engine_jobs.perform, workers=1) as engine:
            assert broken(engine.submit(measure("segfault"))).kind == "crash"
            pid = value(engine.submit(train("pid")))
            assert value(engine.submit(measure("pid"))) == pid
            waiting = [engine.submit(job("hang")) for job in (measure, train)]
            eventually(waiting[0].running)
        assert all("The engine was closed" in broken(future).message for future in waiting)
        assert not is_running(pid)

    def test_what_cannot_be_imported_before_is_for_the_job_to_say(self) -> None:
        with ProcessEngine(engine_jobs.perform, workers=1, imports=("no_such",)) as engine:
            pid = value(engine.submit(train("pid")))
            assert value(engine.submit(train("pid"))) == pid

    def test_a_job_that_fails_for_want_of_an_import_says_why_that_failed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The job's own import of what was half imported gave another, misleading reason."""
        (tmp_path / "half_read.py").write_text(
            "raise OSError(12, 'Cannot allocate memory', 'libtorch.so')", encoding="utf-8"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        with ProcessEngine(engine_jobs.perform, workers=1, imports=("half_read",)) as engine:
            failure = broken(engine.submit(train("raise", "other")))
        assert failure.kind == "machine"
        assert_matches(failure.message, r"^The worker cannot import what jobs need: OSError: .*12")
        assert_matches(failure.message, r"or use fewer workers")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGBUS])
    def test_a_job_whose_worker_the_system_ends_is_no_crash(
        self, processes: ProcessEngine, number: signal.Signals
    ) -> None:
        pids: list[int] = []
        future = processes.submit(train("hang"), pids.append)
        eventually(lambda: pids)
        os.kill(pids[0], number)
        assert broken(future).kind == "killed"

    def test_an_error_of_ours_keeps_the_worker(self) -> None:
        with ProcessEngine(engine_jobs.perform, workers=1) as engine:
            pid = value(engine.submit(train("pid")))
            broken(engine.submit(train("raise", "build")))
            assert value(engine.submit(train("pid"))) == pid

    @pytest.mark.parametrize(
        ("payload", "message"),
        [
            (("segfault",), r"^The worker was ended by SIGSEGV \(.*\)\. Its last"),
            (("exit", 3), r"^The worker ended with exit code 3\.$"),
            (("exit", 0), r"^The worker ended with exit code 0\.$"),
            (
                ("print and exit", "on standard output"),
                r"Its last lines:\non standard output\non standard error$",
            ),
            (("raise", "other"), r"^ValueError: "),
            (("raise", "memory"), r"^MemoryError: "),
            (("lambda",), r"^The job's result cannot be sent back .*: AttributeError: .*lambda"),
            (("unreadable",), r"^The train job's result cannot be read back: OSError: cannot be"),
        ],
    )
    def test_a_fresh_worker_takes_the_place_of_a_broken_one(
        self, payload: tuple[Any, ...], message: str
    ) -> None:
        with ProcessEngine(engine_jobs.perform, workers=1) as engine:
            pid = value(engine.submit(train("pid")))
            failure = broken(engine.submit(train(*payload)))
            fresh = value(engine.submit(train("pid")))
        assert failure.kind == ("out of memory" if "memory" in payload else "crash")
        assert_matches(failure.message, message)
        assert fresh != pid
        assert not is_running(pid)

    def test_a_segfault_shows_where_it_happened(self, processes: ProcessEngine) -> None:
        assert "in _segfault" in broken(processes.submit(train("segfault"))).message

    def test_a_job_that_is_killed_names_memory_as_the_likely_reason(
        self, processes: ProcessEngine
    ) -> None:
        pids: list[int] = []
        future = processes.submit(train("hang"), pids.append)
        eventually(lambda: pids)
        os.kill(pids[0], signal.SIGKILL)
        failure = broken(future)
        assert failure.kind == "killed"
        assert_matches(failure.message, r"killed \(SIGKILL\): the system may have been out of mem")

    def test_a_worker_killed_between_jobs_costs_no_job(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with ProcessEngine(engine_jobs.perform, workers=1) as engine:
            pid = value(engine.submit(train("pid")))
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: not is_running(pid))
            assert value(engine.submit(train("pid"))) != pid
        assert "A worker without a job was killed (SIGKILL)" in caplog.text

    def test_a_hang_is_ended_at_its_timeout(self, processes: ProcessEngine) -> None:
        pids: list[int] = []
        hanging = replace(train("hang", timeout_s=0.2), timeout_text="as --most says. Raise it.")
        failure = broken(processes.submit(hanging, pids.append))
        assert failure.kind == "timeout"
        assert_matches(
            failure.message, r"ended after 0\.2 s of running, as --most says\. Raise it"
        )
        assert 0.2 <= failure.seconds < DEADLINE_S
        assert not is_running(pids[0])

    @pytest.mark.slow
    def test_a_neighbor_of_a_crash_and_a_hang_is_unharmed(
        self, processes: ProcessEngine, tmp_path: Path
    ) -> None:
        events: list[int] = []
        neighbor = processes.submit(train("count", str(tmp_path / "stop")), events.append)
        eventually(lambda: events)
        for payload in (("segfault",), ("exit", 1), ("raise", "other")):
            assert broken(processes.submit(train(*payload))).kind == "crash"
        assert broken(processes.submit(train("hang", timeout_s=0.1))).kind == "timeout"
        seen = len(events)
        eventually(lambda: len(events) > seen)
        (tmp_path / "stop").touch()
        assert value(neighbor) == len(events)
        assert events == list(range(1, len(events) + 1))

    def test_the_children_of_a_job_end_with_it(
        self, processes: ProcessEngine, tmp_path: Path
    ) -> None:
        future = processes.submit(train("hang with child", str(tmp_path / "pids")))
        eventually((tmp_path / "pids").exists)
        worker, child = map(int, (tmp_path / "pids").read_text().split())
        os.kill(worker, signal.SIGKILL)
        assert "SIGKILL" in broken(future).message
        eventually(lambda: not is_running(child))

    def test_a_forked_child_does_not_hide_the_end_of_its_worker(
        self, processes: ProcessEngine
    ) -> None:
        pids: list[int] = []
        failure = broken(processes.submit(train("fork and exit"), pids.append))
        assert failure.message == "The worker ended with exit code 3."
        eventually(lambda: not is_running(pids[0]))

    def test_a_payload_that_does_not_pickle_breaks_only_its_job(
        self, processes: ProcessEngine
    ) -> None:
        failure = broken(processes.submit(train("echo", lambda: None)))
        assert failure.kind == "crash"
        assert_matches(failure.message, r"^The train job cannot be sent to a worker: .*lambda")

    def test_a_payload_that_cannot_be_read_breaks_only_its_job(
        self, processes: ProcessEngine
    ) -> None:
        failure = broken(processes.submit(train("echo", engine_jobs.Unreadable())))
        assert_matches(failure.message, r"^OSError: cannot be read \(engine_jobs\.py")
        assert value(processes.submit(train("echo", 1))) == 1

    @pytest.mark.slow
    def test_a_worker_that_dies_at_its_start_says_why(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        perform = broken_in_workers(monkeypatch, tmp_path, "import a_library_that_is_not_there")
        with ProcessEngine(perform, workers=1) as engine:
            failures = [broken(engine.submit(train())) for _ in range(2)]
        for failure in failures:
            assert failure.kind == "machine"
            assert_matches(failure.message, r"^The worker ended with exit code 75 at its start\.")
            assert "ModuleNotFoundError: No module named 'a_library_that_is" in failure.message

    @pytest.mark.slow
    def test_a_worker_that_does_not_start_in_time_is_given_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        perform = broken_in_workers(
            monkeypatch, tmp_path, "import threading; threading.Event().wait()"
        )
        with ProcessEngine(perform, workers=1, start_timeout_s=0.2) as engine:
            failure = broken(engine.submit(train()))
        assert failure.message.startswith("The worker did not finish its imports in time.")

    @pytest.mark.slow
    def test_an_idle_worker_outlives_the_limit_of_its_start(self) -> None:
        """It was killed for not having started when its first job came late."""
        with ProcessEngine(engine_jobs.perform, workers=1) as engine:
            eventually(lambda: [each for each in engine._pool._workers if each.is_ready])
            (worker,) = engine._pool._workers
            worker.watch._clock = lambda: time.monotonic() + 1e6
            engine._pool.kill_overdue()
            assert value(engine.submit(train("pid"))) == worker.group

    def test_a_function_of_the_main_script_is_refused(self) -> None:
        def perform(job: Job) -> None: ...

        perform.__module__ = "__main__"
        with pytest.raises(ValueError, match="must be in a module that a worker can import"):
            ProcessEngine(perform, workers=1)

    def test_a_waiting_job_can_be_cancelled(self, tmp_path: Path) -> None:
        with ProcessEngine(engine_jobs.perform, workers=1) as engine:
            running = engine.submit(train("wait", str(tmp_path / "go")))
            eventually(running.running)
            waiting = engine.submit(train("write", str(tmp_path / "was run"), ""))
            assert waiting.cancel()
            (tmp_path / "go").touch()
            assert value(running)
            assert value(engine.submit(train("echo", 1))) == 1
        assert not (tmp_path / "was run").exists()

    def test_warnings_of_a_worker_reach_the_log_of_the_driver(
        self, processes: ProcessEngine, caplog: pytest.LogCaptureFixture
    ) -> None:
        value(processes.submit(train("log", "an image was skipped")))
        assert [(r.name, r.getMessage()) for r in caplog.records] == [
            ("engine_jobs", "an image was skipped")
        ]

    def test_nothing_that_a_worker_prints_reaches_the_terminal(
        self, processes: ProcessEngine, capfd: pytest.CaptureFixture[str]
    ) -> None:
        broken(processes.submit(train("print and exit", "litter")))
        assert capfd.readouterr() == ("", "")

    def test_a_worker_starts_without_torch(self, processes: ProcessEngine) -> None:
        modules = value(processes.submit(train("modules")))
        assert not {"torch", "numpy", "optuna"} & set(modules)

    @pytest.mark.slow
    def test_torch_keeps_the_budget_and_its_allocator_is_understood(self) -> None:
        with ProcessEngine(engine_jobs.perform, workers=1, threads=2) as engine:
            threads: list[int] = []
            for _ in range(2):
                failure = broken(engine.submit(train("torch"), threads.append))
                assert failure.kind == "out of memory", failure
        assert threads == [2, 2]

    def test_threads_are_the_cores_over_the_workers(self) -> None:
        with ProcessEngine(engine_jobs.perform, workers=2) as engine:
            environment = value(engine.submit(train("environment")))
            exclusive = value(engine.submit(measure("environment")))
        assert environment["OMP_NUM_THREADS"] == str(max(1, cores() // 2))
        assert exclusive["OMP_NUM_THREADS"] == str(cores())
