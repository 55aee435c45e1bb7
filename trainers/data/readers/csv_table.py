"""A table of image paths and labels: one label each, or several.

Columns: ``path`` (relative to the root), ``label``, and ``split`` where the data has splits of its
own. Without ``label``, every other column is a class with 0 or 1 in each row.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.paths import (
    SPLIT_NAMES,
    as_parts,
    existing_root,
    missing,
    name_of,
)
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import Labels
from archfront.trainers.errors import DataError

LAYOUT = (
    "archfront expects one table in <data.root>, as labels.csv, or data.annotations=FILE, with "
    "the columns path and label (or one column of 0 and 1 per class), and split for splits"
)
PATH, LABEL, SPLIT = "path", "label", "split"
ORDER = ("train", "val", "test")


def read_table(ref: DataRef) -> RawData:
    """Return the images that a table lists; class names are sorted, or the columns of 0 and 1.

    Raises:
        DataError: If the table or a column is not there.
    """
    root = existing_root(ref, "the folder of the table and its images", LAYOUT)
    file = _file(root, ref.annotations)
    columns, rows = _rows(file, root)
    by_column = [name for name in columns if name not in (PATH, LABEL, SPLIT)]
    is_listed = LABEL in columns
    if PATH not in columns or not (is_listed or by_column):
        raise DataError(
            f"{name_of(file, root)} has the columns {', '.join(columns) or 'none'}. {LAYOUT}."
        )
    reading = _Reading(root, name_of(file, root), ref, by_column=None if is_listed else by_column)
    listed = [entry for number, row in enumerate(rows, 2) if (entry := reading.row(number, row))]
    names = by_column
    if is_listed:
        names = sorted({label for _, _, labels in listed for label in labels})
    index = {name: label for label, name in enumerate(names)}
    parts: dict[str, list[RawSample]] = {}
    for path, part, labels in listed:
        shown = tuple(sorted({index[label] for label in labels}))
        target = Labels(shown) if ref.target == "labels" else shown[0]
        parts.setdefault(part, []).append(RawSample(path, target, name_of(path, root)))
    order = ORDER if SPLIT in columns else ("all",)
    kept, repeated = as_parts({part: parts[part] for part in order if part in parts}, root)
    return RawData(
        where=f"data.root {root}",
        class_names=tuple(names),
        parts=kept,
        broken=(*reading.broken, *repeated),
    )


def _file(root: Path, named: str | None) -> Path:
    if named is not None:
        file = Path(named).expanduser().absolute()
        if not file.is_file():
            raise DataError(f"data.annotations {file} is not there.")
        return file
    files = sorted(root.glob("*.csv"))
    usual = [file for file in files if file.name == "labels.csv"]
    if len(usual or files) != 1:
        having = ", ".join(file.name for file in files) or "none"
        raise DataError(
            f"data.root {root} has no labels.csv, nor one other table (csv files there: "
            f"{having}). {LAYOUT}."
        )
    return (usual or files)[0]


def _rows(file: Path, root: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the rows of a table between commas, semicolons or tabs."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            head = lines.readline()
            lines.seek(0)
            between = max(",;\t", key=head.count)
            table = csv.DictReader(lines, delimiter=between, restkey="", restval="")
            columns = [name.strip() for name in table.fieldnames or ()]
            table.fieldnames = columns
            return columns, list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name_of(file, root)} cannot be read as a table: {error}.") from error


Entry = tuple[Path, str, tuple[str, ...]]


@dataclass
class _Reading:
    """Rows that are read, and what was wrong in them."""

    root: Path
    table: str
    ref: DataRef
    by_column: Sequence[str] | None
    broken: list[Skipped] = field(default_factory=list)

    def row(self, number: int, row: Mapping[str, str]) -> Entry | None:
        """Return image, part and labels of a row; None if it cannot be used."""
        name = row[PATH].strip()
        where = f"{self.table}, line {number}"
        part = self._part(row)
        labels = self._labels(row)
        wrong: Skipped | None = None
        if not name:
            wrong = Skipped(where, "row without a path", f"{where} has no path")
        elif part is None:
            detail = f"{where} has the split {row[SPLIT]!r}; known: {', '.join(SPLIT_NAMES)}"
            wrong = Skipped(where, "unknown split", detail)
        elif labels is None:
            detail = f"{where} has values other than 0 and 1 in {', '.join(self.by_column or ())}"
            wrong = Skipped(where, "row that is not 0 or 1", detail)
        elif self.ref.target == "label" and len(labels) != 1:
            detail = f"{where} has {len(labels)} labels; the task learns from one label per image"
            wrong = Skipped(where, "row without one label", detail)
        elif not (self.root / name).is_file():
            wrong = missing(name, (self.root,), self.root)
        if wrong is not None or part is None or labels is None:
            self.broken += [wrong] if wrong is not None else []
            return None
        return self.root / name, part, labels

    def _part(self, row: Mapping[str, str]) -> str | None:
        return SPLIT_NAMES.get(row[SPLIT].strip().lower()) if SPLIT in row else "all"

    def _labels(self, row: Mapping[str, str]) -> tuple[str, ...] | None:
        """Return the labels of a row; None where a column is neither 0 nor 1."""
        if self.by_column is None:
            text = row[LABEL].strip()
            if self.ref.target == "label":
                return (text,) if text else ()
            between = " " if self.ref.delimiter == "space" else self.ref.delimiter
            return tuple(
                dict.fromkeys(part.strip() for part in text.split(between) if part.strip())
            )
        values = {name: row[name].strip() for name in self.by_column}
        if not set(values.values()) <= {"0", "1"}:
            return None
        return tuple(name for name, value in values.items() if value == "1")
