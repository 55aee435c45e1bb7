"""The rules of a configuration about the data and its format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from archfront.search.config.auto_groups import TARGETS
from archfront.search.config.schema import Config
from archfront.search.errors import unknown
from archfront.trainers.data.group_split import PATTERNS, column_of
from archfront.trainers.data.readers import READERS
from archfront.trainers.tasks import TASKS
from archfront.trainers.words import join_words, quoted

# The options that only some formats read, with their values where they are not given.
NOT_GIVEN: Mapping[str, Any] = {
    "annotations": None,
    "classes": None,
    "palette": {},
    "ignore_index": None,
}


def data_source(config: Config) -> list[str]:
    """Return the options that are missing to find the data."""
    data = config.data
    problems = []
    if data.reader == "torchvision" and data.name is None:
        problems.append(
            "data.name: data=torchvision needs the name of a dataset; got nothing. "
            "Give data.name=NAME, like FashionMNIST."
        )
    root = READERS[data.reader].root
    if root is not None and data.root is None:
        problems.append(
            f"data.root: data={data.reader} needs {root}; got nothing. Give data.root=FOLDER."
        )
    return problems


def target(config: Config) -> list[str]:
    """Return the reason why the task cannot learn from this data, if there is one."""
    reader, task = READERS[config.data.reader], TASKS[config.task.name]
    if task.target in reader.gives:
        return []
    fitting = [name for name, other in READERS.items() if task.target in other.gives]
    return [
        f"data.reader: the task {config.task.name!r} learns from {TARGETS[task.target]}, which "
        f"{config.data.reader!r} does not give. Readers that do: {', '.join(fitting)}."
    ]


def torchvision_name(config: Config) -> list[str]:
    """Return the problem of a name that torchvision does not have."""
    from archfront.trainers.data.readers.torchvision_datasets import DATASETS

    name = config.data.name
    if config.data.reader != "torchvision" or name is None or name in DATASETS:
        return []
    return [f"data.name: {unknown('torchvision dataset', name, DATASETS)}"]


def unread_options(config: Config) -> list[str]:
    """Return the problems of options that the format does not read."""
    data = config.data
    problems = []
    for option, absent in NOT_GIVEN.items():
        value = getattr(data, option)
        if value == absent or option in READERS[data.reader].options:
            continue
        having = [name for name, reader in READERS.items() if option in reader.options]
        problems.append(
            f"data.{option}: data={data.reader} does not look at it; got {quoted(value)}. Leave "
            f"it out, or use {' or '.join(f'data={name}' for name in having)}."
        )
    return problems


def group(config: Config) -> list[str]:
    """Return the problem of groups: no regular expression, or a column where there is none."""
    pattern = config.data.group
    if column_of(pattern) is not None and config.data.reader != "csv":
        return [
            f"data.group: {quoted(pattern)} is a column of a table, and data={config.data.reader} "
            f"has none. Give {' or '.join(PATTERNS)}, or a pattern in the names of images."
        ]
    try:
        re.compile(pattern or "")
    except re.error as error:
        return [
            f"data.group: {quoted(pattern)} is no regular expression ({error}). Give one whose "
            "first parenthesis is what the images of a group have in common, or "
            f"{' or '.join(PATTERNS)}."
        ]
    return []


def palette(config: Config) -> list[str]:
    """Return the problems of the values and colors of masks."""
    palette, index = config.data.palette, config.data.ignore_index
    lengths = {len(key) for key in palette.values()}
    problems = []
    if palette and lengths not in ({1}, {3}):
        problems.append(
            "data.palette: every class has one value, as road: 7, or every class has a color, as "
            f"road: [128, 64, 128]; got {quoted(palette)}."
        )
    twice = {key for key in palette.values() if list(palette.values()).count(key) > 1}
    if twice:
        names = [name for name, key in palette.items() if key in twice]
        problems.append(f"data.palette: {' and '.join(names)} have the same value or color.")
    if palette and config.data.classes is not None:
        problems.append("data.classes: data.palette names the classes already; give one of both.")
    if 3 in lengths and index is not None:
        problems.append(
            f"data.ignore_index: the masks have colors; got {index}. Name the color that does not "
            "count in data.palette, as ignored: [224, 224, 192]."
        )
    return problems


def tiles(config: Config) -> list[str]:
    """Return the problem of tiles for labels of whole images."""
    tiles = config.data.tiles
    if tiles is None or not TASKS[config.task.name].is_image_level:
        return []
    located = [name for name, task in TASKS.items() if not task.is_image_level]
    return [
        f"data.tiles: the labels of an image are not those of its tiles; got {tiles} with "
        f"task={config.task.name}. Leave it out; tiles are for {join_words(located)}."
    ]


def shapes(config: Config) -> list[str]:
    """Return the contradictions between the options of drawn shapes."""
    shapes = config.data.shapes
    if config.data.reader != "shapes":
        return []
    problems = [
        f"data.shapes.{name}_min: it is at most data.shapes.{name}_max; got {low:g} and {high:g}."
        for name, low, high in (
            ("objects", shapes.objects_min, shapes.objects_max),
            ("share", shapes.share_min, shapes.share_max),
        )
        if low > high
    ]
    if shapes.objects_min == 0 and TASKS[config.task.name].target == "label":
        problems.append(
            "data.shapes.objects_min: one label per image needs a shape in each; got 0. Set 1."
        )
    return problems
