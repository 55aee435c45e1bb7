"""A table of image paths and labels: one label each, or several.

Columns: ``path`` (relative to the root), ``label``, and ``split`` where the data has splits of its
own. Without ``label``, every other column is a class with 0 or 1 in each row. An image may have a
row for each of its labels. Roboflow writes such a table of classes for each split, in its folder.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from archfront.trainers.data.group_split import column_of
from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.find_images import ImageFinder
from archfront.trainers.data.readers.outside_root import refuse_outside
from archfront.trainers.data.readers.paths import (
    SPLIT_NAMES,
    as_parts,
    existing_root,
    is_visible,
    name_of,
)
from archfront.trainers.data.readers.table_rows import Row, Table, read_rows
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import Labels
from archfront.trainers.errors import DataError
from archfront.trainers.files import plain_path
from archfront.trainers.words import count_of, quoted

LAYOUT = (
    "archfront expects one table in <data.root>, as labels.csv, or data.annotations=FILE, with "
    "the columns path and label (or one column of 0 and 1 per class), and split for splits"
)
PATH, LABEL, SPLIT = "path", "label", "split"
ORDER = ("all", "train", "val", "test")
ENDINGS = (".csv", ".tsv")
ROBOFLOW, ROBOFLOW_PATH = "_classes.csv", "filename"
UNASSIGNED = "unassigned"  # what AutoML writes for a row that belongs to no split
WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class _Source:
    """A table, the split that its place says, and the folders that its paths are relative to."""

    table: Table
    part: str | None
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class _Columns:
    """Which columns mean what; ``classes`` are those of 0 and 1."""

    path: str
    label: str | None
    split: str | None
    group: str | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """What a row says of an image."""

    image: Path
    part: str
    labels: tuple[str, ...]
    group: str = ""


def read_table(ref: DataRef) -> RawData:
    """Return the images that a table lists; class names are sorted, or the columns of 0 and 1.

    Raises:
        DataError: If the table or a column is not there.
    """
    root = existing_root(ref, "the folder of the table and its images", LAYOUT)
    sources = _sources(root, ref.annotations)
    columns = _columns([source.table for source in sources], column_of(ref.group))
    reading = _Reading(root, ref, columns)
    for source in sources:
        reading.read(source)
    entries = reading.merged()
    names: Sequence[str] = columns.classes
    if columns.label is not None:
        names = sorted({label for entry in entries for label in entry.labels})
        _check_separated(names, sources[0].table.name, ref)
    index = {name: label for label, name in enumerate(names)}
    if not reading.parts and reading.broken:  # what is wrong with them will be told
        reading.parts.add("all")
    parts: dict[str, list[RawSample]] = {part: [] for part in ORDER if part in reading.parts}
    for entry in entries:
        shown = tuple(sorted({index[label] for label in entry.labels}))
        target = Labels(shown) if ref.target == "labels" else shown[0]
        name = name_of(entry.image, root)
        parts[entry.part].append(RawSample(entry.image, target, name, group=entry.group))
    refuse_outside(ref, root, (entry.image for entry in entries))
    kept, repeated = as_parts(parts, root)
    return RawData(
        where=f"data.root {root}",
        class_names=tuple(names),
        parts=kept,
        skipped=tuple(reading.skipped),
        broken=(*reading.broken, *repeated),
    )


def _sources(root: Path, named: str | None) -> list[_Source]:
    file = None if named is None else plain_path(named)
    if file is not None and not file.is_file():
        raise DataError(f"data.annotations {file} is not there.")
    if file is None:
        visible = sorted(entry for entry in root.iterdir() if is_visible(entry.name))
        files = [entry for entry in visible if entry.suffix.lower() in ENDINGS]
        of_splits = [
            (SPLIT_NAMES[entry.name.lower()], entry / ROBOFLOW)
            for entry in visible
            if entry.name.lower() in SPLIT_NAMES and (entry / ROBOFLOW).is_file()
        ]
        if of_splits and not files:
            return [
                _Source(read_rows(table, root, _is_path), part, (table.parent, root))
                for part, table in of_splits
            ]
        usual = [entry for entry in files if entry.stem == "labels"]
        if len(usual or files) != 1:
            having = ", ".join(entry.name for entry in files) or "none"
            raise DataError(
                f"data.root {root} has no labels.csv, nor one other table (csv files there: "
                f"{having}). {LAYOUT}."
            )
        file = (usual or files)[0]
    return [_Source(read_rows(file, root, _is_path), None, (root, file.parent))]


def _is_path(column: str) -> bool:
    return column.lower() in (PATH, ROBOFLOW_PATH)


def _columns(tables: Sequence[Table], group: str | None) -> _Columns:
    """Return what the columns mean, which all tables have to agree on.

    Raises:
        DataError: If they do not, or a column is not there.
    """
    first = tables[0]
    for table in tables[1:]:
        if set(table.columns) != set(first.columns):
            raise DataError(
                f"{table.name} has the columns {', '.join(table.columns)}, and {first.name} "
                f"{', '.join(first.columns)}. Give both the same."
            )
    known = {name.lower(): name for name in first.columns}
    is_roboflow = Path(first.name).name == ROBOFLOW
    path = known.get(ROBOFLOW_PATH if is_roboflow else PATH)
    label, split = known.get(LABEL), known.get(SPLIT)
    grouping = None if group is None else known.get(group.lower())
    if group is not None and grouping is None:
        raise DataError(
            f"data.group: {first.name} has no column {group!r}; it has "
            f"{', '.join(first.columns) or 'none'}."
        )
    others = (path, label, split, grouping)
    classes = tuple(name for name in first.columns if name not in others)
    if path is None or (label is None and not classes):
        raise DataError(
            f"{first.name} has the columns {', '.join(first.columns) or 'none'}. {LAYOUT}."
        )
    if label is None:
        _check_classes(tables, classes)
    return _Columns(path, label, split, grouping, classes)


def _check_classes(tables: Iterable[Table], classes: Sequence[str]) -> None:
    """Refuse columns that are no classes: not one row has 0 or 1 in them."""
    rows = [row for table in tables for row in table.rows]
    others = [
        name for name in classes if not any(_is_shown(r.fields[name]) is not None for r in rows)
    ]
    if rows and others:
        raise DataError(
            f"The table has no column {LABEL}, so that every column beside {PATH} and {SPLIT} is "
            f"a class with 0 or 1; {', '.join(others)} has other values, as "
            f"{quoted(rows[0].fields[others[0]])}. Call the column of the labels {LABEL}, or "
            "remove what is no class."
        )


def _check_separated(names: Sequence[str], table: str, ref: DataRef) -> None:
    """Refuse labels that are other labels with a character between them."""
    known = set(names)
    for between in ("|", ";", ","):
        joined = [
            name
            for name in names
            if len(parts := _parted(name, between)) > 1 and known.issuperset(parts)
        ]
        if joined:
            how = f"data.delimiter='{between}'"
            advice = how if ref.target == "labels" else f"task=multilabel and {how}"
            raise DataError(
                f"{table} has the label {joined[0]!r}, which is other labels with {between!r} "
                f"between them ({count_of(len(joined), 'such label')}). Give {advice} if images "
                "have several labels, else correct the rows."
            )


def _parted(text: str, between: str) -> list[str]:
    return [part.strip() for part in text.split(between) if part.strip()]


def _is_shown(text: str) -> bool | None:
    """Return whether a field says that a class is shown; None if it says neither."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        value = float(text.replace(",", "."))  # Excel's decimal comma, as in 1,0
    except ValueError:
        return None
    return bool(value) if value in (0, 1) else None


