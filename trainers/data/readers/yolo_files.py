"""Where the images of a YOLO dataset lie, and what its classes are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from archfront.trainers.data.readers.paths import SPLIT_NAMES, images_below, name_of
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError

LAYOUT = (
    "archfront expects <data.root>/data.yaml with names, train and val; or "
    "<data.root>/images/train beside labels/train, or train/images beside train/labels, the same "
    "for val; or images beside labels"
)
ORDER = ("all", "train", "val", "test")


@dataclass(frozen=True)
class Listing:
    """The images of each split, and the class names where they are said."""

    parts: Mapping[str, tuple[Path, ...]]
    names: tuple[str, ...] | None


def listing(root: Path, ref: DataRef) -> Listing:
    """Return the images of a dataset by its yaml file, else by its folders.

    Raises:
        DataError: If there are none, or the yaml file cannot be used.
    """
    file = _yaml_file(root, ref.annotations)
    if file is None:
        return Listing(_by_folders(root), ref.classes or _classes_txt(root))
    content = _read_yaml(file, root)
    parts = {
        SPLIT_NAMES[key]: _images(file, content, value)
        for key, value in content.items()
        if key in SPLIT_NAMES and value
    }
    if "train" not in parts:
        raise DataError(f"{name_of(file, root)} has no 'train'. {LAYOUT}.")
    ordered = {part: parts[part] for part in ORDER if part in parts}
    return Listing(ordered, _names(content.get("names"), file, root) or ref.classes)


def _yaml_file(root: Path, named: str | None) -> Path | None:
    if named is not None:
        file = Path(named).expanduser().absolute()
        if not file.is_file():
            raise DataError(f"data.annotations {file} is not there.")
        return file
    files = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
    usual = [file for file in files if file.stem in ("data", "dataset")]
    if len(usual or files) > 1:
        raise DataError(
            f"data.root {root} has several yaml files: "
            f"{', '.join(file.name for file in usual or files)}. Name one with data.annotations."
        )
    return next(iter(usual or files), None)


def _read_yaml(file: Path, root: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name_of(file, root)} does not parse as yaml: {reason}") from error
    if not isinstance(content, dict):
        raise DataError(f"{name_of(file, root)} holds no mapping, as 'train: images/train'.")
    return content


def _names(value: Any, file: Path, root: Path) -> tuple[str, ...] | None:
    """Return the class names from a list, or a mapping from 0, 1, 2, ..."""
    if value is None:
        return None
    if isinstance(value, dict) and set(value) == set(range(len(value))):
        return tuple(str(value[index]) for index in range(len(value)))
    if isinstance(value, list):
        return tuple(map(str, value))
    raise DataError(
        f"{name_of(file, root)} has names that are neither a list nor a mapping from 0, 1, ...; "
        f"got {value!r}."
    )


def _images(file: Path, content: Mapping[str, Any], value: Any) -> tuple[Path, ...]:
    """Return the images of folders or of lists, one or several."""
    found: list[Path] = []
    for entry in value if isinstance(value, list) else [value]:
        place = _resolved(file, content.get("path"), str(entry))
        if place.is_dir():
            found += images_below(place)
        elif place.suffix == ".txt":
            lines = place.read_text(encoding="utf-8").splitlines()
            found += [(place.parent / line.strip()) for line in lines if line.strip()]
        else:
            raise DataError(
                f"{file.name} names {entry}, which is neither a folder nor a .txt list."
            )
    return tuple(found)


def _resolved(file: Path, base: Any, entry: str) -> Path:
    """Return where an entry of a yaml file lies: it is found, or an error says where it is not.

    Exports of Roboflow say ``../train/images`` for what lies beside the file; and a ``path`` that
    somebody else's machine had is ignored.
    """
    beside = entry.removeprefix("../")
    bases = [file.parent / str(base), file.parent] if base else [file.parent]
    places = [folder / name for folder in bases for name in (entry, beside)]
    for place in places:
        if place.exists():
            return place.resolve()
    raise DataError(f"{file.name} names {entry}, which is not at {places[0]}. Correct the path.")


def _by_folders(root: Path) -> dict[str, tuple[Path, ...]]:
    found: dict[str, tuple[Path, ...]] = {}
    for name, split in SPLIT_NAMES.items():
        for place in (root / "images" / name, root / name / "images"):
            if place.is_dir() and split not in found:
                found[split] = tuple(images_below(place))
    if "train" in found:
        return {part: found[part] for part in ORDER if part in found}
    if not (root / "images").is_dir() or not (root / "labels").is_dir():
        raise DataError(f"data.root {root} is no YOLO dataset. {LAYOUT}.")
    return {"all": tuple(images_below(root / "images"))}


def _classes_txt(root: Path) -> tuple[str, ...] | None:
    """Return the names that labelImg and Label Studio write beside the labels."""
    for file in (root / "classes.txt", root / "labels" / "classes.txt"):
        if file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            return tuple(line.strip() for line in lines if line.strip())
    return None


def label_file(image: Path) -> Path:
    """Return the file of an image's labels: ``labels`` for the last ``images`` in its path."""
    parts = list(image.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")
