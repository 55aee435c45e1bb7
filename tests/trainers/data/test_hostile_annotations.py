"""Annotation files that are no files, too large, or stand for more than they hold."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.trainers.data import DataRef
from archfront.trainers.data.readers import READERS
from archfront.trainers.errors import DataError
from tests.support.drawn_images import REF, draw_folder
from tests.trainers.test_yaml_text import bomb


def refused(ref: DataRef) -> str:
    with pytest.raises(DataError) as caught:
        READERS[ref.reader].read(ref)
    return str(caught.value)


def named(root: Path, reader: str, name: str) -> DataRef:
    draw_folder(root / "images", {"a": 2})
    target = {"csv": "label"}.get(reader, "boxes")
    return replace(REF, reader=reader, root=str(root), annotations=str(root / name), target=target)


def pipe(file: Path) -> None:
    os.mkfifo(file)


def zero(file: Path) -> None:
    file.symlink_to("/dev/zero")


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(10**10)


@pytest.mark.parametrize(
    ("reader", "name"), [("coco", "labels.json"), ("csv", "labels.csv"), ("yolo", "data.yaml")]
)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pipe, r"is a named pipe, not a file|is not there"),
        (zero, r"is a link to /dev/zero, a device, not a file|is not there"),
        (sparse, r"it has 10,000\.0 MB; at most \d+ MB of such a file are read"),
    ],
)
def test_annotations_are_a_file_of_bounded_size(
    tmp_path: Path, reader: str, name: str, make: Callable[[Path], None], reason: str
) -> None:
    ref = named(tmp_path, reader, name)
    make(tmp_path / name)
    message = refused(ref)
    assert name in message
    assert re.search(reason, message), message


def test_a_bomb_in_data_yaml_gets_one_line(tmp_path: Path) -> None:
    ref = named(tmp_path, "yolo", "data.yaml")
    (tmp_path / "data.yaml").write_text(f"train: images\nnames: [a]\n{bomb(12)}\n")
    message = refused(ref)
    assert message.endswith("its aliases stand for more than 100,000 values")
    assert "\n" not in message


def test_entities_of_xml_are_not_expanded(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    text = (
        f'<!DOCTYPE annotation [<!ENTITY a0 "xxxxxxxxxx">{levels}]>'
        "<annotation><object><name>&a11;</name></object></annotation>"
    )
    for folder in ("Annotations", "JPEGImages"):
        (tmp_path / folder).mkdir()
    draw_folder(tmp_path / "JPEGImages", {"": 1})
    (image,) = (tmp_path / "JPEGImages").glob("*.*")
    (tmp_path / "Annotations" / f"{image.stem}.xml").write_text(text)
    ref = replace(REF, reader="voc", root=str(tmp_path), target="boxes")
    (problem,) = READERS["voc"].read(ref).broken
    assert problem.detail.endswith(
        "does not parse as xml: it declares entities, which are not read"
    )
