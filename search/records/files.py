"""Small files of a study, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from archfront.search.errors import StudyError
from archfront.search.records.codec import decode, encode
from archfront.trainers.files import write_whole

Row = TypeVar("Row")


def write_rows(file: Path, rows: Iterable[object]) -> None:
    """Write records as a JSON list, whole or not at all."""
    write_whole(file, json.dumps([encode(row) for row in rows], indent=1) + "\n")


def read_rows(file: Path, kind: type[Row], remedy: str) -> list[Row]:
    """Return the records of a JSON list in their order; none where there is no file.

    Args:
        file: As ``write_rows`` left it.
        kind: Class of the records.
        remedy: What comes of removing the file, in words.

    Raises:
        StudyError: If the file is none of this version.
    """
    if not file.is_file():
        return []
    try:
        return [decode(kind, row) for row in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise StudyError(f"{file} cannot be used ({error}). Remove it; {remedy}.") from error
