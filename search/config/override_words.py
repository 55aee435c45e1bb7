"""The words of a command line as overrides: those that a shell has split, and their values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from archfront.trainers.words import WIDTH, quoted, shortened

# What may stand before the equals sign; Hydra's further forms (+x, ~x, a[0]) have no use here. The
# classes of a palette are called as they like.
_OPTION = re.compile(r"data\.palette\.[^.=]*[^.=\s]|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_option(name: str) -> bool:
    """Return whether a name is that of a group or an option, known or not."""
    return _OPTION.fullmatch(name) is not None


def with_strays(words: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield every word with those right behind it that have no equals sign and may belong to it.

    That is so behind a word ``option=value``.
    """
    word: str | None = None
    strays: list[str] = []
    for next_word in words:
        if "=" not in next_word and word is not None and "." in word.partition("=")[0]:
            strays.append(next_word)
            continue
        if word is not None:
            yield word, strays
        word, strays = next_word, []
    if word is not None:
        yield word, strays


def stray_problem(word: str, strays: list[str]) -> str:
    """Return the problem of words that a shell has split from the one before them."""
    whole = shlex.quote(shortened(" ".join([word, *strays]), WIDTH))
    return (
        f"{quoted(' '.join(strays))}: a word has the form group=name or group.option=value. If "
        f"this belongs to the value before it, quote both for the shell: {whole}."
    )


def hydra_quoted(text: str) -> str:
    """Return text as a quoted string of Hydra's grammar."""
    # There a backslash means itself, unless quotes follow.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def put_values(content: dict[str, Any], values: dict[str, str]) -> list[str]:
    """Set values by their paths in a nested mapping and return the problems."""
    problems = []
    for name, value in values.items():
        *parents, leaf = name.split(".")
        part: Any = content
        for depth, parent in enumerate(parents, 1):
            part = part.setdefault(parent, {})
            if not isinstance(part, dict):
                here = ".".join(parents[:depth])
                shown = f"{shortened(name, WIDTH)}={value}"
                problems.append(f"{shown}: {here} is one value, with no options below it.")
                break
        else:
            part[leaf] = value
    return problems
