"""Seconds of the tests by file: the sum of what ``pytest --durations=0 -vv`` prints.

::

    pytest --durations=0 -vv | tee suite.log
    python benchmarks/suite_times.py suite.log
    python benchmarks/suite_times.py before.log after.log --top 20

Set-up, call and teardown of every test of a file are added. pytest hides what took less than 5 ms
unless ``-vv`` is given. With two logs there is a column for each, and a file that moved is one row
if its name is the same in both.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

LINE = re.compile(r"^(\d+\.\d+)s (?:setup|call|teardown) +(\S+\.py)(?:::|$)")
END = re.compile(r"^=* ?\d+ (?:passed|failed).* in (\d+(?:\.\d+)?)s")


def seconds_by_file(log: str) -> dict[str, float]:
    """Return the seconds of each file of tests in a log, by the file's name."""
    found: dict[str, float] = defaultdict(float)
    for line in log.splitlines():
        if match := LINE.match(line):
            found[PurePosixPath(match[2]).name] += float(match[1])
    return dict(found)


def wall_seconds(log: str) -> float | None:
    """Return the wall time of the whole run, or None if the log does not say."""
    ends = [match for line in log.splitlines() if (match := END.match(line))]
    return float(ends[-1][1]) if ends else None


def table(columns: Mapping[str, Mapping[str, float]], *, top: int) -> str:
    """Return a Markdown table of files against logs, the largest of the first log on top."""
    names = list(columns)
    files = {file for column in columns.values() for file in column}
    first = columns[names[0]]
    order = sorted(files, key=lambda file: (-first.get(file, 0.0), file))
    rows = [["file", *names], ["---", *["---:"] * len(names)]]
    rows += [_row(file, [columns[name].get(file) for name in names]) for file in order[:top]]
    if rest := order[top:]:
        sums = [sum(columns[name].get(file, 0.0) for file in rest) for name in names]
        rows.append(_row(f"{len(rest)} others", sums))
    rows.append(_row("sum", [sum(columns[name].values()) for name in names]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(file: str, seconds: Sequence[float | None]) -> list[str]:
    return [file, *("" if value is None else f"{value:.1f}" for value in seconds)]


def main() -> None:
    """Print the table of the logs named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG")
    parser.add_argument("--top", type=int, default=30, help="rows before the others are summed")
    options = parser.parse_args()
    texts = {file.stem: file.read_text(encoding="utf-8") for file in options.logs}
    columns = {name: seconds_by_file(text) for name, text in texts.items()}
    print(table(columns, top=options.top))
    for name, text in texts.items():
        wall = wall_seconds(text)
        print(f"{name}: {'not finished' if wall is None else f'{wall:.0f} s of wall time'}")


if __name__ == "__main__":
    main()
