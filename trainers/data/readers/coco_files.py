"""Where COCO annotations lie in the layouts that are usual, and what is in them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archfront.trainers.data.readers.paths import SPLIT_NAMES, child, name_of, split_folders
from archfront.trainers.data.readers.text_files import TABLE_MB, marked_encoding
from archfront.trainers.errors import DataError
from archfront.trainers.files import plain_path, read_file
from archfront.trainers.words import reason_of

LAYOUT = (
    "archfront expects <data.root>/train.json, <data.root>/annotations/instances_train*.json, "
    "<data.root>/train/_annotations.coco.json or <data.root>/train/labels.json, the same for val "
    "(and test), or one file that data.annotations names"
)
ORDER = ("all", "train", "val", "test")
ROBOFLOW = "_annotations.coco.json"
IMAGE_FOLDERS = ("images", "data")
# Words in the names of files beside those of objects: other things that COCO annotates.
OTHER_KINDS = {"keypoints", "captions", "panoptic", "stuff", "info"}


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
        file = plain_path(named)
        if not file.is_file():
            raise DataError(f"data.annotations {file} is not there.")
        likely = (*(root / folder for folder in IMAGE_FOLDERS), root, file.parent)
        there = tuple(dict.fromkeys(folder for folder in likely if folder.is_dir()))
        return [AnnotationFile("all", file, there)]
    candidates = _candidates(root)
    found = _by_split(root, candidates, _named_split) or _by_split(root, candidates, _likely_split)
    if found:
        return [
            AnnotationFile(split, found[split], _folders(root, found[split], split))
            for split in ORDER
            if split in found
        ]
    if len(candidates) != 1:
        having = ", ".join(name_of(file, root) for file in candidates[:5]) or "none"
        raise DataError(
            f"data.root {root} has no annotation files by the names of splits (json files there: "
            f"{having}). {LAYOUT}."
        )
    return [AnnotationFile("all", candidates[0], _folders(root, candidates[0], "all"))]


def _by_split(
    root: Path, candidates: Iterable[Path], split_of: Callable[[Path, Path], str | None]
) -> dict[str, Path]:
    """Return the file of each split.

    Raises:
        DataError: If there are two for one.
    """
    found: dict[str, Path] = {}
    for file in candidates:
        split = split_of(file, root)
        if split is None:
            continue
        if split in found:
            raise DataError(
                f"data.root {root} has two annotation files for the split {split}: "
                f"{name_of(found[split], root)} and {name_of(file, root)}. Move one away, or name "
                "one with data.annotations."
            )
        found[split] = file
    return found


def read_json(
    file: Path, root: Path, *, needs_annotations: bool = True
) -> dict[str, list[dict[str, Any]]]:
    """Return the lists ``images``, ``annotations`` and ``categories`` of a file.

    Without ``needs_annotations`` the list of annotations may be missing, and is then empty.

    Raises:
        DataError: If it cannot be read, is no json or has no such lists of mappings.
    """
    name = name_of(file, root)
    try:
        data = read_file(file, TABLE_MB)
        content = json.loads(data.decode(marked_encoding(data) or "utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} does not parse as json: {error.msg} in line {error.lineno}, column "
            f"{error.colno}. Was it copied whole?"
        ) from error
    except (OSError, ValueError) as error:  # no text, or a number of thousands of digits
        raise DataError(f"{name} cannot be read: {reason_of(error)}.") from error
    except RecursionError as error:
        raise DataError(f"{name} is nested too deep for a COCO file.") from error
    if not isinstance(content, dict):
        raise DataError(f"{name} holds no mapping, so it is no COCO file.")
    if not needs_annotations and content.get("annotations") is None:
        content["annotations"] = []
    for key in ("images", "annotations", "categories"):
        values = content.get(key)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise DataError(
                f"{name} has no list {key!r}, so it is no COCO file for detection; it has "
                f"{', '.join(map(str, list(content)[:8])) or 'nothing'}."
            )
    return content


def _candidates(root: Path) -> list[Path]:
    """Return the json files in the usual places; in a split's folder, Roboflow's or all."""
    places = [root, child(root, "annotations")]
    found = [file for place in places for file in sorted(place.glob("*.json"))]
    for _, folder in split_folders(root):
        file = folder / ROBOFLOW
        found += [file] if file.is_file() else sorted(folder.glob("*.json"))
    return found


def _named_split(file: Path, root: Path) -> str | None:
    """Return the split that a file is named for: train.json, instances_val2017.json."""
    if file.name == ROBOFLOW:
        return None if file.parent == root else SPLIT_NAMES.get(file.parent.name.lower())
    name = file.stem.lower()
    match = re.fullmatch(rf"(?:instances_)?({'|'.join(SPLIT_NAMES)})[_-]?\d*", name)
    return SPLIT_NAMES[match[1]] if match else None


def _likely_split(file: Path, root: Path) -> str | None:
    """Return the one split that is a word of a file's name, or the name of its folder."""
    words = set(re.findall(r"[a-z]+", file.stem.lower()))
    if words & OTHER_KINDS:
        return None
    named = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    if not named and file.parent != root:
        named = {SPLIT_NAMES.get(file.parent.name.lower(), "")} - {""}
    return named.pop() if len(named) == 1 else None


def _folders(root: Path, file: Path, split: str) -> tuple[Path, ...]:
    """Return the folders that may have a file's images and are there, the likeliest first."""
    name = re.sub("^instances_", "", file.stem, flags=re.IGNORECASE)
    images = child(root, "images")
    likely = [root / name / "images", root / name, images / name]
    if file.parent not in (root, child(root, "annotations")):
        likely = [file.parent, *(file.parent / folder for folder in IMAGE_FOLDERS)]
    for _, folder in split_folders(root, split):
        likely += [folder / "images", folder / "data", folder]
    likely += [folder for _, folder in split_folders(images, split)]
    likely += [*(child(root, folder) for folder in IMAGE_FOLDERS), root]
    return tuple(dict.fromkeys(folder for folder in likely if folder.is_dir()))
