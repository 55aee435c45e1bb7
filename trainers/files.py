"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name to write to; it takes the place of ``path`` only when all is written."""
    written = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield written
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


def write_whole(file: Path, text: str) -> None:
    """Write a file whole or not at all, in UTF-8."""
    with replacing(file) as written:
        written.write_text(text, encoding="utf-8")
