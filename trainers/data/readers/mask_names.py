"""Names of classes in the files that tools write beside masks."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archfront.trainers.data.mask_facts import MaskFacts
from archfront.trainers.data.readers.paths import name_of
from archfront.trainers.data.readers.text_files import read_lines
from archfront.trainers.data.targets import IGNORED
from archfront.trainers.errors import DataError

PLAIN = ("classes.txt", "codes.txt", "label_names.txt", "labels.txt")
CVAT = "labelmap.txt"
ROBOFLOW = "_classes.csv"


def named_in_files(root: Path, facts: Mapping[Path, MaskFacts]) -> dict[str, Any]:
    """Return ``classes`` or ``palette`` as a file beside the masks says them; nothing if none.

    CVAT writes the color of each class into ``labelmap.txt``, Roboflow the value into
    ``train/_classes.csv``; others list the names in the order of their values.

    Raises:
        DataError: If a file cannot be read.
    """
    is_color = any(mask.is_color for mask in facts.values())
    has_palette = any(mask.has_palette for mask in facts.values())
    if (root / CVAT).is_file() and (is_color or has_palette):
        return {"palette": _of_cvat(root / CVAT, root)}
    for file in (root / ROBOFLOW, *sorted(root.glob(f"*/{ROBOFLOW}"))):
        if file.is_file() and not is_color:
            return {"palette": _of_roboflow(file, root)}
    for file in (root / name for name in PLAIN):
        if file.is_file() and not is_color:
            return {"classes": tuple(_lines(file, root))}
    return {}


def _of_cvat(file: Path, root: Path) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return the color of each class: ``label:r,g,b:parts:actions``."""
    found = []
    for line in _lines(file, root):
        if line.startswith("#"):
            continue
        fields = line.split(":")
        try:
            red, green, blue = map(int, fields[1].split(","))
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{name_of(file, root)} has the line {line!r}; a class needs name:r,g,b."
            ) from error
        found.append((fields[0], (red, green, blue)))
    return tuple(found)


def _of_roboflow(file: Path, root: Path) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return the value of each class: ``Pixel Value, Class``."""
    found = []
    for row in csv.reader(_lines(file, root)):
        cells = [cell.strip() for cell in row]
        if len(cells) == 2 and cells[0].isdigit() and int(cells[0]) <= IGNORED:
            found.append((cells[1], (int(cells[0]),)))
    if not found:
        raise DataError(f"{name_of(file, root)} has no rows of a pixel value and a class.")
    return tuple(found)


def _lines(file: Path, root: Path) -> list[str]:
    try:
        return read_lines(file)
    except DataError as error:
        raise DataError(f"{name_of(file, root)} cannot be used: {error}.") from error
