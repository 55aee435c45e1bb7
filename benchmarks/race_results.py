"""The file of results of a race, to which each run is added when it is done, and its table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from race import Ended, Row
from race_records import Aim, Course, missed

from archfront.search.records.candidate import short_hash


def fresh(folder: Path) -> Path:
    """Return a folder without what a run that was stopped left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def told(
    settings: Row,
    figures: Row,
    aims: Sequence[Aim],
    course: Course,
    ended: Mapping[str, Ended],
) -> Row:
    """Print the aims of a run in words, the missed ones as missed, and return the run's row."""
    for aim in aims:
        print(f"  {aim}", flush=True)
    own = ended["archfront"]
    if own.status != 0:
        print(f"  archfront ended with {own.status}: {course.reason}", flush=True)
    return {
        "settings": settings,
        "figures": {**figures, "ended_s": round(own.seconds, 1), "missed": missed(aims)},
        "aims": [aim.as_row() for aim in aims],
        "ended": {name: one.as_row() for name, one in ended.items()},
        "archfront": course.as_row(),
    }


def run_all(
    out: Path, folder: Path, wanted: Iterable[Row], run: Callable[[Row, Path], Row]
) -> list[Row]:
    """Do the runs that a file of results lacks, and return all of it.

    Args:
        out: The file, written after every run.
        folder: For files of the runs, each in a folder of its own.
        wanted: Settings of each run.
        run: Returns the row of a run by its settings and folder.
    """
    runs = read_runs(out)
    for settings in wanted:
        if has_run(runs, settings):
            continue
        print(f"{settings}", flush=True)
        runs.append(run(settings, fresh(folder / short_hash(settings))))
        write_runs(out, runs)
    return runs


def read_runs(out: Path) -> list[Row]:
    """Return the runs that a file of results has; none where it is not there."""
    if not out.is_file():
        return []
    runs: list[Row] = json.loads(out.read_text(encoding="utf-8"))["runs"]
    return runs


def has_run(runs: Sequence[Row], settings: Row) -> bool:
    """Return whether a run with these settings was done, and say so."""
    found = any(run["settings"] == settings for run in runs)
    if found:
        print(f"found already: {settings}", flush=True)
    return found


def write_runs(out: Path, runs: Sequence[Row]) -> None:
    """Write the file of results, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps({"runs": list(runs)}, indent=1) + "\n", encoding="utf-8")
    part.replace(out)


def table(runs: Sequence[Row], columns: Sequence[str]) -> str:
    """Return a markdown table of the runs' values of these names."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for run in runs:
        values = {**run["settings"], **run["figures"]}
        lines.append("| " + " | ".join(_cell(values.get(name)) for name in columns) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def print_end(runs: Sequence[Row], columns: Sequence[str], out: Path) -> int:
    """Print the table and all missed aims; return 1 where there is one, for the exit status."""
    print("\n" + table(runs, (*columns, "n_late", "ended_s", "missed")))
    print(f"written to {out}")
    return int(any(run["figures"]["missed"] for run in runs))
