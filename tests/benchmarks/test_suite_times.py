"""The table of the seconds of tests by file, from logs of pytest."""

from __future__ import annotations

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
