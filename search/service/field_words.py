"""What is wrong with a field of a request, in the words that the options of a study have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archfront.search.service.bodies import PATTERNS
from archfront.trainers.words import count_of, quoted

# What is needed by the type that pydantic expects: the type of an error begins with it.
NEEDED = {
    "bool": "true or false",
    "dict": "an object",
    "finite_number": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "an object",
    "string_type": "a text",
}
# The bounds of a number by the type of an error, which is also the key of the bound.
BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
# Characters that are shown of a value.
WIDTH = 120


def field_problem(error: Mapping[str, Any]) -> str:
    """Return what is wrong with a field, what was got and what is allowed.

    Args:
        error: One of the ``errors()`` of a pydantic ``ValidationError``.
    """
    kind, given = error["type"], error.get("input")
    if kind == "missing":
        return "it is needed, and is not there."
    if kind == "extra_forbidden":
        return "there is no such field. The fields of the request: /api/v1/openapi.json."
    return f"{_needed(kind, error)}; got {_got(kind, error, given)}."


def _needed(kind: str, error: Mapping[str, Any]) -> str:
    limits = error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return PATTERNS[limits["pattern"]]
    if kind in BOUNDS:
        key, words = BOUNDS[kind]
        return f"{words} {limits[key]:g} is needed"
    if kind in ("literal_error", "enum"):
        return f"{limits['expected']} is needed"
    if kind in ("too_short", "string_too_short"):
        return f"at least {_count(kind, limits['min_length'])} needed"
    if kind in ("too_long", "string_too_long"):
        return f"at most {_count(kind, limits['max_length'])} taken"
    for start, words in NEEDED.items():
        if kind.startswith(start):
            return f"{words} is needed"
    return str(error["msg"])


def _got(kind: str, error: Mapping[str, Any], given: object) -> str:
    if kind in ("too_short", "too_long"):
        return str(len(given)) if isinstance(given, list) else quoted(given, WIDTH)
    return quoted(given, WIDTH)


def _count(kind: str, number: int) -> str:
    one = "character" if kind.startswith("string") else "entry"
    many = "characters" if kind.startswith("string") else "entries"
    return f"{count_of(number, one, many)} {'is' if number == 1 else 'are'}"
