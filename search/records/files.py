"""Small files of a study, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from archfront.search.errors import StudyError
from archfront.trainers.files import write_whole

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row")


def write_rows(file: Path, rows: Iterable[DataclassInstance]) -> None:
    """Write records as a JSON list, whole or not at all."""
    write_whole(file, json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def read_rows(file: Path, make: Callable[[dict[str, Any]], Row], remedy: str) -> list[Row]:
    """Return the records of a JSON list in their order; none where there is no file.

    Args:
        file: As ``write_rows`` left it.
        make: Returns the record whose ``asdict`` it is given.
        remedy: What comes of removing the file, in words.

    Raises:
        StudyError: If the file is none of this version.
    """
    if not file.is_file():
        return []
    try:
        return [make(row) for row in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StudyError(f"{file} cannot be used ({error}). Remove it; {remedy}.") from error
