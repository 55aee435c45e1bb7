"""Reading nested content into frozen dataclasses by their types, collecting every problem."""

from __future__ import annotations

import difflib
import os
import types
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

T = TypeVar("T")


class Problems(list[str]):
    """Problems in the order found; the same one is kept once."""

    def add(self, text: str) -> None:
        """Append a problem unless it is there."""
        if text not in self:
            self.append(text)


class _Bad(Exception):
    """A value that does not fit; its text says what is allowed."""


def check(
    cls: type[T],
    content: Any,
    *,
    texts: frozenset[str],
    problems: Problems,
    path: str = "",
) -> T | None:
    """Return ``cls`` filled from ``content``, or None after adding problems.

    Args:
        cls: A dataclass whose fields carry ``help, low, high, known, is_path,
            may_be_empty`` as metadata.
        content: Nested mapping.
        texts: Dotted paths whose value is text from a command line.
        problems: Where problems are added.
        path: Dotted path of ``content``, empty at the top.
    """
    if not isinstance(content, dict):
        problems.add(f"{path}: a group of options is needed here; got {content!r}.")
        return None
    hints = get_type_hints(cls)
    names = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    for key in content:
        if key not in names:
            problems.add(unknown_option(f"{path}.{key}" if path else str(key), names, path))
    values: dict[str, Any] = {}
    for name, item in names.items():
        here = f"{path}.{name}" if path else name
        if name not in content:
            what = item.metadata.get("help", "a group of options")
            problems.add(f"{here}: is missing ({what}).")
        elif is_dataclass(hints[name]):
            values[name] = check(
                hints[name], content[name], texts=texts, problems=problems, path=here
            )
        else:
            try:
                values[name] = _value(hints[name], content[name], item, is_text=here in texts)
            except _Bad as bad:
                problems.add(f"{here}: {bad}; got {content[name]!r}.")
    complete = len(values) == len(names) and all(
        values[n] is not None for n in names if is_dataclass(hints[n])
    )
    return cls(**values) if complete else None


def unknown_option(here: str, known: Any, parent: str = "") -> str:
    """Return the message for an option that does not exist, with the nearest name."""
    near = difflib.get_close_matches(here.rsplit(".", 1)[-1], list(known), n=1)
    hint = f" Did you mean {f'{parent}.' if parent else ''}{near[0]}?" if near else ""
    where = f"under {parent}" if parent else "at the top"
    return f"{here}: no such option.{hint} Known {where}: {', '.join(sorted(known))}."


def option_paths(cls: type, path: str = "") -> list[tuple[str, str, str]]:
    """Return (dotted path, type in words, help) of every leaf below a dataclass."""
    rows = []
    hints = get_type_hints(cls)
    for item in fields(cls):
        here = f"{path}.{item.name}" if path else item.name
        if is_dataclass(hints[item.name]):
            rows += option_paths(hints[item.name], here)
        else:
            rows.append((here, _words(hints[item.name], item), item.metadata["help"]))
    return rows


def _value(hint: Any, value: Any, item: Field[Any], *, is_text: bool) -> Any:
    """Return ``value`` as ``hint`` asks, or raise ``_Bad`` with what is allowed."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None or (is_text and value in ("null", "")):
            return None
        return _value(next(a for a in args if a is not type(None)), value, item, is_text=is_text)
    if origin is tuple:
        parts = _parts(value, is_text=is_text)
        if not parts and not item.metadata["may_be_empty"]:
            raise _Bad(f"{_words(hint, item)} with at least one value is needed")
        read = tuple(_value(args[0], part, item, is_text=is_text) for part in parts)
        if len(set(read)) < len(read):
            raise _Bad("every value may stand once")
        return read
    if origin is Literal:
        found = next((a for a in args if value == a or (is_text and value == _text(a))), None)
        if found is None or isinstance(value, bool) is not isinstance(found, bool):
            raise _Bad(_near(value, [_text(a) for a in args]))
        return found
    return _scalar(hint, value, item, is_text=is_text)


def _scalar(kind: type, value: Any, item: Field[Any], *, is_text: bool) -> Any:
    if kind is str:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise _Bad("text is needed")
        text = str(value)
        known = item.metadata["known"]
        if known is not None and text not in known:
            raise _Bad(_near(text, known))
        return os.path.abspath(Path(text).expanduser()) if item.metadata["is_path"] else text
    if kind is bool:
        value = {"true": True, "false": False}.get(value.lower(), value) if is_text else value
        if not isinstance(value, bool):
            raise _Bad("true or false is needed")
        return value
    words = _words(kind, item)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Bad(f"{words} is needed")
    try:
        number = float(value)  # YAML reads 1e-3 as text
        whole = int(number) if kind is int else number
    except (ValueError, OverflowError):
        raise _Bad(f"{words} is needed") from None
    low, high = item.metadata["low"], item.metadata["high"]
    is_inside = (low is None or number >= low) and (high is None or number <= high)
    if whole != number or not is_inside:
        raise _Bad(f"{words} is needed")
    return whole


def _parts(value: Any, *, is_text: bool) -> list[Any]:
    """Return the items of a list; text is a YAML list or values between commas."""
    if is_text and isinstance(value, str):
        if not value.startswith("["):
            return [part.strip() for part in value.split(",") if part.strip()]
        try:
            read = yaml.load(value, Loader=yaml.BaseLoader)  # every scalar stays text
        except yaml.YAMLError:
            raise _Bad("a list as [a, b] is needed") from None
        value = read
    return list(value) if isinstance(value, list | tuple) else [value]


def _near(value: Any, known: Any) -> str:
    names = [str(name) for name in known]
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"one of {', '.join(names)} is needed{hint}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(hint: Any, item: Field[Any]) -> str:
    """Return a type with its bounds in words, as ``a whole number from 1 to 64``."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _words(next(a for a in args if a is not type(None)), item) + " or null"
    if origin is tuple:
        return f"a list, each {_words(args[0], item)}"
    if origin is Literal:
        return "one of " + ", ".join(_text(a) for a in args)
    if hint is bool:
        return "true or false"
    if hint is str:
        known = item.metadata["known"]
        if known is not None:
            return "one of " + ", ".join(known)
        return "a path" if item.metadata["is_path"] else "text"
    low, high = item.metadata["low"], item.metadata["high"]
    bounds = {
        (True, True): f" from {low:g} to {high:g}" if low is not None and high is not None else "",
        (True, False): f" of at least {low:g}" if low is not None else "",
        (False, True): f" of at most {high:g}" if high is not None else "",
        (False, False): "",
    }[low is not None, high is not None]
    return ("a whole number" if hint is int else "a number") + bounds
