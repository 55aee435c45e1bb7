"""Images and masks of the same name in two folders: the class of every pixel.

A mask is an image of class indices, whatever its own palette shows, or of colors that
``data.palette`` explains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from archfront.trainers.data.images import read_colors, read_index
from archfront.trainers.data.raw import RawData, RawSample, Skipped
from archfront.trainers.data.readers.paths import (
    SPLIT_NAMES,
    as_parts,
    existing_root,
    images_below,
    name_of,
)
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import IGNORED, Mask
from archfront.trainers.errors import DataError

LAYOUT = (
    "archfront expects <data.root>/train/images beside train/masks, the same for val; or "
    "images/train beside masks/train; or images beside masks"
)
ORDER = ("train", "val", "test")
NOT_COUNTED = "ignored"  # the name in a palette of what does not count
Values = tuple[tuple[int | tuple[int, ...], int], ...]


@dataclass(frozen=True)
class Classes:
    """The names of the classes, and the class of each value or color in a mask.

    ``values`` is None where values are the classes.
    """

    names: tuple[str, ...]
    values: Values | None

    @property
    def by_color(self) -> bool:
        """Return whether masks are read as colors."""
        return self.values is not None and not isinstance(self.values[0][0], int)


def read_masks(ref: DataRef) -> RawData:
    """Return the images that have a mask of the same name without its ending.

    Classes are those of ``data.palette``; else of ``data.classes``, in the order of their values
    from 0 on, ``data.ignore_index`` left out; else the values that are found: ``class 0``, ...

    Raises:
        DataError: If the folders are not there, or the classes cannot be known.
    """
    root = existing_root(ref, "the folder of images and masks", LAYOUT)
    pairing = _Pairing(root)
    pairs = {part: pairing.pairs(*folders) for part, folders in _folders(root).items()}
    classes = _classes(ref, (mask for part in pairs.values() for _, mask in part))
    parts = {
        part: [
            RawSample(image, _mask(mask, classes), name_of(image, root)) for image, mask in found
        ]
        for part, found in pairs.items()
    }
    kept, repeated = as_parts(parts, root)
    return RawData(
        where=f"data.root {root}",
        class_names=classes.names,
        parts=kept,
        skipped=tuple(pairing.notes),
        broken=(*pairing.broken, *repeated),
    )


def _folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return the folders of images and masks of each split."""
    found: dict[str, tuple[Path, Path]] = {}
    for name, split in SPLIT_NAMES.items():
        for images, masks in (
            (root / name / "images", root / name / "masks"),
            (root / "images" / name, root / "masks" / name),
        ):
            if images.is_dir() and masks.is_dir() and split not in found:
                found[split] = images, masks
    if found:
        return {split: found[split] for split in ORDER if split in found}
    images, masks = root / "images", root / "masks"
    if not (images.is_dir() and masks.is_dir()):
        raise DataError(f"data.root {root} has no folders of images and masks. {LAYOUT}.")
    return {"all": (images, masks)}


@dataclass
class _Pairing:
    """Images and masks that are matched, and what has no match."""

    root: Path
    broken: list[Skipped] = field(default_factory=list)
    notes: list[Skipped] = field(default_factory=list)

    def pairs(self, images: Path, masks: Path) -> list[tuple[Path, Path]]:
        """Return each image with its mask."""
        by_stem: dict[str, list[Path]] = {}
        for mask in images_below(masks):
            by_stem.setdefault(_stem(mask, masks), []).append(mask)
        found, used = [], set()
        for image in images_below(images):
            name, stem = name_of(image, self.root), _stem(image, images)
            fitting = by_stem.get(stem, [])
            if not fitting:
                where = name_of(masks, self.root)
                detail = f"{name} has no mask of its name in {where}"
                self.broken.append(Skipped(name, "image without a mask", detail))
            elif len(fitting) > 1:
                shown = " and ".join(name_of(mask, self.root) for mask in fitting)
                detail = f"{name} has two masks, {shown}; move one away"
                self.broken.append(Skipped(name, "image with two masks", detail))
            elif stem in used:
                detail = f"{name} is a second image for {name_of(fitting[0], self.root)}"
                self.broken.append(Skipped(name, "mask with two images", detail))
            else:
                found.append((image, fitting[0]))
            used.add(stem)
        for stem, extra in by_stem.items():
            if stem not in used:
                name = name_of(extra[0], self.root)
                detail = f"{name} has no image of its name, so it was not looked at"
                self.notes.append(Skipped(name, "mask without an image", detail))
        return found


def _stem(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _mask(file: Path, classes: Classes) -> Mask:
    return Mask(partial(read_colors, file) if classes.by_color else file, classes.values)


def _classes(ref: DataRef, masks: Iterable[Path]) -> Classes:
    if ref.palette:
        return _by_palette(dict(ref.palette), ref.ignore_index)
    if ref.classes is None:
        return _by_values(_values_in(masks), ref.ignore_index)
    values = [value for value in range(IGNORED + 1) if value != ref.ignore_index]
    pairs = list(zip(values, range(len(ref.classes)), strict=False))
    return Classes(ref.classes, _with_ignored(pairs, ref.ignore_index))


def _by_palette(palette: Mapping[str, tuple[int, ...]], ignore_index: int | None) -> Classes:
    names = tuple(name for name in palette if name != NOT_COUNTED)
    labels = {**{name: label for label, name in enumerate(names)}, NOT_COUNTED: IGNORED}
    keys = {name: key[0] if len(key) == 1 else key for name, key in palette.items()}
    pairs = [(key, labels[name]) for name, key in keys.items()]
    if any(isinstance(key, tuple) for key in keys.values()):
        return Classes(names, tuple(pairs))
    return Classes(names, _with_ignored(pairs, ignore_index))  # type: ignore[arg-type]  # no tuple


def _by_values(found: list[int], ignore_index: int | None) -> Classes:
    """Return a class for each value, except those that are ignored.

    255 is, by custom, where there are two others; beside one other it is the white of a mask that
    is black and white.
    """
    values = [value for value in found if value != ignore_index]
    if ignore_index is None and len(values) > 2 and values[-1] == IGNORED:
        values.pop()
    pairs = [(value, label) for label, value in enumerate(values)]
    return Classes(tuple(f"class {value}" for value in values), _with_ignored(pairs, ignore_index))


def _with_ignored(pairs: list[tuple[int, int]], ignore_index: int | None) -> Values:
    """Return the class of each value; what is ignored, and 255 where it is no class, has none."""
    values: dict[int | tuple[int, ...], int] = {IGNORED: IGNORED}
    if ignore_index is not None:
        values[ignore_index] = IGNORED
    values.update(pairs)
    return tuple(values.items())


def _values_in(masks: Iterable[Path]) -> list[int]:
    """Return every value that masks of indices have, sorted; broken ones are reported later.

    Raises:
        DataError: If a mask has colors.
    """
    found: set[int] = set()
    with ThreadPoolExecutor() as pool:
        for file, values in pool.map(_values, masks):
            if values is None:
                raise DataError(
                    f"{file.name} has colors: name the class of each with data.palette, as "
                    "data.palette.road=[128,64,128]."
                )
            found |= values
    return sorted(found)


def _values(file: Path) -> tuple[Path, set[int] | None]:
    try:
        indices = read_index(file)
    except DataError:
        return file, set()
    return file, None if indices.ndim == 3 else set(np.unique(indices).tolist())
