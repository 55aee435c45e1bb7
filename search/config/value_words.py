"""From Python values to the words of a configuration, as the command takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from archfront.search.config.list_text import quoted
from archfront.search.errors import ConfigError
from archfront.trainers.words import WIDTH, shortened


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
            words += [f"{path}={text_of(value)}" for path, value in leaves(option)]
        else:
            raise ConfigError(
                f"{shortened(repr(option), WIDTH)}: an option is text as 'budget.minutes=30', or "
                "a mapping as {'budget.minutes': 30} or {'budget': {'minutes': 30}}."
            )
    return words


def leaves(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the value of every option in nested mappings."""
    for name, value in options.items():
        path = f"{above}.{name}" if above else str(name)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def text_of(value: Any) -> str:
    """Return a value as the command takes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(quoted(text_of(item)) for item in value) or "[]"
    return str(value)
