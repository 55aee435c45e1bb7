from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest

from archfront.search.engine.engines import ENGINES
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Done, Engine, Job
from archfront.search.engine.processes import ProcessEngine
from archfront.search.errors import ConfigError
from tests.support import engine_jobs
from tests.support.engine_checks import assert_matches, broken, measure, result, train, value
from tests.support.waiting import DEADLINE_S

# Those whose start takes seconds are open for all tests: the fixtures that give them.
SHARED = {
    "ray": "ray_engine",
    "ray, files sent": "sending_engine",
    "submitit": "submitit_engine",
}
ON_RAY = (pytest.mark.slow, pytest.mark.xdist_group("ray"))


@pytest.fixture(
    params=[
        pytest.param(name, marks=ON_RAY if name.startswith("ray") else ())
        for name in sorted({*ENGINES, *SHARED})
    ]
)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param in SHARED:
        yield request.getfixturevalue(SHARED[request.param])()
        return
    with ENGINES[request.param](engine_jobs.perform, workers=1, threads=1) as engine:
        yield engine


class TestEveryEngine:
    def test_a_job_gives_its_value_and_its_seconds(self, engine: Engine) -> None:
        done = result(engine.submit(train("echo", {"accuracy": 0.5})))
        assert isinstance(done, Done)
        assert done.value == {"accuracy": 0.5}
        assert 0 <= done.seconds < DEADLINE_S

    def test_a_large_payload_comes_back_whole(self, engine: Engine) -> None:
        payload = os.urandom(5_000_000)
        assert value(engine.submit(train("echo", payload))) == payload

    def test_many_jobs_come_back_in_order(self, engine: Engine) -> None:
        futures = [engine.submit(train("echo", n)) for n in range(200)]
        assert [value(f) for f in futures] == list(range(200))

    @pytest.mark.parametrize(
        ("name", "kind", "message"),
        [
            ("build", "build", "No stride 32 in this network. Choose another backbone."),
            ("weights", "build", "The weights of resnet18 are missing."),
            ("fetch", "weights", "The weights of resnet18 could not be fetched."),
            ("export", "export", "No exporter takes it."),
            ("parity", "parity", "The export differs by 0.5."),
            ("data", "data", "cat.png is broken."),
            ("diverged", "diverged", "The loss is not finite at step 3."),
            ("config", "crash", "The first problem.\nThe second problem."),
        ],
    )
    def test_an_error_of_ours_keeps_its_words(
        self, engine: Engine, name: str, kind: str, message: str
    ) -> None:
        failure = broken(engine.submit(train("raise", name)))
        assert (failure.kind, failure.message) == (kind, message)

    @pytest.mark.parametrize(
        ("name", "kind", "start"),
        [
            ("memory", "out of memory", "MemoryError: Unable to allocate 7 TiB (engine_jobs.py:"),
            ("torch cpu memory", "out of memory", "RuntimeError: [enforce fail at alloc_cpu.cpp"),
            ("other", "crash", "ValueError: a shape (3, 4) that does not fit (engine_jobs.py:"),
            ("silent", "crash", "ValueError (engine_jobs.py:"),
            ("exit", "crash", "SystemExit: 3 (engine_jobs.py:"),
        ],
    )
    def test_a_foreign_error_is_named_with_its_place(
        self, engine: Engine, name: str, kind: str, start: str
    ) -> None:
        failure = broken(engine.submit(train("raise", name)))
        assert failure.kind == kind
        assert failure.message.startswith(start)
        assert failure.message.endswith(" in _raise)")
        assert value(engine.submit(train("echo", 1))) == 1

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("disk", r"OSError: \[Errno 28\] No space left on device \(.* in _raise\)"),
            ("export to a full disk", "No exporter takes it"),
        ],
    )
    def test_a_failure_of_the_machine_says_what_to_do(
        self, engine: Engine, name: str, said: str
    ) -> None:
        failure = broken(engine.submit(train("raise", name)))
        assert failure.kind == "machine"
        expected = rf"^The disk is full: {said}\. Free space, or raise the quota\.$"
        assert_matches(failure.message, expected)

    def test_the_traceback_is_logged_for_those_who_debug(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            broken(engine.submit(train("raise", "other")))
        assert "Traceback" in caplog.text
        assert "raise ERRORS[name]" in caplog.text

    def test_events_arrive_in_order_before_the_result(self, engine: Engine) -> None:
        events: list[Any] = []
        sent = [{"epoch": 1}, ("epoch", 2), 3]
        assert value(engine.submit(train("emit", sent), events.append)) == 3
        assert events == sent
        assert value(engine.submit(train("emit", sent))) == 3

    def test_a_listener_that_fails_does_not_harm_the_job(
        self, engine: Engine, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(event: Any) -> None:
            raise KeyError(event)

        assert value(engine.submit(train("emit", ["an event"]), fail)) == 1
        assert "A listener to a job's events failed." in caplog.text

    def test_a_job_knows_its_thread_budget(self, engine: Engine) -> None:
        environment = value(engine.submit(train("environment")))
        assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "1"

    def test_an_exclusive_job_runs_like_any_other(self, engine: Engine) -> None:
        assert value(engine.submit(measure("echo", 1))) == 1
        assert broken(engine.submit(measure("raise", "parity"))).kind == "parity"
        assert value(engine.submit(measure("echo", 2))) == 2

    def test_a_closed_engine_refuses_jobs_without_an_exception(self, engine: Engine) -> None:
        engine.close()
        engine.close()
        failure = broken(engine.submit(train("echo", 1)))
        assert failure.kind == "crash"
        assert failure.message == "The engine was closed before the job came to its end."


class TestInline:
    def test_it_says_that_it_isolates_nothing(self) -> None:
        assert not InlineEngine.isolates
        assert ProcessEngine.isolates

    def test_a_job_runs_in_this_process_and_is_finished_at_once(self) -> None:
        future = InlineEngine(engine_jobs.perform).submit(train("pid"))
        assert future.done()
        assert value(future) == os.getpid()

    def test_ctrl_c_passes_through(self) -> None:
        def interrupt(job: Job) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            InlineEngine(interrupt).submit(train())

    def test_the_environment_is_as_before_after_a_job(self) -> None:
        before = dict(os.environ)
        assert value(InlineEngine(engine_jobs.perform, threads=3).submit(train("environment")))
        assert dict(os.environ) == before

    def test_several_workers_are_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"engine\.workers=2: .* engine=processes"):
            InlineEngine(engine_jobs.perform, workers=2)
