"""VOC's files as other tools and people write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from archfront.trainers.data import DataRef, load
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import objects_of, read
from tests.support.drawn_datasets import voc_object
from tests.support.drawn_images import REF

NAMES = [f"{index}" for index in range(4)]


def write(
    root: Path,
    *,
    images: str = "JPEGImages",
    xmls: str = "Annotations",
    names: Sequence[str] = NAMES,
    labels: tuple[str, str] = ("red", "blue"),
    head: str = "",
    encoding: str = "utf-8",
) -> DataRef:
    objects = [voc_object(label, (3 + k, 3, 10 + k, 10)) for k, label in enumerate(labels)]
    size = "<size><width>20</width><height>16</height></size>"
    for index, name in enumerate(names):
        image, xml = root / images / f"{name}.png", root / xmls / f"{name}.xml"
        for file in (image, xml):
            file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (index, 9, 9)).save(image)
        text = f"{head}<annotation>{size}{''.join(objects)}</annotation>"
        xml.write_bytes(text.encode(encoding))
    return replace(REF, reader="voc", root=str(root), target="boxes")


@pytest.mark.parametrize(
    ("declared", "written", "labels"),
    [
        ("gb2312", "gb2312", ("红", "蓝")),
        ("gb2312", "gbk", ("紅", "藍")),  # traditional letters, which gb2312 lacks
        ("GBK", "gbk", ("红", "蓝")),
        ("big5", "big5", ("紅", "藍")),
        ("shift_jis", "shift_jis", ("赤", "青")),
        ("euc-kr", "euc-kr", ("빨강", "파랑")),
        ("ISO-8859-1", "cp1252", ("röt", "blå€")),
        ("utf-8", "utf-8-sig", ("rot", "blau")),
        ("UTF-16", "utf-16", ("rot", "blau")),
        ("windows-1251", "cp1251", ("красный", "синий")),
    ],
)
def test_xml_is_read_in_the_encoding_that_it_says(
    tmp_path: Path, declared: str, written: str, labels: tuple[str, str]
) -> None:
    head = f'<?xml version="1.0" encoding="{declared}"?>\n'
    raw = read(write(tmp_path, labels=labels, head=head, encoding=written))
    assert raw.broken == ()
    assert raw.class_names == tuple(sorted(labels))
    assert len(objects_of(raw, "0.png")) == 2


@pytest.mark.parametrize("head", ['<?xml version="1.0" encoding="klingon"?>', ""])
def test_another_encoding_is_a_problem_of_its_file(tmp_path: Path, head: str) -> None:
    ref = write(tmp_path, labels=("röt", "blå"), head=head, encoding="latin-1")
    with pytest.raises(DataError, match="4 of the kind: annotation that does not parse"):
        load(ref)


@pytest.mark.parametrize("flag", ["", " 1", "  -1", "\t0"])
def test_names_with_blanks_are_whole_lines_of_lists(tmp_path: Path, flag: str) -> None:
    names = [f"my scan {index}" for index in range(4)]
    ref = write(tmp_path, names=names)
    folder = tmp_path / "ImageSets" / "Main"
    folder.mkdir(parents=True)
    for part, shown in {"train": names[:3], "val": names[3:]}.items():
        text = "\r\n".join(f"{name}{flag}" for name in shown)
        (folder / f"{part}.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    raw = read(ref)
    assert {part: len(samples) for part, samples in raw.parts.items()} == {"train": 3, "val": 1}
    assert raw.broken == ()


@pytest.mark.parametrize(
    ("images", "xmls"),
    [("images", "annotations"), (".", "."), ("JPEGImages/a", "Annotations/a"), ("images", "xmls")],
)
def test_other_layouts_of_one_part_are_read(tmp_path: Path, images: str, xmls: str) -> None:
    raw = read(write(tmp_path, images=images, xmls=xmls))
    assert len(raw.parts["all"]) == 4
    assert raw.broken == ()


@pytest.mark.parametrize(
    ("images", "xmls"),
    [("{}", "{}"), ("{}/JPEGImages", "{}/Annotations"), ("{}/images", "{}/xml")],
)
def test_folders_of_splits_are_read(tmp_path: Path, images: str, xmls: str) -> None:
    """Names may be the same in two splits, as two downloads have them."""
    for part in ("train", "valid"):
        ref = write(tmp_path, images=images.format(part), xmls=xmls.format(part))
    raw = read(ref)
    assert {part: len(samples) for part, samples in raw.parts.items()} == {"train": 4, "val": 4}
    assert raw.broken == ()


def test_endings_in_capitals_are_read(tmp_path: Path) -> None:
    ref = write(tmp_path)
    for file in [*tmp_path.rglob("*.xml"), *tmp_path.rglob("*.png")]:
        file.rename(file.with_suffix(file.suffix.upper()))
    raw = read(ref)
    assert len(raw.parts["all"]) == 4
    assert raw.broken == ()


def test_a_size_in_floats_is_compared(tmp_path: Path) -> None:
    ref = write(tmp_path)
    file = tmp_path / "Annotations" / "0.xml"
    file.write_text(file.read_text().replace("<width>20<", "<width>30.0<"))
    with pytest.raises(DataError, match="its annotations are for 30 x 16"):
        load(ref)
