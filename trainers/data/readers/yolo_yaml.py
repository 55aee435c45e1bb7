"""The yaml file of a YOLO dataset, read as the text that it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.readers.paths import SPLIT_NAMES, name_of
from archfront.trainers.data.readers.text_files import read_text
from archfront.trainers.errors import DataError
from archfront.trainers.files import plain_path
from archfront.trainers.words import quoted
from archfront.trainers.yaml_text import parse_yaml

NOTHING = ("", "~", "null", "Null", "NULL", "None")
USUAL = ("data", "dataset")


@dataclass(frozen=True)
class DataYaml:
    """What a yaml file says of a dataset.

    Attributes:
        file: Where it lies.
        name: What to call it.
        base: Folder that its entries are relative to; empty for its own.
        parts: Folders or lists of each split.
        names: Class names; None where it has none.
        key_points: Number of key points and numbers of each; None for none.
        notes: What is odd and stops nothing.
    """

    file: Path
    name: str
    base: str
    parts: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...] | None
    key_points: tuple[int, int] | None
    notes: tuple[Skipped, ...]


def data_yaml(root: Path, named: str | None) -> DataYaml | None:
    """Return what the yaml file of a dataset says; None where there is none.

    Raises:
        DataError: If there are several, or it cannot be used.
    """
    file = _file(root, named)
    if file is None:
        return None
    name = name_of(file, root)
    content = _content(file, root)
    names = _names(content.get("names"), name)
    parts: dict[str, tuple[str, ...]] = {}
    for key, value in content.items():
        split = SPLIT_NAMES.get(key.lower())
        entries = tuple(_path(entry) for entry in _listed(value) if entry not in NOTHING)
        if split is not None and entries:
            parts[split] = entries
    return DataYaml(
        file,
        name,
        base=_path(_text(content.get("path"))),
        parts=parts,
        names=names,
        key_points=_key_points(content.get("kpt_shape"), name),
        notes=_miscounted(content.get("nc"), names, name),
    )


def _file(root: Path, named: str | None) -> Path | None:
    if named is not None:
        file = plain_path(named)
        if not file.is_file():
            raise DataError(f"data.annotations {file} is not there.")
        return file
    files = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
    usual = [file for file in files if file.stem in USUAL]
    # Settings of a training may lie beside it.
    likely = usual or [file for file in files if _says_train(file)]
    if len(likely) > 1:
        raise DataError(
            f"data.root {root} has several yaml files: "
            f"{', '.join(file.name for file in likely)}. Name one with data.annotations."
        )
    return next(iter(likely), None)


def _says_train(file: Path) -> bool:
    try:
        content = parse_yaml(read_text(file), yaml.BaseLoader)
    except (DataError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and "train" in content


def _content(file: Path, root: Path) -> dict[str, Any]:
    """Return the mapping of a file, with all values as text: no is a name, not False."""
    name = name_of(file, root)
    try:
        content = parse_yaml(read_text(file), yaml.BaseLoader)
    except DataError as error:
        raise DataError(f"{name} cannot be used: {error}.") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name} does not parse as yaml: {reason}") from error
    if not isinstance(content, dict):
        raise DataError(f"{name} holds no mapping, as 'train: images/train'.")
    return {str(key): value for key, value in content.items()}


def _names(value: Any, name: str) -> tuple[str, ...] | None:
    """Return the class names from a list, or a mapping from 0, 1, 2, ..."""
    if value is None or value in NOTHING:
        return None
    if isinstance(value, dict) and set(value) == {str(n) for n in range(len(value))}:
        return tuple(str(value[str(n)]) for n in range(len(value)))
    if isinstance(value, list):
        return tuple(map(str, value))
    raise DataError(
        f"{name} has names that are neither a list nor a mapping from 0, 1, ...; got "
        f"{quoted(value)}. Write names: [cat, dog]."
    )


def _key_points(value: Any, name: str) -> tuple[int, int] | None:
    if value is None or value in NOTHING:
        return None
    numbers = [text for text in _listed(value) if isinstance(text, str) and text.isdigit()]
    if len(numbers) != 2 or numbers[1] not in ("2", "3"):
        raise DataError(
            f"{name} has a kpt_shape that is not [number of key points, 2 or 3]; "
            f"got {quoted(value)}."
        )
    return int(numbers[0]), int(numbers[1])


def _miscounted(value: Any, names: tuple[str, ...] | None, name: str) -> tuple[Skipped, ...]:
    if names is None or value is None or value == str(len(names)):
        return ()
    detail = f"{name} says nc: {value} and has {len(names)} names; the names count"
    reason = "number of classes that is not that of the names"
    return (Skipped(name, reason, detail, is_note=True),)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value not in NOTHING else ""


def _path(value: Any) -> str:
    """Return a path as it is written here: Windows has backslashes."""
    return str(value).replace("\\", "/")
