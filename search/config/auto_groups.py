"""The groups that follow from others: the space from the task, the format of data from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from archfront.search.errors import ConfigError
from archfront.trainers.data.readers import READERS
from archfront.trainers.data.targets import TargetKind
from archfront.trainers.tasks import TASKS

# What a target is called in messages.
TARGETS: Mapping[TargetKind, str] = {
    "label": "one label per image",
    "labels": "any number of labels per image",
    "mask": "masks",
    "boxes": "boxes",
    "outlines": "outlines of objects",
}
# The format of data whose files cannot be looked at.
USUAL: Mapping[TargetKind, str] = {
    "label": "folder",
    "labels": "csv",
    "mask": "masks",
    "boxes": "coco",
    "outlines": "coco",
}
# The format of a file that data.annotations names, by its ending.
BY_ENDING = {".json": "coco", ".csv": "csv", ".tsv": "csv", ".yaml": "yolo", ".yml": "yolo"}


def space_of(task: str) -> str:
    """Return the space that a task is searched in where none is given."""
    return "small" if task not in TASKS or TASKS[task].is_image_level else task


def reader_of(task: str, values: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the reader for data whose format is not given, and a line that says what was found.

    Args:
        task: Name of the task.
        values: Options of the command line by path, of which those of the data are looked at.

    Raises:
        ConfigError: If the files have no format that the task learns from, or several.
    """
    target: TargetKind = TASKS[task].target if task in TASKS else "label"
    if "data.name" in values and "data.root" not in values:
        return "torchvision", None
    ending = Path(values.get("data.annotations", "")).suffix.lower()
    root = Path(values.get("data.root", "")).expanduser()
    if ending in BY_ENDING or not values.get("data.root") or not root.is_dir():
        return BY_ENDING.get(ending, USUAL[target]), None
    from archfront.trainers.data.readers.recognize import contents, recognized

    found = recognized(root)
    fitting = [name for name in found if target in READERS[name].gives]
    if len(fitting) == 1:
        reader = fitting[0]
        return reader, f"data=auto reads {root} as data={reader} ({found[reader]})"
    if fitting:
        raise ConfigError(
            f"data: {root} has the files of {len(fitting)} formats: {_named(found, fitting)}. "
            f"Choose one with {' or '.join(f'data={name}' for name in fitting)}."
        )
    if found:
        raise ConfigError(_of_other_tasks(task, target, root, found))
    formats = "; ".join(
        f"data={name}: {reader.root}"
        for name, reader in READERS.items()
        if reader.root is not None and target in reader.gives
    )
    raise ConfigError(
        f"data: {root} has no format that is recognized for task={task} (it has "
        f"{contents(root)}). Give data.root=FOLDER with one, or choose its format: {formats}."
    )


def _of_other_tasks(task: str, target: TargetKind, root: Path, found: Mapping[str, str]) -> str:
    gives = {kind for name in found for kind in READERS[name].gives}
    tasks = [name for name, other in TASKS.items() if other.target in gives]
    return (
        f"data: {root} has {_named(found, list(found))}, and task={task} learns from "
        f"{TARGETS[target]}. Choose {' or '.join(f'task={name}' for name in tasks)}, or another "
        "data.root."
    )


def _named(found: Mapping[str, str], names: list[str]) -> str:
    return ", ".join(f"{name} ({found[name]})" for name in names)
