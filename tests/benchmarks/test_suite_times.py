"""The table of the seconds of tests by file or by test, from logs of pytest."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import suite_times

BEFORE = """
============================= slowest durations ==============================
69.33s call     tests/test_chain.py::test_an_end_records[2]
1.50s setup    tests/test_report.py::test_one
0.25s teardown tests/test_report.py::test_one

(8872 durations < 0.005s hidden.  Use -vv to show these durations.)
3933 passed, 65 skipped, 20 warnings in 1066.43s (0:17:46)
"""
AFTER = """
30.00s call     tests/test_chain.py::test_an_end_records[2]
0.50s call     tests/search/report/test_report.py::TestPage::test_one[a b]
"""
WITH_CPU = """
9.00s call     tests/test_chain.py::test_an_end_records[2]
3 passed in 9.00s
================================= CPU seconds ==================================
4.50s cpu      collection
2.00s cpu      tests/search/test_chain.py::test_an_end_records[a b]
0.50s cpu      tests/search/test_chain.py::TestMore::test_one
"""
# Uses a tenth of a second of the processor, in a child that ends or in one that lives on.
BUSY = "import time\nwhile time.process_time() < 0.1: pass\n"


def test_setup_call_and_teardown_are_added_by_file() -> None:
    found = suite_times.seconds_by_file(BEFORE)
    assert found == {"test_chain.py": pytest.approx(69.33), "test_report.py": pytest.approx(1.75)}


def test_a_run_that_ended_has_its_wall_time() -> None:
    assert suite_times.wall_seconds(BEFORE) == 1066.43
    assert suite_times.wall_seconds(AFTER) is None


def test_a_file_that_moved_is_one_row() -> None:
    columns = {
        "before": suite_times.seconds_by_file(BEFORE),
        "after": suite_times.seconds_by_file(AFTER),
    }
    assert suite_times.table(columns, top=1).splitlines() == [
        "| file | before | after |",
        "| --- | ---: | ---: |",
        "| test_chain.py | 69.3 | 30.0 |",
        "| 1 others | 1.8 | 0.5 |",
        "| sum | 71.1 | 30.5 |",
    ]


def test_cpu_seconds_take_the_place_of_wall_seconds() -> None:
    assert suite_times.seconds_by_file(WITH_CPU) == {"collection": 4.5, "test_chain.py": 2.5}
    column = {"now": suite_times.seconds_by_test(WITH_CPU)}
    assert suite_times.table(column, top=2, what="test").splitlines() == [
        "| test | now |",
        "| --- | ---: |",
        "| collection | 4.5 |",
        "| test_chain.py::test_an_end_records[a b] | 2.0 |",
        "| 1 others | 0.5 |",
        "| sum | 7.0 |",
    ]


def test_what_children_use_counts() -> None:
    before = suite_times.cpu_seconds()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert suite_times.cpu_seconds() - before >= 0.08


@pytest.mark.skipif(sys.platform != "linux", reason="living children are read from /proc")
def test_what_living_children_use_counts_once() -> None:
    before = suite_times.cpu_seconds()
    program = f"{BUSY}print('done', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        living = suite_times.cpu_seconds()
        child.communicate(b"\n")
    ended = suite_times.cpu_seconds()
    assert living - before >= 0.08
    # Not lost with the child, and not added once more.
    assert ended - living == pytest.approx(0, abs=0.07)


def test_every_test_has_what_was_used_since_the_one_before() -> None:
    now = iter([0.0, 5.0, 5.5, 7.0])
    config: Any = SimpleNamespace(getoption=lambda *given: None, workeroutput={})
    meter = suite_times.Meter(config, clock=lambda: next(now))
    meter.pytest_collection_finish()
    meter.pytest_runtest_logfinish("a.py::test_one")
    meter.pytest_runtest_logfinish("a.py::test_two")
    meter.pytest_sessionfinish()
    seconds = {"collection": 5.0, "a.py::test_one": 0.5, "a.py::test_two": 1.5}
    assert config.workeroutput == {"cpu_seconds": seconds}
    controller: Any = SimpleNamespace(getoption=lambda *given: 2)
    both = suite_times.Meter(controller, clock=lambda: 0.0)
    both.pytest_runtest_logfinish("a.py::test_one")
    for _ in range(2):
        both.pytest_testnodedown(SimpleNamespace(workeroutput=config.workeroutput))
    assert both.seconds["a.py::test_two"] == 3.0
