"""Reading nested content into frozen dataclasses by their types, collecting every problem."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import types
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class Problems(list[str]):
    """Problems in the order found; the same one is kept once."""

    def add(self, text: str) -> None:
        """Append a problem unless it is there."""
        if text not in self:
            self.append(text)


class UnreadError(Exception):
    """A rule looked at a value that could not be read; the problem is noted already."""


class _Unread:
    """Stands for a value that could not be read, so that rules about others still run."""

    def __eq__(self, other: object) -> bool:
        """Return False: whatever it was meant to be, it is not known to be ``other``."""
        return False

    __hash__ = None  # type: ignore[assignment]  # has no equal, so no hash

    def _refuse(self, *_: object) -> Any:
        raise UnreadError

    __repr__ = __str__ = __format__ = __iter__ = __bool__ = __lt__ = __gt__ = _refuse
    __le__ = __ge__ = __int__ = __float__ = __len__ = __getitem__ = __getattr__ = _refuse


class _Bad(Exception):
    """A value that does not fit; its text says what is allowed."""


class _NoHome(_Bad):
    """A path below the home folder of somebody who has none."""


def check(
    cls: type[T],
    content: Any,
    *,
    texts: frozenset[str],
    problems: Problems,
    path: str = "",
) -> T | None:
    """Return ``cls`` filled from ``content``, or None when part of it is missing.

    A value that does not fit adds a problem and raises ``UnreadError`` when it is looked at.

    Args:
        cls: A dataclass whose fields carry ``help, low, high, known, is_path,
            may_be_empty, may_repeat`` as metadata.
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
            problems.add(_unknown_option(cls, str(key), path))
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
                values[name] = _Unread()
    complete = len(values) == len(names) and all(
        values[n] is not None for n in names if is_dataclass(hints[n])
    )
    return cls(**values) if complete else None


def _unknown_option(cls: type, key: str, parent: str) -> str:
    """Return the message for an option that does not exist, with where the name is meant."""
    names = [item.name for item in fields(cls)]
    here = f"{parent}." if parent else ""
    meant = _places_of(cls, key, parent)
    meant = meant or [here + name for name in difflib.get_close_matches(key, names, n=1)]
    hint = f" Did you mean {' or '.join(meant)}?" if meant else ""
    where = f"under {parent}" if parent else "at the top"
    return f"{here}{key}: no such option.{hint} Known {where}: {', '.join(sorted(names))}."


def _places_of(cls: type, key: str, parent: str) -> list[str]:
    """Return the paths deeper below a dataclass that end in ``key``, each once."""
    start = parent.count(".") + 2 if parent else 1
    found = []
    for path, _, _ in option_paths(cls, parent):
        parts = path.split(".")
        if key in parts[start:]:
            found.append(".".join(parts[: parts.index(key, start) + 1]))
    return list(dict.fromkeys(found))


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
        kind = next(a for a in args if a is not type(None))
        try:
            return _value(kind, value, item, is_text=is_text)
        except _NoHome:
            raise
        except _Bad:
            raise _Bad(f"{_words(hint, item)} is needed") from None
    if origin is Mapping:
        return _mapping(args[1], value, item, is_text=is_text)
    if origin is tuple:
        parts = _parts(value, is_text=is_text)
        if not parts and not item.metadata["may_be_empty"]:
            raise _Bad(f"{_words(hint, item)} with at least one value is needed")
        read = tuple(_value(args[0], part, item, is_text=is_text) for part in parts)
        if len(set(read)) < len(read) and not item.metadata["may_repeat"]:
            raise _Bad("every value may stand once")
        return read
    if origin is Literal:
        found = next((a for a in args if value == a or (is_text and value == _text(a))), None)
        if found is None or isinstance(value, bool) is not isinstance(found, bool):
            raise _Bad(_near(value, [_text(a) for a in args]))
        return found
    return _scalar(hint, value, item, is_text=is_text)


def _mapping(hint: Any, value: Any, item: Field[Any], *, is_text: bool) -> dict[str, Any]:
    """Return names with their values; ``{}`` and ``null`` are none."""
    if value is None or (is_text and value in ("null", "", "{}")):
        return {}
    if not isinstance(value, dict):
        raise _Bad(f"{_words(Mapping[str, hint], item)} is needed, as option.name=value")
    # What a command line says of one name is text; numbers are read from it as from a list.
    return {
        str(name): _value(hint, part, item, is_text=isinstance(part, str))
        for name, part in value.items()
    }


def _scalar(kind: type, value: Any, item: Field[Any], *, is_text: bool) -> Any:
    if kind is str:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise _Bad("text is needed")
        text, known = str(value), item.metadata["known"]
        if known is not None and text not in known:
            raise _Bad(_near(text, known))
        if not text.strip():
            raise _Bad(f"{_words(kind, item)} that is not empty is needed")
        return _absolute(text) if item.metadata["is_path"] else text
    if kind is bool:
        value = {"true": True, "false": False}.get(value.lower(), value) if is_text else value
        if not isinstance(value, bool):
            raise _Bad("true or false is needed")
        return value
    number = _number(kind, value)
    low, high = item.metadata["low"], item.metadata["high"]
    if (
        number is None
        or (low is not None and number < low)
        or (high is not None and number > high)
    ):
        raise _Bad(f"{_words(kind, item)} is needed")
    return number


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(Path(path).expanduser())
    except RuntimeError:
        raise _NoHome("a path is needed, and this user has no home folder") from None


def _number(kind: type, value: Any) -> int | float | None:
    """Return a finite number of a kind, from a number or its text; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if kind is int and not isinstance(value, float):
        with contextlib.suppress(ValueError):  # 1e3 is whole too, below
            return int(value)  # exact, however large
    try:
        number = float(value)  # YAML reads 1e-3 as text
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or (kind is int and number != int(number)):
        return None
    return int(number) if kind is int else number


def _parts(value: Any, *, is_text: bool) -> list[Any]:
    """Return the items of a list; text is a YAML list or values between commas."""
    if is_text and isinstance(value, str):
        text = value.strip()
        if text.count("[") != text.count("]"):
            raise _Bad("a list as [a, b] is needed")
        # A pattern may begin with a set of letters, as [rv]es*, but a list ends as it begins.
        if text.startswith("[") and text.find("]") == len(text) - 1:
            text = text[1:-1]
        return [part.strip().strip("'\"") for part in text.split(",") if part.strip()]
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
    if origin is Mapping:
        return f"names, each with {_words(args[1], item)}"
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
    bounds = ""
    if low is not None and high is not None:
        bounds = f" from {_text(low)} to {_text(high)}"
    elif low is not None:
        bounds = f" of at least {_text(low)}"
    elif high is not None:
        bounds = f" of at most {_text(high)}"
    return ("a whole number" if hint is int else "a number") + bounds
