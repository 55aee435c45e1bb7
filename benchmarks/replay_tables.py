"""Replay tables: architectures whose accuracy and latency are already known, read and checked.

A folder holds ``tasks.json``, an object by table name with ``ref_accuracy`` (percent; less earns
nothing), ``latency_scale`` (``log`` or ``linear``) and, where there is an ``accuracy_low``,
``low_fidelity_cost`` (of a full training), and a ``NAME.csv.gz`` for each, with a row an
architecture and these columns; others are ignored:

    id             name of the architecture
    accuracy       final accuracy, percent
    latency_ms     measured latency
    accuracy_low   optional: accuracy after a short training, percent
    train_s        optional: seconds that the training took
    prior          optional: accuracy published for another dataset, percent
    n_*            optional: numeric descriptors
    c_*            optional: categorical descriptors
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.search.errors import TableError, unknown
from archfront.search.front.pareto import front_mask, hypervolume

Floats = NDArray[np.float64]

REQUIRED = ("id", "accuracy", "latency_ms")
OPTIONAL = ("accuracy_low", "train_s", "prior")
SCALES = ("log", "linear")
# Of normalized losses: the table's slowest latency, and the accuracy that earns nothing.
CORNER = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Table:
    """A replay table.

    Attributes:
        name: Its name in ``tasks.json``.
        ids: Names of the architectures, each once.
        accuracy: Final accuracy in percent, shape ``(n_rows,)``.
        latency_ms: Measured latency, shape ``(n_rows,)``.
        ref_accuracy: Percent; an accuracy below it earns nothing.
        latency_scale: ``log`` or ``linear``.
        train_s: Seconds of each training, NaN where that is not known; None without the column.
        prior: Published accuracy in percent, NaN where there is none; None without the column.
        numeric: The ``n_*`` columns, NaN where a value is missing; ``(n_rows, n_numeric)``.
        numeric_names: Their names without the prefix.
        labels: The ``c_*`` columns, ``(n_rows, n_categorical)`` texts.
        categorical_names: Their names without the prefix.
        accuracy_low: Accuracy after a short training in percent; None without the column.
        low_cost: Cost of a short training over that of a full one; None where it is not told.
    """

    name: str
    ids: tuple[str, ...]
    accuracy: Floats
    latency_ms: Floats
    ref_accuracy: float
    latency_scale: str
    train_s: Floats | None
    prior: Floats | None
    numeric: Floats
    numeric_names: tuple[str, ...]
    labels: NDArray[np.str_]
    categorical_names: tuple[str, ...]
    accuracy_low: Floats | None = None
    low_cost: float | None = None

    @property
    def has_low(self) -> bool:
        """Return whether short trainings can be replayed."""
        return self.accuracy_low is not None and self.low_cost is not None

    @cached_property
    def losses(self) -> Floats:
        """Return error and latency, 0 at the table's best and 1 at the reference; ``(n, 2)``."""
        best = self.accuracy.max()
        error = (best - self.accuracy) / (best - self.ref_accuracy)
        is_log = self.latency_scale == "log"
        latency = np.log(self.latency_ms) if is_log else self.latency_ms
        scaled = (latency - latency.min()) / np.ptp(latency)
        return np.stack([error, scaled], axis=1)

    @cached_property
    def volume(self) -> float:
        """Return the hypervolume of the true front, at most 1."""
        return hypervolume(self.losses, CORNER)

    def shares(self, picks: Sequence[int]) -> Floats:
        """Return the share of the true front's hypervolume after each pick, ``(n_picks,)``."""
        kept = np.empty((0, 2))
        shares = []
        for pick in picks:
            kept = np.unique(np.vstack([kept, self.losses[pick]]), axis=0)
            kept = kept[front_mask(kept)]
            shares.append(hypervolume(kept, CORNER) / self.volume)
        return np.array(shares)

    @cached_property
    def has_grid(self) -> bool:
        """Return whether the categorical columns name every row, and every combination is one."""
        n_columns = len(self.categorical_names)
        if n_columns < 2:
            return False
        n_combinations = math.prod(len(np.unique(column)) for column in self.labels.T)
        return n_combinations == len(self.ids) == len(set(map(tuple, self.labels.tolist())))


def load_tables(folder: Path, names: Sequence[str] = ()) -> list[Table]:
    """Return the named tables of a folder, or all of them by name.

    Raises:
        TableError: If the folder or a file is not as the module's docstring says.
        ConfigError: If a name is not in ``tasks.json``.
    """
    tasks = _tasks(folder)
    for name in names:
        if name not in tasks:
            raise unknown("table", name, tasks)
    return [_table(folder, name, tasks[name]) for name in dict.fromkeys(names or sorted(tasks))]


def _tasks(folder: Path) -> dict[str, Any]:
    file = folder / "tasks.json"
    if not folder.is_dir():
        raise TableError(f"There is no folder {folder}. Give the folder of tasks.json.")
    if not file.is_file():
        raise TableError(f"There is no {file}, which describes the tables of this folder.")
    try:
        tasks = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"{file} cannot be read: {error}.") from error
    if not isinstance(tasks, dict) or not tasks:
        raise TableError(f"{file} must be an object with an entry for each table.")
    return tasks


