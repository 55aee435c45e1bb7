"""From Python values to the words and options of the command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from archfront.search.commands.flags import Problems
from archfront.search.commands.study_text import names_in
from archfront.search.config.list_text import quoted
from archfront.search.errors import ConfigError

# One name or trial, several between commas, or several.
Names = str | int | Iterable[str | int]


def words_of(options: Iterable[str | Mapping[str, Any]]) -> list[str]:
    """Return the words of a configuration, ``group=name`` and ``group.option=value``.

    Args:
        options: Words, and mappings from options to values; nested mappings are joined by dots.

    Raises:
        ConfigError: If one of them is neither.
    """
    words: list[str] = []
    for option in options:
        if isinstance(option, str):
            words.append(option)
        elif isinstance(option, Mapping):
            words += [f"{path}={_text(value)}" for path, value in _leaves(option)]
        else:
            raise ConfigError(
                f"{option!r}: an option is text as 'budget.minutes=30', or a mapping as "
                "{'budget.minutes': 30} or {'budget': {'minutes': 30}}."
            )
    return words


def _leaves(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        path = f"{above}.{name}" if above else str(name)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def _text(value: Any) -> str:
    """Return a value as the command takes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(quoted(_text(item)) for item in value) or "[]"
    return str(value)


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
