"""Datasets of every format with something wrong in them, and what is read of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from archfront.trainers.data import READERS, DataRef, Dataset
from archfront.trainers.data.raw import RawData
from archfront.trainers.data.targets import Objects
from tests.support.drawn_datasets import (
    coco_content,
    write_coco,
    write_masks,
    write_table,
    write_voc,
    write_xml,
)


def read(ref: DataRef) -> RawData:
    return READERS[ref.reader].read(ref)


def objects_of(raw: RawData, name: str) -> Objects:
    (sample,) = [s for part in raw.parts.values() for s in part if s.name.endswith(name)]
    assert isinstance(sample.target, Objects)
    return sample.target


def coco_with(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], DataRef]:
    def write(root: Path) -> DataRef:
        content = coco_content()
        change(content)
        return write_coco(root, content)

    return write


def first(**changes: Any) -> Callable[[Path], DataRef]:
    """Return what changes the first annotation."""
    return coco_with(lambda content: content["annotations"][0].update(changes))


def outlines(write: Callable[[Path], DataRef]) -> Callable[[Path], DataRef]:
    return lambda root: replace(write(root), target="outlines")


def masks(write: Callable[[Path], DataRef]) -> Callable[[Path], DataRef]:
    return lambda root: replace(write(root), target="mask")


def without_file(name: str, write: Callable[[Path], DataRef]) -> Callable[[Path], DataRef]:
    def broken(root: Path) -> DataRef:
        ref = write(root)
        (root / name).unlink()
        return ref

    return broken


def with_text(name: str, text: str, write: Callable[[Path], DataRef]) -> Callable[[Path], DataRef]:
    def broken(root: Path) -> DataRef:
        ref = write(root)
        (root / name).write_text(text)
        return ref

    return broken


def with_line(name: str, line: str, write: Callable[[Path], DataRef]) -> Callable[[Path], DataRef]:
    def broken(root: Path) -> DataRef:
        ref = write(root)
        (root / name).write_text(f"{(root / name).read_text()}\n{line}\n")
        return ref

    return broken


def voc_with(*objects: str, size: tuple[int, int] = (32, 32)) -> Callable[[Path], DataRef]:
    """Return what gives the first image these objects."""

    def write(root: Path) -> DataRef:
        ref = write_voc(root)
        write_xml(root / "Annotations" / "00000.xml", list(objects), size=size)
        return ref

    return write


def with_mask(
    pixels: Any, *, is_color: bool = False, name: str = "00000.png"
) -> Callable[[Path], DataRef]:
    def write(root: Path) -> DataRef:
        ref = write_masks(root, is_color=is_color)
        Image.fromarray(np.array(pixels, np.uint8)).save(root / "masks" / name)
        return ref

    return write


def table_row(row: str, target: str, *, by_column: bool = False) -> Callable[[Path], DataRef]:
    return with_line(
        "labels.csv", row, lambda root: write_table(root, target, by_column=by_column)
    )


def n_objects(dataset: Dataset) -> int:
    targets = [s.target for samples in dataset.splits.values() for s in samples.samples]
    return sum(len(target) for target in targets if isinstance(target, Objects))
