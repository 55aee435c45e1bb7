"""Latencies as a CSV file: what one device measured, for another table or for people."""

from __future__ import annotations

import csv
import difflib
import io
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from archfront.search.catalog import catalog
from archfront.search.errors import TableError
from archfront.search.latency.database import Entry, KnownDevice, LatencyKey
from archfront.search.records.evaluation import Latency, Measurement
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.spec import Architecture
from archfront.trainers.tasks import NECKS, TASKS


class _BadCell(Exception):
    """A cell that does not fit; its text says what is needed."""


@dataclass(frozen=True)
class Column:
    """A column: how a cell is read, and what an empty or absent one means."""

    read: Callable[[str], Any]
    default: Any = None
    is_required: bool = False


@dataclass
class Reading:
    """What a file held.

    Attributes:
        entries: The good rows, their source ``imported``.
        words: What people call the devices, by id.
        problems: What is wrong with the others, with line numbers.
        n_bad: How many these are.
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
    """Return an entry flat, by the names of the columns; None for what is not known."""
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
) -> Reading:
    """Read a file, every row of it whatever the others are.

    Args:
        path: The file, UTF-8, columns between commas and named in its first line.
        device: Takes the place of the column of this name.
        clock: When rows were measured that do not say it.

    Raises:
        TableError: If it is not such a file at all.
    """
    rows = _rows(path, _text(path), absent={"device"} if device else set())
    reading = Reading()
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
                reading.entries.append(entry)
                reading.words.setdefault(
                    entry.key.device, values["device_words"] or values["device"]
                )
                continue
            problems = [f"measures the same as line {first}"]
        reading.n_bad += 1
        reading.problems += [f"line {line}: {problem}." for problem in problems]
    if not reading.entries and not reading.n_bad:
        raise TableError(f"{path} has columns and no rows: there is nothing to import.")
    return reading


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
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
    """Return line and cells by column of every row that is not blank, or what is wrong with it."""
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
    """Return the values of a row by column, and add what is wrong with it to ``problems``."""
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
        except _BadCell as bad:
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


def _any_text(text: str) -> str:
    if not text.isprintable() or len(text) > 200:
        raise _BadCell("up to 200 printable characters are needed")
    return text


def _one_of(known: Iterable[str]) -> Callable[[str], str]:
    names = tuple(known)

    def read(text: str) -> str:
        if text not in names:
            raise _BadCell(f"one of {', '.join(names)} is needed")
        return text

    return read


def _backbone(text: str) -> str:
    if text not in catalog() and not is_hub(text):
        raise _BadCell(f"a timm architecture without a tag is needed{_near(text)}")
    return text


@lru_cache(maxsize=1024)
def _near(name: str) -> str:
    near = difflib.get_close_matches(name.split(".")[0], list(catalog()), n=3)
    return f" (near: {', '.join(near)})" if near else ""


def _whole(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= low):
            raise _BadCell(f"a whole number of at least {low} is needed")
        return int(text)

    return read


def _number(words: str, is_good: Callable[[float], bool]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and is_good(value)):
            raise _BadCell(f"{words} is needed")
        return value

    return read


def _flag(text: str) -> bool:
    values = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in values:
        raise _BadCell("true or false is needed")
    return values[text.lower()]


def _cores(text: str) -> tuple[int, ...]:
    cores = text.split()
    if not all(core.isascii() and core.isdigit() for core in cores):
        raise _BadCell("numbers of cores with spaces between them are needed")
    return tuple(sorted({int(core) for core in cores}))


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _BadCell("a date as 2026-01-31 or 2026-01-31T12:30 is needed") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_POSITIVE = _number("a number above 0", lambda value: value > 0)
_AT_LEAST_0 = _number("a number of at least 0", lambda value: value >= 0)
_NAME = Column(_any_text, is_required=True)

COLUMNS: dict[str, Column] = {
    "device": _NAME,
    "device_words": Column(_any_text),
    "runtime": _NAME,
    "runtime_version": Column(_any_text, ""),
    "threads": Column(_whole(1), 1),
    "batch_size": Column(_whole(1), 1),
    "precision": Column(_any_text, "fp32"),
    "timm_version": Column(_any_text, ""),
    "affinity": Column(_cores),
    "task": Column(_one_of(TASKS), "classification"),
    "backbone": Column(_backbone, is_required=True),
    "head": _NAME,
    "input_size": Column(_whole(1), is_required=True),
    "classes": Column(_whole(1), is_required=True),
    "channels": Column(_whole(1), is_required=True),
    "fused": Column(_flag),  # empty: as a study would have it
    "neck": Column(_one_of(NECKS), "none"),
    "width": Column(_whole(0), 0),
    "depth": Column(_whole(0), 0),
    "finest": Column(_whole(0), 0),
    "latency_ms": Column(_POSITIVE, is_required=True),
    "p95_ms": Column(_POSITIVE, math.nan),
    "spread": Column(_AT_LEAST_0, math.nan),
    "repeats": Column(_whole(0), 0),
    "warmup": Column(_whole(0), 0),
    "is_stable": Column(_flag, True),
    "interval": Column(_AT_LEAST_0),
    "drift": Column(_number("a number", lambda value: True)),
    "parity": Column(_AT_LEAST_0),
    "cores": Column(_cores),
    "params_m": Column(_POSITIVE, math.nan),
    "macs_g": Column(_POSITIVE, math.nan),
    "size_mb": Column(_POSITIVE, math.nan),
    "memory_mb": Column(_POSITIVE),
    "throughput_ips": Column(_POSITIVE),
    "throughput_batch": Column(_whole(1)),
    "energy_mj": Column(_POSITIVE),
    "seconds": Column(_AT_LEAST_0, 0.0),
    "exporter": Column(_any_text, ""),
    "measured_at": Column(_moment),
}
REQUIRED = tuple(name for name, column in COLUMNS.items() if column.is_required)
