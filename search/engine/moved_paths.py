"""Paths within the payload of a job, moved from the driver's folders to those of a node and back.

A path is a ``Path``, or a text that is one of the folders or begins with it and a slash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path, PurePath
from typing import Any

Places = Mapping[str, str]


def moved(value: Any, places: Places) -> Any:
    """Return a value in which each path below a folder lies below another one.

    Dataclasses, tuples, lists and dicts are looked through; a value without such a path is
    returned itself.

    Args:
        value: What to look through.
        places: The new folder by the old one, both absolute; the longest old one that fits counts.
    """
    if isinstance(value, str):
        return _moved_text(value, places)
    if isinstance(value, PurePath):
        text = str(value)
        new = _moved_text(text, places)
        return value if new is text else type(value)(new)
    if is_dataclass(value) and not isinstance(value, type):
        before = {field.name: getattr(value, field.name) for field in fields(value)}
        after = {name: moved(each, places) for name, each in before.items()}
        changed = {name: each for name, each in after.items() if each is not before[name]}
        return replace(value, **changed) if changed else value
    if isinstance(value, dict):
        items = {key: moved(each, places) for key, each in value.items()}
        return items if any(items[key] is not value[key] for key in value) else value
    if isinstance(value, tuple | list):
        found = [moved(each, places) for each in value]
        if all(new is old for new, old in zip(found, value, strict=True)):
            return value
        return type(value)(*found) if hasattr(value, "_fields") else type(value)(found)
    return value


def back(places: Places) -> Places:
    """Return the places that move paths where they came from."""
    return {new: old for old, new in places.items()}


def files_named(value: Any, root: Path) -> list[Path]:
    """Return the regular files below a root that a value names, each once."""
    named = (Path(text) for text in _texts(value) if _is_below(text, str(root)))
    return [path for path in dict.fromkeys(named) if path.is_file()]


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts and paths in a value."""
    if isinstance(value, str | PurePath):
        yield str(value)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _texts(getattr(value, field.name))
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _texts(each)


def _moved_text(text: str, places: Places) -> str:
    fitting = [folder for folder in places if _is_below(text, folder)]
    if not fitting:
        return text
    folder = max(fitting, key=len)
    return places[folder] + text[len(folder) :]


def _is_below(text: str, folder: str) -> bool:
    return text == folder or text.startswith(folder.rstrip("/") + "/")
