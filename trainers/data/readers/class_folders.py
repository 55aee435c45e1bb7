"""Which folders hold the classes of each split, and what lies beside them.

A folder is a split by its name and because most of its images lie in folders inside it, so that a
class may be called ``train``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.readers.paths import (
    SPLIT_NAMES,
    folders,
    images_below,
    images_in,
    name_of,
    split_folders,
    visible,
)
from archfront.trainers.errors import DataError
from archfront.trainers.words import count_of, join_words

LAYOUT = (
    "archfront expects <data.root>/<class>/<image>, or <data.root>/train/<class>/<image> "
    "and the same under val"
)
# What stands beside the name of a split, as in train_set or Test Images.
FILLERS = frozenset(("set", "data", "dataset", "split", "images", "image", "imgs", "photos"))
WORD = re.compile(r"[^\W_]+")
YEAR = re.compile(r"(?<=\D)(19|20)\d\d$")

Classes = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class ClassFolders:
    """Where the classes of each split are.

    Attributes:
        parts: The folders of each class by its name, for each split or ``all``. Names are in the
            one Unicode form that all systems can agree on.
        skipped: What lies beside.
    """

    parts: Mapping[str, Classes]
    skipped: tuple[Skipped, ...]


def class_folders(root: Path) -> ClassFolders:
    """Return the folders of classes by split.

    Raises:
        DataError: If there are none, or they lie deeper, or two folders are one split.
    """
    if not folders(root):
        images = count_of(len(images_in(root)), "image lies", "images lie")
        raise DataError(
            f"data.root {root} has no class folders ({images} in it directly). {LAYOUT}."
        )
    named = _by_split(root)
    splits = {name: found for name, found in named.items() if _holds_classes(found)}
    flat = [found for name, found in named.items() if name not in splits]
    others = [found for found in folders(root) if found not in named.values()]
    if not _are_splits(root, splits, flat, others):
        _check_not_deeper(root)
        parts = _splits_of_classes(root) or {"all": _classes(root)}
        return ClassFolders(parts, tuple(_strays(root, root, ())))
    inner = _without_doubles(splits)
    parts = {name: _classes(folder) for name, folder in inner.items()}
    alone = [
        name for name in parts if name != "train" and _is_unknown(parts[name], parts["train"])
    ]
    skipped = [*map(_unlabelled, [*flat, *(splits[name] for name in alone)])]
    skipped += _strays(root, root, (*splits.values(), *flat), has_folders=True)
    for name, top in splits.items():
        if name not in alone and inner[name] != top:
            skipped += _strays(root, top, (inner[name],), has_folders=True)
        if name not in alone:
            skipped += _strays(root, inner[name], ())
    kept = {name: classes for name, classes in parts.items() if name not in alone}
    if set(kept) == {"train"}:
        kept = {"all": kept["train"]}
    return ClassFolders(kept, tuple(sorted(skipped, key=lambda item: item.name)))


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Return the folders of each class in a folder."""
    found: dict[str, list[Path]] = {}
    for inside in folders(folder):
        found.setdefault(unicodedata.normalize("NFC", inside.name), []).append(inside)
    return found


def _is_unknown(classes: Classes, train: Classes) -> bool:
    """Return whether the images of a split lie in one folder that is no class: test/unknown."""
    return len(classes) == 1 < len(train) and not set(classes) <= set(train)


def _splits_of_classes(root: Path) -> dict[str, Classes]:
    """Return the classes of each split where every class has folders of splits in it.

    Nothing else may lie in the folders of classes, else all that is in them is one split.
    """
    parts: dict[str, dict[str, list[Path]]] = {}
    for name, places in _classes(root).items():
        for place in places:
            inside = split_folders(place)
            if not inside or len(inside) < len(visible(place)):
                return {}
            for split, folder in inside:
                parts.setdefault(split, {}).setdefault(name, []).append(folder)
    return {**parts} if "train" in parts and len(parts) > 1 else {}


