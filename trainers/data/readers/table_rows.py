"""Rows of a table of text: between which characters its fields lie, and rows that do not fit."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.readers.paths import name_of
from archfront.trainers.data.readers.text_files import TABLE_MB, read_text
from archfront.trainers.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
# What Excel understands in the first line of a table.
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
# Columns of row numbers that pandas writes.
NUMBERING = re.compile(r"Unnamed: \d+")


@dataclass(frozen=True)
class Row:
    """The fields of a row by column, and the line that it begins in."""

    line: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Attributes:
        name: Of its file, for people.
        columns: Names without blanks around them; those without a name are left out.
        rows: What fits the columns; fields without blanks around them.
        broken: Rows that do not.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    broken: tuple[Skipped, ...]


def read_rows(file: Path, root: Path, is_known: Callable[[str], bool]) -> Table:
    """Return a table between commas, semicolons, tabs or bars; its first row names the columns.

    Args:
        file: Which file.
        root: Folder of the data, to name the file by.
        is_known: Whether a column is one that the table has to have.

    Raises:
        DataError: If it is no table, or two columns have one name.
    """
    name = name_of(file, root)
    try:
        text = read_text(file, TABLE_MB)
    except DataError as error:
        raise DataError(f"{name} cannot be read as a table: {error}.") from error
    said = SEPARATOR_LINE.match(text)
    text = text[said.end() :] if said else text
    before = 1 if said else 0
    # Any kind of line end, so that a table of an old Mac is one too.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    delimiter = said[1] if said else _delimiter(text, is_known)
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    found: list[tuple[int, list[str]]] = []
    line = before + 1
    try:
        for fields in lines:
            if any(field.strip() for field in fields):
                found.append((line, [field.strip() for field in fields]))
            line = before + lines.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{name} cannot be read as a table: {error} in the row that begins in line {line}. "
            "Is a quote opened there and not closed?"
        ) from error
    columns = found[0][1] if found else []
    twice = [column for column in columns if column and columns.count(column) > 1]
    if twice:
        raise DataError(f"{name} has the column {twice[0]!r} twice. Give each a name of its own.")
    return _fitting(name, columns, found[1:])


def _delimiter(text: str, is_known: Callable[[str], bool]) -> str:
    """Return the character with which the first row has a known column, and the most columns."""

    def score(delimiter: str) -> tuple[bool, int]:
        lines = csv.reader(
            io.StringIO(text.lstrip(), newline=""), delimiter=delimiter, skipinitialspace=True
        )
        try:
            columns = next(lines, [])
        except csv.Error:
            return False, 0
        return any(is_known(column.strip()) for column in columns), len(columns)

    return max(DELIMITERS, key=score)


def _fitting(name: str, columns: Sequence[str], found: list[tuple[int, list[str]]]) -> Table:
    """Return the rows that have a field for each column; empty ones behind them are harmless."""
    kept = [c for c in columns if c and not NUMBERING.fullmatch(c)]
    rows, broken = [], []
    for line, fields in found:
        beyond = len(fields) - len(columns)
        if beyond < 0 or any(fields[len(columns) :]):
            reason = "row with too few fields" if beyond < 0 else "row with too many fields"
            detail = (
                f"{name}, line {line} has {len(fields)} fields and the table {len(columns)} "
                "columns"
            )
            if beyond > 0:
                detail += "; put a field that has the separator in it between quotes"
            broken.append(Skipped(f"{name}, line {line}", reason, detail))
            continue
        by_column = dict(zip(columns, fields, strict=False))
        rows.append(Row(line, {column: by_column[column] for column in kept}))
    return Table(name, tuple(kept), tuple(rows), tuple(broken))
