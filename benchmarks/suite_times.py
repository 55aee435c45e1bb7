"""Seconds of the suite: of the processor by test, or of the wall by file.

Loaded as a plugin, it measures the CPU seconds of every test, which other work on the machine
hardly changes, and prints them at the end of the run::

    PYTHONPATH=.:benchmarks pytest -n 2 --dist worksteal -p suite_times | tee suite.log
    python benchmarks/suite_times.py suite.log --tests --top 25

Set-up and teardown count for the test that they ran for, so that what tests share counts for the
first of them, and so does what processes of theirs did: children that ended, and on Linux those
that live, with their children. Imports of the files of tests stand apart, as ``collection``.

Without the plugin there is the wall time that pytest prints, by file::

    pytest --durations=0 -vv | tee before.log
    python benchmarks/suite_times.py before.log after.log --top 20

pytest hides what took less than 5 ms unless ``-vv`` is given. With two logs there is a column for
each, and a file that moved is one row if its name is the same in both.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

LINE = re.compile(r"^(\d+\.\d+)s (?:setup|call|teardown|cpu) +(.+)$")
FILE = re.compile(r"^(\S+\.py)(?:::|$)")
CPU = re.compile(r"^(\d+\.\d+)s cpu +(.+)$")
END = re.compile(r"^=* ?\d+ (?:passed|failed).* in (\d+(?:\.\d+)?)s")
COLLECTION = "collection"


def cpu_seconds() -> float:
    """Return the CPU seconds of this process, its ended children and those that live."""
    own = os.times()
    ended = own.children_user + own.children_system
    return own.user + own.system + ended + _of_living(os.getpid())


def _of_living(process: int) -> float:
    """Return the CPU seconds of the living descendants of a process, with their ended children."""
    total = 0.0
    for child in _children(process):
        with suppress(OSError):  # ended meanwhile
            stat = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")
            total += _of_living(child)
    return total


def _children(process: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return found


class Meter:
    """Measures the tests of a process, and hands the seconds on with their reports."""

    def __init__(self, config: pytest.Config, clock: Callable[[], float] = cpu_seconds) -> None:
        self.config = config
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self.last = clock()

    def _lap(self) -> float:
        before, self.last = self.last, self.clock()
        return self.last - before

    def pytest_collection_finish(self) -> None:
        """Count what the imports of the files took."""
        self._add(COLLECTION, self._lap())

    def pytest_sessionfinish(self) -> None:
        """Hand the seconds of a worker to its controller."""
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["cpu_seconds"] = dict(self.seconds)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Count what was used since the test before."""
        # The controller of several workers is told of their tests, too, and does next to nothing.
        if not self.config.getoption("numprocesses", None):
            self._add(nodeid, self._lap())

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the seconds of a worker that ended."""
        for name, seconds in getattr(node, "workeroutput", {}).get("cpu_seconds", {}).items():
            self._add(name, seconds)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the seconds, the most first."""
        terminalreporter.section("CPU seconds")
        for name, seconds in sorted(self.seconds.items(), key=lambda item: (-item[1], item[0])):
            terminalreporter.write_line(f"{seconds:.2f}s cpu      {name}")

    def _add(self, name: str, seconds: float) -> None:
        self.seconds[name] += seconds


def pytest_configure(config: pytest.Config) -> None:
    """Measure the tests of this process."""
    config.pluginmanager.register(Meter(config), "suite-times-meter")


def seconds_by_file(log: str) -> dict[str, float]:
    """Return the seconds of each file of tests in a log, by the file's name.

    CPU seconds where the log has them.
    """
    found: dict[str, float] = defaultdict(float)
    for name, seconds in _lines(log):
        if match := FILE.match(name):
            found[PurePosixPath(match[1]).name] += seconds
        elif name == COLLECTION:
            found[name] += seconds
    return dict(found)


def seconds_by_test(log: str) -> dict[str, float]:
    """Return the seconds of each test in a log, by its file's name and its own."""
    found: dict[str, float] = defaultdict(float)
    for name, seconds in _lines(log):
        file, *rest = name.split("::", 1)
        found["::".join([PurePosixPath(file).name, *rest])] += seconds
    return dict(found)


def _lines(log: str) -> Iterator[tuple[str, float]]:
    lines = log.splitlines()
    pattern = CPU if any(CPU.match(line) for line in lines) else LINE
    for line in lines:
        if match := pattern.match(line):
            yield match[2], float(match[1])


def wall_seconds(log: str) -> float | None:
    """Return the wall time of the whole run, or None if the log does not say."""
    ends = [match for line in log.splitlines() if (match := END.match(line))]
    return float(ends[-1][1]) if ends else None


def table(columns: Mapping[str, Mapping[str, float]], *, top: int, what: str = "file") -> str:
    """Return a Markdown table of files or tests against logs, the largest of the first on top."""
    names = list(columns)
    rows_of = {name for column in columns.values() for name in column}
    first = columns[names[0]]
    order = sorted(rows_of, key=lambda name: (-first.get(name, 0.0), name))
    rows = [[what, *names], ["---", *["---:"] * len(names)]]
    rows += [_row(name, [columns[log].get(name) for log in names]) for name in order[:top]]
    if rest := order[top:]:
        sums = [sum(columns[log].get(name, 0.0) for name in rest) for log in names]
        rows.append(_row(f"{len(rest)} others", sums))
    rows.append(_row("sum", [sum(columns[log].values()) for log in names]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(name: str, seconds: Sequence[float | None]) -> list[str]:
    return [name, *("" if value is None else f"{value:.1f}" for value in seconds)]


def main() -> None:
    """Print the table of the logs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG")
    parser.add_argument("--tests", action="store_true", help="a row a test, not a file")
    parser.add_argument("--top", type=int, default=30, help="rows before the others are summed")
    options = parser.parse_args()
    texts = {file.stem: file.read_text(encoding="utf-8") for file in options.logs}
    seconds = seconds_by_test if options.tests else seconds_by_file
    columns = {name: seconds(text) for name, text in texts.items()}
    print(table(columns, top=options.top, what="test" if options.tests else "file"))
    for name, text in texts.items():
        wall = wall_seconds(text)
        print(f"{name}: {'not finished' if wall is None else f'{wall:.0f} s of wall time'}")


if __name__ == "__main__":
    main()
