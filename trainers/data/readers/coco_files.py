"""Where COCO annotations lie in the layouts that are usual, and what is in them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archfront.trainers.data.readers.paths import SPLIT_NAMES, name_of
from archfront.trainers.errors import DataError

LAYOUT = (
    "archfront expects <data.root>/train.json, <data.root>/annotations/instances_train*.json or "
    "<data.root>/train/_annotations.coco.json, the same for val (and test), or one file that "
    "data.annotations names"
)
ORDER = ("all", "train", "val", "test")


@dataclass(frozen=True)
class AnnotationFile:
    """One json file and the folders in which its images may lie, the likeliest first."""

    part: str
    file: Path
    folders: tuple[Path, ...]


def annotation_files(root: Path, named: str | None) -> list[AnnotationFile]:
    """Return the annotation files of each split, or the one for all.

    Raises:
        DataError: If there is none, or two for one split.
    """
    if named is not None:
        file = Path(named).expanduser().absolute()
        if not file.is_file():
            raise DataError(f"data.annotations {file} is not there.")
        return [AnnotationFile("all", file, (root / "images", root, file.parent))]
    found: dict[str, Path] = {}
    for file in _candidates(root):
        split = _split_of(file)
        if split is None:
            continue
        if split in found:
            raise DataError(
                f"data.root {root} has two annotation files for the split {split}: "
                f"{name_of(found[split], root)} and {name_of(file, root)}. Move one away, or name "
                "one with data.annotations."
            )
        found[split] = file
    if found:
        return [
            AnnotationFile(split, found[split], _folders(root, found[split]))
            for split in ORDER
            if split in found
        ]
    alone = _candidates(root)
    if len(alone) != 1:
        having = ", ".join(name_of(file, root) for file in alone[:5]) or "none"
        raise DataError(
            f"data.root {root} has no annotation files by the names of splits (json files there: "
            f"{having}). {LAYOUT}."
        )
    return [AnnotationFile("all", alone[0], _folders(root, alone[0]))]


def read_json(file: Path, root: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the lists ``images``, ``annotations`` and ``categories`` of a file.

    Raises:
        DataError: If it cannot be read, is no json or has no such lists of mappings.
    """
    name = name_of(file, root)
    try:
        content = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} does not parse as json: {error.msg} in line {error.lineno}, column "
            f"{error.colno}. Was it copied whole?"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise DataError(f"{name} holds no mapping, so it is no COCO file.")
    for key in ("images", "annotations", "categories"):
        values = content.get(key)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise DataError(
                f"{name} has no list {key!r}, so it is no COCO file for detection; it has "
                f"{', '.join(map(str, list(content)[:8])) or 'nothing'}."
            )
    return content


def _candidates(root: Path) -> list[Path]:
    places = [root, root / "annotations"]
    found = [file for place in places for file in sorted(place.glob("*.json"))]
    return found + [root / split / "_annotations.coco.json" for split in _present(root)]


def _present(root: Path) -> list[str]:
    return [s for s in SPLIT_NAMES if (root / s / "_annotations.coco.json").is_file()]


def _split_of(file: Path) -> str | None:
    """Return the split that the name of a file says: train.json, instances_val2017.json."""
    if file.name == "_annotations.coco.json":
        return SPLIT_NAMES[file.parent.name]
    match = re.fullmatch(rf"(?:instances_)?({'|'.join(SPLIT_NAMES)})[_-]?\d*", file.stem)
    return SPLIT_NAMES[match[1]] if match else None


def _folders(root: Path, file: Path) -> tuple[Path, ...]:
    if file.name == "_annotations.coco.json":
        return (file.parent, file.parent / "images")
    name = file.stem.removeprefix("instances_")
    beside: Sequence[Path] = (
        root / name / "images",
        root / name,
        root / "images" / name,
        root / "images",
        root,
    )
    return tuple(beside)