def _table(folder: Path, name: str, task: Any) -> Table:
    reference, scale = _task(folder / "tasks.json", name, task)
    low_cost = _low_cost(folder / "tasks.json", name, task)
    file = folder / f"{name}.csv.gz"
    columns = _columns(file)
    numbers = {
        column: _numbers(file, columns, column)
        for column in columns
        if column in (*REQUIRED[1:], *OPTIONAL) or column.startswith("n_")
    }
    numeric = [column for column in columns if column.startswith("n_")]
    categorical = [column for column in columns if column.startswith("c_")]
    n_rows = len(columns["id"])
    table = Table(
        name=name,
        ids=tuple(columns["id"]),
        accuracy=numbers["accuracy"],
        latency_ms=numbers["latency_ms"],
        ref_accuracy=reference,
        latency_scale=scale,
        train_s=numbers.get("train_s"),
        prior=numbers.get("prior"),
        numeric=np.array([numbers[c] for c in numeric]).reshape(len(numeric), n_rows).T,
        numeric_names=tuple(c.removeprefix("n_") for c in numeric),
        labels=np.array([columns[c] for c in categorical], dtype=str)
        .reshape(len(categorical), n_rows)
        .T,
        categorical_names=tuple(c.removeprefix("c_") for c in categorical),
        accuracy_low=numbers.get("accuracy_low"),
        low_cost=low_cost,
    )
    _check_values(file, table)
    return table


def _task(file: Path, name: str, task: Any) -> tuple[float, str]:
    """Return reference accuracy and latency scale of an entry of ``tasks.json``."""
    if not isinstance(task, dict):
        raise TableError(f"{file}: {name} must be an object; got {task!r}.")
    for key in ("ref_accuracy", "latency_scale"):
        if key not in task:
            raise TableError(f"{file}: {name} has no {key}.")
    reference, scale = task["ref_accuracy"], task["latency_scale"]
    is_number = isinstance(reference, int | float) and not isinstance(reference, bool)
    if not is_number or not math.isfinite(reference):
        raise TableError(f"{file}: {name}.ref_accuracy must be a number; got {reference!r}.")
    if scale not in SCALES:
        words = " or ".join(SCALES)
        raise TableError(f"{file}: {name}.latency_scale must be {words}; got {scale!r}.")
    return float(reference), scale


def _low_cost(file: Path, name: str, task: Any) -> float | None:
    """Return what a short training costs, of a checked entry of ``tasks.json``."""
    cost = task.get("low_fidelity_cost")
    if cost is None:
        return None
    is_number = isinstance(cost, int | float) and not isinstance(cost, bool)
    if not is_number or not 0 < cost < 1:
        raise TableError(f"{file}: {name}.low_fidelity_cost must lie in (0, 1); got {cost!r}.")
    return float(cost)


def _columns(file: Path) -> dict[str, list[str]]:
    """Return the texts of every column."""
    if not file.is_file():
        raise TableError(f"There is no {file}, though tasks.json names it.")
    try:
        with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
            header, *rows = [row for row in csv.reader(text) if row] or [[]]
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise TableError(f"{file} cannot be read as gzipped csv: {error}.") from error
    repeated = [column for column, count in Counter(header).items() if count > 1]
    if repeated:
        raise TableError(f"{file}: there are several columns {', '.join(repeated)}.")
    missing = [column for column in REQUIRED if column not in header]
    if missing:
        there = f"It has: {', '.join(header) or 'none'}."
        raise TableError(f"{file}: there is no column {', '.join(missing)}. {there}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise TableError(
                f"{file}: row {number} has {len(row)} values; the header has {len(header)}."
            )
    if len(rows) < 2:
        raise TableError(f"{file}: a table needs two rows or more; got {len(rows)}.")
    columns = {column: [row[i] for row in rows] for i, column in enumerate(header)}
    repeated = [id_ for id_, count in Counter(columns["id"]).items() if count > 1]
    if repeated:
        more = f" and {len(repeated) - 5} more" if len(repeated) > 5 else ""
        shown = ", ".join(map(repr, repeated[:5]))
        raise TableError(f"{file}: several rows have the id {shown}{more}; ids must differ.")
    return columns


def _numbers(file: Path, columns: dict[str, list[str]], column: str) -> Floats:
    """Return a column as numbers; an empty one is NaN, which only descriptors and such may be."""
    numbers = np.empty(len(columns["id"]))
    for row, text in enumerate(columns[column]):
        try:
            numbers[row] = float(text) if text.strip() else math.nan
        except ValueError as error:
            id_ = columns["id"][row]
            raise TableError(
                f"{file}: row {row + 1} (id {id_!r}): {column} must be a number; got {text!r}."
            ) from error
    return numbers


def _check_values(file: Path, table: Table) -> None:
    """Refuse what leaves no front or no scale to judge by."""
    required = ["accuracy", "latency_ms", *(["accuracy_low"] if table.has_low else [])]
    for column in required:
        bad = np.flatnonzero(~np.isfinite(getattr(table, column)))
        if len(bad):
            row = int(bad[0])
            raise TableError(
                f"{file}: row {row + 1} (id {table.ids[row]!r}): {column} must be a finite number."
            )
    fastest = float(table.latency_ms.min())
    is_log = table.latency_scale == "log"
    if fastest < 0 or (is_log and fastest == 0):
        words = "above 0 for latency_scale=log" if is_log else "0 or more"
        raise TableError(f"{file}: latency_ms must be {words}; got {fastest:g}.")
    if np.ptp(table.latency_ms) == 0:
        raise TableError(f"{file}: every row has the latency {fastest:g} ms: nothing to search.")
    best = float(table.accuracy.max())
    if best <= table.ref_accuracy or table.volume == 0:
        raise TableError(
            f"{file}: no row is faster than the slowest and better than ref_accuracy="
            f"{table.ref_accuracy:g}; the best accuracy is {best:g}."
        )