def _by_split(root: Path) -> dict[str, Path]:
    """Return the folders that are called like a split, as train, Testing, val_set or seg_test."""
    words = {folder: _words(folder.name) for folder in folders(root)}
    likely = [found for found in words.values() if found and found[-1] in SPLIT_NAMES]
    # What is in front of the name is in front of several names: seg_train, seg_test.
    counts = Counter(tuple(found[:-1]) for found in likely)
    fronts = {front for front, count in counts.items() if not front or count > 1}
    named: dict[str, Path] = {}
    for folder, found in words.items():
        if not found or found[-1] not in SPLIT_NAMES or tuple(found[:-1]) not in fronts:
            continue
        split = SPLIT_NAMES[found[-1]]
        if split in named:
            raise DataError(
                f"data.root {root} has two folders for the split {split}: {named[split].name} and "
                f"{folder.name}. Merge them or move one away."
            )
        named[split] = folder
    return named


def _words(name: str) -> list[str]:
    words = [YEAR.sub("", word) for word in WORD.findall(name.casefold())]
    split = [
        word.removesuffix("set") if word.removesuffix("set") in SPLIT_NAMES else word
        for word in words
    ]
    return [word for word in split if word not in FILLERS]


def _are_splits(
    root: Path, splits: Mapping[str, Path], flat: Sequence[Path], others: Sequence[Path]
) -> bool:
    """Return whether folders that are called like splits are splits, not classes.

    Raises:
        DataError: If they are, but none of them can be trained on.
    """
    if "train" in splits:
        return len(splits) > 1 or bool(flat) or not others
    if others or not (splits or flat):
        return False
    if splits and not flat:
        raise DataError(
            f"data.root {root} has {' and '.join(sorted(splits))} but no train folder. {LAYOUT}."
        )
    hold = f"{join_words([f.name for f in flat])} {'holds' if len(flat) == 1 else 'hold'} images"
    raise DataError(
        f"data.root {root}: {hold} and no class folders, so that nothing tells their classes. "
        f"{LAYOUT}. If a table tells them, give data=csv."
    )


def _holds_classes(folder: Path) -> bool:
    """Return whether most images of a folder lie in folders inside it."""
    inside = folders(folder)
    n_direct = len(images_in(folder))
    if not inside or not n_direct:
        return bool(inside)
    return sum(len(images_below(f)) for f in inside) > n_direct


def _without_doubles(tops: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folders inside split folders that alone hold the classes, as in train/train."""
    inner = {name: _inside(top) for name, top in tops.items()}
    if all(inner[name] != top for name, top in tops.items()):
        return inner
    return {
        name: inner[name] if _words(inner[name].name) == _words(top.name) else top
        for name, top in tops.items()
    }


def _inside(folder: Path) -> Path:
    """Return the first folder that has several folders in it; the folder itself without one."""
    found = folder
    while _holds_classes(found):
        inside = folders(found)
        if len(inside) > 1:
            return found
        found = inside[0]
    return folder


def _check_not_deeper(root: Path) -> None:
    """Refuse a root whose only folder holds the folders of classes or splits."""
    inner = _inside(root)
    if inner != root:
        only = folders(root)[0].name
        raise DataError(
            f"data.root {root} has only the folder {only}, and the folders of classes are deeper. "
            f"Give data.root={inner}."
        )


def _unlabelled(folder: Path) -> Skipped:
    images = count_of(len(images_below(folder)), "image")
    inside = [f.name for f in folders(folder)]
    lacking = f"only the folder {inside[0]}, no class of train" if inside else "no class folders"
    return Skipped(
        folder.name,
        "split without class folders",
        f"{folder.name} holds {images} and {lacking}, so that nothing tells their classes",
    )


def _strays(
    root: Path, folder: Path, expected: Sequence[Path], *, has_folders: bool = False
) -> Iterator[Skipped]:
    """Yield what lies in a folder beside what is expected there: some folders, or any."""
    for entry in visible(folder):
        if entry not in expected and (has_folders or not entry.is_dir()):
            name = name_of(entry, root)
            yield Skipped(name, "not in a class folder", "it lies outside of every class folder")
