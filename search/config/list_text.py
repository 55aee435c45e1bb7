"""Lists in the text of a command line: values between commas, in quotes where they have some."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A value in quotes, as Hydra's grammar has it: a backslash is itself unless a quote follows.
_QUOTED = re.compile(r"""(?:^|(?<=[\[,]))\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*(?=[\],]|$)""")
_NEEDS_QUOTES = re.compile(r"""[,\[\]'"]|^\s|\s$|^$""")


def values_in(text: str) -> list[str]:
    """Return the values of ``[a, 'b, c']`` or ``a,b``; empty ones without quotes do not count.

    Raises:
        ValueError: If brackets or quotes are not closed.
    """
    text = text.strip()
    masked = _QUOTED.sub(lambda found: "q" * len(found[0]), text)
    if masked.count("[") != masked.count("]"):
        raise ValueError("a bracket is not closed")
    # A pattern may begin with a set of letters, as [rv]es*, but a list ends as it begins.
    if masked.startswith("[") and masked.find("]") == len(masked) - 1:
        text, masked = text[1:-1], masked[1:-1]
    return [value for part in _parts(text, masked) if (value := _value(part)) is not None]


def quoted(value: str) -> str:
    """Return a value as it stands in a list, in quotes where it needs some."""
    if not _NEEDS_QUOTES.search(value):
        return value
    return "'" + value.replace("'", "\\'") + "'"


def _parts(text: str, masked: str) -> Iterator[str]:
    """Yield the parts of a text between the commas of its masked form."""
    start = 0
    for part in masked.split(","):
        yield text[start : start + len(part)].strip()
        start += len(part) + 1


def _value(part: str) -> str | None:
    """Return the value of a part; None for an empty one."""
    if not part:
        return None
    quote = part[0]
    if quote not in "'\"":
        return part
    if len(part) < 2 or part[-1] != quote:
        raise ValueError(f"the quote in {part} is not closed")
    return part[1:-1].replace(f"\\{quote}", quote)
