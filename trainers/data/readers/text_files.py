"""Text files as tools on different systems write them."""

from __future__ import annotations

import codecs
from pathlib import Path

from archfront.trainers.errors import DataError
from archfront.trainers.files import read_file

# Of the names of a million images, and of annotations in one file for all images.
TEXT_MB, TABLE_MB = 64, 1000
# The longer marks first: that of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def marked_encoding(content: bytes) -> str | None:
    """Return the encoding that a mark at the beginning of a file says; None without a mark.

    A byte of zero in the first character marks UTF-16, too.
    """
    marked = next((name for mark, name in MARKS if content.startswith(mark)), None)
    if marked is None and b"\0" in content[:2]:
        return "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    return marked


def read_text(file: Path, limit_mb: float = TEXT_MB) -> str:
    """Return the text of a file in UTF-8, or in the encoding that its first bytes mark.

    Marks are left out, also those within, which remain where files were put one behind the other.

    Raises:
        DataError: If it cannot be read as text; the message says why, without the file's name.
    """
    try:
        content = read_file(file, limit_mb)
        return content.decode(marked_encoding(content) or "utf-8").replace("\ufeff", "")
    except OSError as error:
        raise DataError(f"it cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"it is not text in UTF-8 (line {line} has the byte {content[error.start]:#04x}); "
            "save it as UTF-8, which Excel calls 'CSV UTF-8'"
        ) from error


def read_lines(file: Path) -> list[str]:
    """Return the lines of a text file that are not blank, without blanks around them.

    Raises:
        DataError: As ``read_text``.
    """
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]
