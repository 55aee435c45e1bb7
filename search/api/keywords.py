"""From Python values to the options of the command."""

from __future__ import annotations

from collections.abc import Iterable

from archfront.search.commands.flags import Problems
from archfront.search.commands.study_text import names_in
from archfront.search.errors import ConfigError

# One name or trial, several between commas, or several.
Names = str | int | Iterable[str | int]


def names_of(names: Names) -> tuple[str, ...]:
    """Return names one by one: of one, of several between commas, or of several."""
    if isinstance(names, str):
        return tuple(names_in(names))
    if isinstance(names, int):
        return (str(names),)
    return tuple(str(name) for name in names)


def check_keywords(problems: Problems) -> None:
    """Raise a ConfigError with every problem, each after the keyword."""
    if problems:
        raise ConfigError(*(f"{name}: {text}" for name, text in problems.items()))
