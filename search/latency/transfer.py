"""Latencies in CSV files: exported from one table of latencies, imported into another."""

from __future__ import annotations

import csv
import difflib
import io
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from archfront.search.catalog import catalog
from archfront.search.errors import TableError
from archfront.search.latency.csv_columns import COLUMNS, REQUIRED, BadCellError
from archfront.search.latency.database import Entry, KnownDevice, LatencyKey
from archfront.search.records.evaluation import Latency, Measurement
from archfront.trainers.files import read_file
from archfront.trainers.spec import Architecture
from archfront.trainers.tasks import TASKS


@dataclass
class ImportedLatencies:
    """The latencies of a file.

    Attributes:
        entries: The good rows, with the source ``imported``.
        words: Names of the devices for people, by id.
        problems: The errors of the bad rows, with line numbers.
        n_bad: Number of the bad rows.
    """

    entries: list[Entry] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    n_bad: int = 0


def write_csv(file: TextIO, entries: Iterable[Entry], devices: Mapping[str, KnownDevice]) -> None:
    """Write every entry as a row; ``read_csv`` gives the same numbers back to the last bit."""
    writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        device = devices.get(entry.key.device)
        row = {**as_row(entry), "device_words": device.words if device else entry.key.device}
        writer.writerow({name: _cell(row[name]) for name in COLUMNS})


def as_row(entry: Entry) -> dict[str, Any]:
    """Return the values of an entry by column; None for those that are not known."""
    key, measured = entry.key, entry.measurement
    latency = measured.latency
    values: dict[str, Any] = {
        "device_words": None,
        "latency_ms": latency.p50_ms,
        "cores": latency.affinity,
        "measured_at": datetime.fromtimestamp(entry.measured_at, UTC).isoformat(),
    }
    for name in COLUMNS:
        for part in (key, key.architecture, latency, measured):
            if name not in values and hasattr(part, name):
                values[name] = getattr(part, name)
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def read_csv(
    path: Path, *, device: str | None = None, clock: Callable[[], float] = time.time
) -> ImportedLatencies:
    """Return the latencies of a file; a bad row does not keep the others out.

    Args:
        path: The file, UTF-8, columns between commas and named in its first line.
        device: Replaces the column of this name.
        clock: The time at which rows without a date count as measured.

    Raises:
        TableError: If it is no such file.
    """
    rows = _rows(path, _text(path), absent={"device"} if device else set())
    found = ImportedLatencies()
    lines: dict[LatencyKey, int] = {}
    for line, cells in rows:
        problems: list[str] = []
        values = {} if isinstance(cells, str) else _values(cells, device, problems)
        if isinstance(cells, str):
            problems = [cells]
        if not problems:
            entry = _entry(values, clock())
            first = lines.setdefault(entry.key, line)
            if first == line:
                found.entries.append(entry)
                found.words.setdefault(
                    entry.key.device, values["device_words"] or values["device"]
                )
                continue
            problems = [f"measures the same as line {first}"]
        found.n_bad += 1
        found.problems += [f"line {line}: {problem}." for problem in problems]
    if not found.entries and not found.n_bad:
        raise TableError(f"{path} has columns and no rows: there is nothing to import.")
    return found


# Of a million latencies.
TABLE_MB = 200


def _text(path: Path) -> str:
    try:
        text = read_file(path, TABLE_MB).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TableError(
            f"{path} is not UTF-8 text: line {line} has the byte "
            f"0x{error.object[error.start]:02x}. Save it as CSV in UTF-8."
        ) from error
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}.") from error
    if not text.strip():
        raise TableError(f"{path} is empty. Needed are the columns {', '.join(REQUIRED)}.")
    return text


def _rows(path: Path, text: str, absent: set[str]) -> list[tuple[int, dict[str, str] | str]]:
    """Return the line and the cells by column of every row with content, or its error."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str] | str]] = []
    names: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip() for cell in cells]
                _check_header(path, names, absent)
            elif len(cells) != len(names):
                rows.append(
                    (
                        reader.line_num,
                        f"has {len(cells)} cells, and there are {len(names)} columns",
                    )
                )
            else:
                stripped = (cell.strip() for cell in cells)
                rows.append((reader.line_num, dict(zip(names, stripped, strict=True))))
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}, is not CSV: {error}.") from error
    return rows


def _check_header(path: Path, names: Sequence[str], absent: set[str]) -> None:
    """Raise unless the first line names columns that are known, with all that are needed."""
    for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(names) == 1 and mark in names[0]:
            raise TableError(
                f"{path} has its columns between {word}; commas are needed, and points in numbers."
            )
    problems = [f"the column {n!r} is missing" for n in REQUIRED if n not in {*names, *absent}]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            problems.append(f"the column {name!r} is there {names.count(name)} times")
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            problems.append(f"the column {name!r} is not known{hint}")
    if problems:
        raise TableError(
            f"{path}: {'; '.join(problems)}. Needed: {', '.join(REQUIRED)}. "
            f"Optional: {', '.join(n for n in COLUMNS if n not in REQUIRED)}."
        )


def _values(cells: Mapping[str, str], device: str | None, problems: list[str]) -> dict[str, Any]:
    """Return the values of a row by column, and add its errors to ``problems``."""
    values: dict[str, Any] = {}
    for name, column in COLUMNS.items():
        text = cells.get(name, "")
        if name == "device" and device is not None:
            text = device
        if not text:
            values[name] = column.default
            if column.is_required:
                problems.append(f"{name}: is empty")
            continue
        try:
            values[name] = column.read(text)
        except BadCellError as bad:
            problems.append(f"{name}: {bad}; got {text!r}")
    backbone = catalog().get(values.get("backbone") or "")
    if backbone is not None and values.get("fused") is None:
        values["fused"] = backbone.is_fusable
    task = TASKS.get(values.get("task", ""))
    head = values.get("head")
    if task is not None and head is not None and head not in task.heads:
        problems.append(f"head: one of {', '.join(task.heads)} is needed; got {head!r}")
    return values


def _entry(values: Mapping[str, Any], now: float) -> Entry:
    def of(cls: type, **known: Any) -> dict[str, Any]:
        names = cls.__dataclass_fields__  # type: ignore[attr-defined]
        return {name: values[name] for name in names if name in values} | known

    architecture = Architecture(**of(Architecture))
    key = LatencyKey(**of(LatencyKey, architecture=architecture))
    p50_ms, cores = values["latency_ms"], values["cores"]
    latency = Latency(**of(Latency, p50_ms=p50_ms, source="imported", affinity=cores))
    measurement = Measurement(**of(Measurement, latency=latency))
    return Entry(key, measurement, values["measured_at"] or now)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
