"""Reading nested content into the schema's dataclasses, collecting every problem.

pydantic reads every option by itself: its reading of a whole dataclass gives no values beside its
errors, and the rules about the good options are checked beside the bad ones.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from archfront.search.config.option_types import AUTO, WORDED, CommandText
from archfront.trainers.words import WIDTH, quoted, shortened

# The types and formats of JSON schemas, in words.
KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "path": "a path",
    "gpus": "a whole number from 0 to 64 or 1/n down to 1/16 (0.5, 0.33, 0.25)",
}
# What is needed beside the type and its bounds, and how it is given, by pydantic's kind of error.
MORE = {"too_short": " with at least one value", "string_pattern_mismatch": " that is not empty"}
HOW = {"dict_type": ", as option.name=value"}


@dataclass
class Findings:
    """The problems in the order found, and the paths that therefore have no value."""

    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def add(self, path: str, *problems: str) -> None:
        """Add the problems of an option or a group without a value."""
        self.problems += [f"{path}: {problem}" for problem in problems]
        self.unread.append(path)

    def has_read(self, options: Iterable[str]) -> bool:
        """Return whether every one of these options has its value."""
        return not any(
            f"{option}.".startswith(f"{path}.") for option in options for path in self.unread
        )


def read(cls: type, content: Mapping[str, Any], findings: Findings, path: str = "") -> Any:
    """Return a group of options filled from content, with None for what has no value.

    Args:
        cls: A dataclass of options and groups.
        content: Nested mapping; ``CommandText`` in it is read by the type of its option.
        findings: Where problems are added.
        path: Dotted path of ``content``, empty at the top.
    """
    kinds = _kinds(cls)
    findings.problems += [_unknown(cls, str(key), path) for key in content if key not in kinds]
    values: dict[str, Any] = dict.fromkeys(kinds)
    for name, kind in kinds.items():
        here, given = _join(path, name), content.get(name)
        if name not in content:
            findings.add(here, f"is missing ({_meaning(cls, name)}).")
        elif not _is_group(kind):
            try:
                values[name] = _reader(cls, name).validate_python(given)
            except ValidationError as error:
                schema = _reader(cls, name).json_schema()
                problems = (_message(schema, given, one) for one in error.errors())
                findings.add(here, *dict.fromkeys(problems))
        elif isinstance(given, dict):
            values[name] = read(kind, given, findings, here)
        else:
            findings.add(here, f"a group of options is needed here; got {quoted(given)}.")
    return cls(**values)


def mark(content: Any, texts: frozenset[str], path: str = "") -> Any:
    """Return nested content with the values at dotted paths as ``CommandText``."""
    if isinstance(content, dict):
        return {key: mark(part, texts, _join(path, str(key))) for key, part in content.items()}
    return CommandText(content) if path in texts and isinstance(content, str) else content


def option_paths(cls: type, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (dotted path, type in words, meaning) of every option below a dataclass."""
    for here, schema, meaning in option_schemas(cls, path):
        yield here, describe(schema), meaning


def option_schemas(cls: type, path: str = "") -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield (dotted path, JSON schema, meaning) of every option below a dataclass."""
    for name, kind in _kinds(cls).items():
        here = _join(path, name)
        if _is_group(kind):
            yield from option_schemas(kind, here)
        else:
            yield here, _reader(cls, name).json_schema(), _meaning(cls, name)


def describe(schema: dict[str, Any]) -> str:
    """Return a JSON schema in words, like ``a whole number from 1 to 64``."""
    match schema:
        case {"auto": True}:
            return f"auto or {describe({k: v for k, v in schema.items() if k != AUTO})}"
        case {"anyOf": [value, _]}:
            return f"{describe(value)} or null"
        case {"enum": names}:
            return "one of " + ", ".join(map(str, names))
        case {"items": value, "maxItems": n}:
            return f"a list of {n}, each {describe(value)}"
        case {"items": value}:
            return f"a list, each {describe(value)}"
        case {"additionalProperties": value}:
            return f"names, each with {describe(value)}"
        case {"minimum": low, "maximum": high}:
            return f"{KINDS[schema['type']]} from {low} to {high}"
        case {"minimum": low}:
            return f"{KINDS[schema['type']]} of at least {low}"
    return KINDS[schema.get("format", schema["type"])]


def _message(schema: dict[str, Any], given: Any, error: ErrorDetails) -> str:
    """Return what is needed instead of the value of an option."""
    if error["type"] == WORDED:
        return f"{error['msg']}; got {quoted(given)}.{error['ctx']['advice']}"
    if "anyOf" in schema:
        return f"{describe(schema)} is needed; got {quoted(given)}."
    for _ in error["loc"]:  # a value in a list, or of a name
        schema = schema.get("items") or schema["additionalProperties"]
    known = [str(name) for name in schema.get("enum", ())]
    near = difflib.get_close_matches(str(error["input"]), known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    more, how = MORE.get(error["type"], ""), HOW.get(error["type"], "")
    return f"{describe(schema)}{more} is needed{hint}{how}; got {quoted(given)}."


def _unknown(cls: type, key: str, parent: str) -> str:
    """Return the message for an option that does not exist, with where the name is meant."""
    near = difflib.get_close_matches(key, _kinds(cls), n=1)
    meant = _places_of(cls, key, parent) or [_join(parent, name) for name in near]
    hint = f" Did you mean {' or '.join(meant)}?" if meant else ""
    where = f"under {parent}" if parent else "at the top"
    known = ", ".join(sorted(_kinds(cls)))
    return f"{shortened(_join(parent, key), WIDTH)}: no such option.{hint} Known {where}: {known}."


def _places_of(cls: type, key: str, parent: str) -> list[str]:
    """Return the paths deeper below a dataclass that end in ``key``, each once."""
    start = parent.count(".") + 2 if parent else 1
    found = []
    for path, _, _ in option_paths(cls, parent):
        parts = path.split(".")
        if key in parts[start:]:
            found.append(".".join(parts[: parts.index(key, start) + 1]))
    return list(dict.fromkeys(found))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _meaning(cls: type, name: str) -> str:
    """Return the meaning of an option, or that it is a group."""
    (found,) = (item for item in fields(cls) if item.name == name)
    return str(found.metadata.get("description", "a group of options"))


def _is_group(kind: Any) -> bool:
    return is_dataclass(kind)


@cache
def _kinds(cls: type) -> dict[str, Any]:
    """Return the annotated types of a dataclass by name."""
    return get_type_hints(cls, include_extras=True)


@cache
def _reader(cls: type, name: str) -> TypeAdapter[Any]:
    """Return what converts and checks the value of an option."""
    return TypeAdapter(
        _kinds(cls)[name],
        config=ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False),
    )
