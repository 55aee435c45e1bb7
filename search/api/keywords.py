"""From Python values to the options of the command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from numbers import Integral, Real
from typing import Any, get_args, get_type_hints

from archfront.search.commands.export import ExportOptions
from archfront.search.commands.flags import Problems
from archfront.search.commands.refit import RefitOptions
from archfront.search.commands.study_text import names_in
from archfront.search.errors import ConfigError
from archfront.trainers.words import quoted

# One name or trial, several between commas, or several.
Names = str | int | Iterable[str | int]
# What a keyword of a type takes: a bool is no number, and a number of numpy is one.
TAKEN: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ("True or False", lambda value: isinstance(value, bool)),
    int: (
        "a whole number",
        lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    ),
    float: ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool)),
}


def names_of(names: Names) -> tuple[str, ...]:
    """Return names one by one: of one, of several between commas, or of several.

    Raises:
        ConfigError: If it is none of these.
    """
    if isinstance(names, str):
        return tuple(names_in(names))
    if isinstance(names, Integral):
        return (str(names),)
    if not isinstance(names, Iterable):
        raise ConfigError(f"A name, a trial or a list of these is needed; got {quoted(names)}.")
    return tuple(str(name) for name in names)


def check_options(options: ExportOptions | RefitOptions) -> None:
    """Raise a ConfigError with every problem of the options, each after the keyword."""
    values = asdict(options)
    check_keywords(wrong_types(values, get_type_hints(type(options))) or options.problems())


def wrong_types(values: Mapping[str, Any], types: Mapping[str, Any]) -> Problems:
    """Return a problem for each number or switch that is something else."""
    problems: Problems = {}
    for name, value in values.items():
        kinds = get_args(types[name]) or (types[name],)
        known = [TAKEN[kind] for kind in kinds if kind in TAKEN]
        is_none = value is None and type(None) in kinds
        if known and not is_none and not any(is_one(value) for _, is_one in known):
            text = " or ".join([*(words for words, _ in known), *["None"] * (type(None) in kinds)])
            problems[name] = f"{text} is needed; got {quoted(value)}."
    return problems


def check_keywords(problems: Problems) -> None:
    """Raise a ConfigError with every problem, each after the keyword."""
    if problems:
        raise ConfigError(*(f"{name}: {text}" for name, text in problems.items()))
