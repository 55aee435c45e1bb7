"""Checksums of the files that a training keeps, in a SHA256SUMS beside them.

``sha256sum -c --ignore-missing SHA256SUMS`` checks a folder too; weights may have been removed.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archfront.trainers.errors import DamagedError
from archfront.trainers.files import write_whole
from archfront.trainers.words import reason_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

SUMS = "SHA256SUMS"
AGAIN = "Restore it from a copy, or train again"


def sha256_of(path: Path) -> str:
    """Return the hash of a file's content in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sum(file: Path) -> None:
    """Note the hash of a file that was just written."""
    sums = {**_sums(file.parent), file.name: sha256_of(file)}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
    write_whole(file.parent / SUMS, "".join(lines))


def check_sum(file: Path) -> None:
    """Check that a file has the content that was written.

    A file without a noted hash is of an earlier version and taken as it is.

    Raises:
        DamagedError: If the content is another one.
    """
    noted = _sums(file.parent).get(file.name)
    if noted is None:
        tell_of_no_sums()
        return
    found = sha256_of(file)
    if found != noted:
        raise DamagedError(
            f"{file} is damaged: its SHA-256 is {found[:12]}..., that of the file as it was "
            f"written is {noted[:12]}... ({SUMS} beside it). {AGAIN}."
        )


@contextmanager
def loaded_arrays(file: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Give the arrays of a kept npz file, checked.

    Raises:
        DamagedError: If the file is not there, or not as it was written.
    """
    import numpy as np

    try:
        check_sum(file)
        with np.load(file, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedError(f"{file} cannot be read: {reason_of(error)}. {AGAIN}.") from error
    yield arrays


def is_readable(file: Path) -> bool:
    """Return whether the arrays of a kept npz file can be read; a warning says why not."""
    try:
        with loaded_arrays(file):
            return True
    except DamagedError as error:
        logger.warning("Nothing is compared with these predictions. %s", error)
        return False


@cache
def tell_of_no_sums() -> None:
    """Warn, once in a process, that files cannot be checked."""
    logger.warning("Files of an earlier archfront have no checksums and are used unchecked.")


def _sums(folder: Path) -> dict[str, str]:
    try:
        text = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    pairs = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {name: digest for digest, name in pairs}