def _joined(entries: Iterable[_Entry]) -> list[_Entry]:
    """Return an entry of an image for each split, with all of its labels there."""
    by_part: dict[str, list[_Entry]] = {}
    for entry in entries:
        by_part.setdefault(entry.part, []).append(entry)
    return [
        replace(said[0], labels=tuple(dict.fromkeys(name for e in said for name in e.labels)))
        for said in by_part.values()
    ]


@dataclass
class _Reading:
    """Rows that are read, and what was wrong in them."""

    root: Path
    ref: DataRef
    columns: _Columns
    entries: list[_Entry] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)
    broken: list[Skipped] = field(default_factory=list)

    def read(self, source: _Source) -> None:
        """Read the rows of a table."""
        table, path = source.table, self.columns.path
        self.broken += table.broken
        names = [row.fields[path] for row in table.rows if row.fields[path]]
        finder = ImageFinder(self.ref, self.root, source.folders, names)
        for row in table.rows:
            found = self._entry(row, source, finder)
            if isinstance(found, _Entry):
                self.entries.append(found)
            elif found.reason == "row without a split":
                self.skipped.append(found)
            else:
                self.broken.append(found)
        if not table.rows and not table.broken:
            raise DataError(f"{table.name} lists no images.")

    def merged(self) -> list[_Entry]:
        """Return an entry for each image, and for each repetition that says nothing else.

        Rows with several labels of one image are its labels if it may have several, else they
        contradict each other and the image is left out.
        """
        merged: dict[Path, list[_Entry]] = {}
        for entry in self.entries:
            merged.setdefault(entry.image, []).append(entry)
        may_differ = self.columns.label is not None and self.ref.target == "labels"
        kept = []
        for image, entries in merged.items():
            is_repeated = len({entry.labels for entry in entries}) == 1
            if is_repeated:
                kept += entries
            elif may_differ:
                kept += _joined(entries)
            else:
                self.broken.append(self._contradiction(image, entries))
        return kept

    def _contradiction(self, image: Path, entries: Iterable[_Entry]) -> Skipped:
        name = name_of(image, self.root)
        said = dict.fromkeys(" and ".join(entry.labels) or "nothing" for entry in entries)
        detail = f"{name} is listed as {' and '.join(map(repr, said))}; keep one of the rows"
        if self.ref.target == "label":
            detail += ", or give task=multilabel if images have several labels"
        return Skipped(name, "image with contradicting rows", detail)

    def _entry(self, row: Row, source: _Source, finder: ImageFinder) -> _Entry | Skipped:
        where = f"{source.table.name}, line {row.line}"
        name = row.fields[self.columns.path]
        part = self._part(row, source, where)
        if isinstance(part, Skipped):
            return part
        self.parts.add(part)
        if not name:
            return Skipped(where, "row without a path", f"{where} has no path")
        labels = self._labels(row, where)
        if isinstance(labels, Skipped):
            return labels
        if self.ref.target == "label" and len(labels) != 1:
            detail = f"{where} has {len(labels)} labels; the task learns from one label per image"
            return Skipped(where, "row without one label", detail)
        image = finder.find(name)
        if image is None:
            return finder.missing(name, what="listed")
        group = "" if self.columns.group is None else row.fields[self.columns.group]
        return _Entry(image, part, labels, group)

    def _part(self, row: Row, source: _Source, where: str) -> str | Skipped:
        if self.columns.split is None:
            return source.part or "all"
        said = row.fields[self.columns.split]
        if said.lower() == UNASSIGNED:
            detail = f"{where} has the split {quoted(said)}, so its image belongs to none"
            return Skipped(where, "row without a split", detail)
        if said.lower() in SPLIT_NAMES:
            return SPLIT_NAMES[said.lower()]
        detail = f"{where} has the split {quoted(said)}; known: {', '.join(SPLIT_NAMES)}"
        return Skipped(where, "unknown split", detail)

    def _labels(self, row: Row, where: str) -> tuple[str, ...] | Skipped:
        """Return the labels of a row, or the problem of a column that is neither 0 nor 1."""
        if self.columns.label is not None:
            text = unicodedata.normalize("NFC", row.fields[self.columns.label])
            if self.ref.target == "label":
                return (text,) if text else ()
            if text.startswith("[") and text.endswith("]"):  # a list of Python or JSON
                return tuple(
                    dict.fromkeys(part.strip("'\" ") for part in _parted(text[1:-1], ","))
                )
            between = " " if self.ref.delimiter == "space" else self.ref.delimiter
            return tuple(dict.fromkeys(_parted(text, between)))
        shown = {name: _is_shown(row.fields[name]) for name in self.columns.classes}
        wrong = next((name for name, value in shown.items() if value is None), None)
        if wrong is not None:
            detail = (
                f"{where} has {quoted(row.fields[wrong])} in {wrong}; a column of a class has 0 "
                "or 1 (or false and true)"
            )
            return Skipped(where, "row that is not 0 or 1", detail)
        return tuple(name for name, value in shown.items() if value)
