"""A look at the files of a dataset tells its format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from archfront.trainers.data.readers.recognize import contents, recognized


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8)).save(path)


def text(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def classes(root: Path) -> None:
    image(root / "cat" / "0.png")
    image(root / "dog" / "deeper" / "and deeper" / "0.JPG")


def split_classes(root: Path) -> None:
    for split in ("train", "val"):
        image(root / split / "cat" / "0.png")


def table(root: Path) -> None:
    image(root / "images" / "0.png")
    text(root / "labels.csv", "file;class\r\nimages\\0.png;cat\r\n")


def utf16_table(root: Path) -> None:
    text(root / "labels.csv", "path\tlabel\n0.png\tcat\n".encode("utf-16"))


def tables_of_splits(root: Path) -> None:
    image(root / "train" / "0.jpg")
    text(root / "train" / "_classes.csv", "filename, cat, dog\n0.jpg, 1, 0\n")


def masks(root: Path) -> None:
    image(root / "images" / "0.png")
    image(root / "masks" / "0.png")


def coco(root: Path) -> None:
    image(root / "train" / "0.jpg")
    content = {"info": {}, "images": [], "annotations": [], "categories": []}
    text(root / "annotations" / "instances_train.json", json.dumps(content))


def voc(root: Path) -> None:
    image(root / "JPEGImages" / "0.jpg")
    text(root / "Annotations" / "0.xml", "<annotation></annotation>")


def yolo(root: Path) -> None:
    image(root / "images" / "train" / "0.jpg")
    text(root / "labels" / "train" / "0.txt", "0 0.5 0.5 0.1 0.1\n")


def yolo_yaml(root: Path) -> None:
    image(root / "train" / "images" / "0.jpg")
    text(root / "data.yaml", "\ufefftrain: train/images\nnames: [a]\n")


def darknet(root: Path) -> None:
    image(root / "obj_train_data" / "0.jpg")
    text(root / "obj_train_data" / "0.txt", "")
    text(root / "obj.names", "a\n")


@pytest.mark.parametrize(
    ("make", "reader", "words"),
    [
        (classes, "folder", "2 folders of images: cat, dog"),
        (split_classes, "folder", "1 folder of images: cat"),
        (table, "csv", "labels.csv"),
        (utf16_table, "csv", "labels.csv"),
        (tables_of_splits, "csv", "train/_classes.csv"),
        (masks, "masks", "1 image with a mask"),
        (coco, "coco", "annotations/instances_train.json"),
        (voc, "voc", "1 xml file"),
        (yolo, "yolo", "1 file of labels"),
        (yolo_yaml, "yolo", "data.yaml"),
        (darknet, "yolo", "obj.names"),
    ],
)
def test_each_format_is_recognized(
    tmp_path: Path, make: Callable[[Path], None], reader: str, words: str
) -> None:
    make(tmp_path)
    found = recognized(tmp_path)
    assert found.pop(reader) == words
    assert found.keys() <= {"folder"}  # a folder of images may be one of a class


def test_files_of_other_kinds_are_no_format(tmp_path: Path) -> None:
    image(tmp_path / "0.jpg")
    text(tmp_path / "config.json", '{"images": 3}')
    text(tmp_path / "conda.yaml", "name: base\n")
    text(tmp_path / "README.txt", "some words\n")
    text(tmp_path / "results.csv", "accuracy,loss\n0.5,0.1\n")
    text(tmp_path / "page.xml", "<html></html>")
    text(tmp_path / ".hidden" / "0.jpg", "")
    assert recognized(tmp_path) == {}


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert recognized(tmp_path) == {}
    assert contents(tmp_path) == "nothing"
