"""Class folders and tables of labels as people have them (``tests/support/case_folder.py``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights
from tests.support.case_folder import Case, case_root, check, parameters
from tests.support.drawn_images import REF

CATS_AND_DOGS = {"cat": 6, "dog": 6}
ODD_NAMES = ("C++", "50%", "a;b", "<b>x<b>", "na\u00efve (x)", "-dash", "null", "True")
LONG_NAMES = tuple(f"a_rather_long_class_name_as_species_have_{c:04d}" for c in range(700))

FOLDERS = (
    Case(
        "01-folder-unlabelled-test",
        {"cat": 10, "dog": 10},
        parts={"all": 20},
        told=("^test: .*6 images",),
    ),
    Case(
        "02-folder-training-testing",
        {"glioma": 12, "notumor": 12},
        parts={"train": 16, "test": 8},
    ),
    Case(
        "03-folder-stray-image-in-train",
        {"a": 12, "b": 12},
        parts={"train": 16, "val": 8},
        told=("train/preview.png: .*outside of every class folder",),
    ),
    Case(
        "03b-folder-readme-in-train",
        {"a": 12, "b": 12},
        parts={"train": 16, "val": 8},
        told=("train/README.txt",),
    ),
    Case(
        "04-folder-nested-root",
        stops=(r"data\.root=\S*/04-folder-nested-root/chest\b",),
        lines=1,
    ),
    Case(
        "05-folder-nas-thumbnails",
        {"blue": 8, "red": 8},
        untold=("SYNOPHOTO",),
    ),
    Case("06-folder-number-classes", {str(number): 4 for number in range(1, 13)}),
    Case(
        "07-folder-unicode-forms",
        {"caf\u00e9": 10, "tea": 10},
        parts={"train": 12, "val": 8},
    ),
    Case(
        "08-folder-litter",
        {"a": 8, "b": 8},
        told=("a/Thumbs.db", "b/desktop.ini", "b/x.jpg.crdownload", "b/notes.txt"),
        untold=(".DS_Store", "._000", "checkpoint"),
    ),
    Case(
        "09-folder-endings",
        {"a": 6, "b": 6},
        told=("a/x.HEIC", "a/y.svg", "b/x.HEIC", "b/y.svg"),
    ),
    Case(
        "10-folder-wrong-contents",
        {"a": 11, "b": 8},
        stops=("has 1 problem", "a/page.jpg: it is not an image"),
    ),
    Case("11-folder-broken-exif", {"a": 14, "b": 8}),
    Case(
        "12-folder-huge-image",
        {"a": 8, "b": 8},
        stops=("has 1 problem", "a/huge.png: it is too large"),
    ),
    Case("12b-folder-large-image", {"a": 9, "b": 8}, is_slow=True),
    Case(
        "13-folder-odd-modes",
        {"a": 13, "b": 13},
        stops=("has 2 problems", "a/float.tif", "b/float.tif"),
    ),
    Case(
        "14-folder-12-bit",
        {"dark": 8, "light": 8},
        told=("values from 0 to 4,095 become the 256 levels of gray",),
    ),
    Case("15-folder-tiny", {"a": 3, "b": 3}),
    Case(
        "16-folder-class-only-in-val",
        {"a": 12, "b": 12},
        stops=("has 1 problem", "class 'c' has 4 images in val but none in train"),
    ),
    Case(
        "17-folder-copies-across-splits",
        {"a": 12, "b": 12},
        told=("8 images of val are byte for byte in train.*val/a/copy_0.png is train/a/000.png",),
    ),
    Case("18-folder-odd-class-names", dict.fromkeys(ODD_NAMES, 6)),
    Case(
        "19-folder-links",
        {"a": 8, "b": 8},
        root="19-folder-links/view",
        stops=("has 1 problem", "a/gone.png: the file is not there"),
    ),
    Case("20-folder-last-batch-of-one", {"a": 21, "b": 20}, parts={"train": 33, "val": 8}),
    Case("21-folder-odd-file-names", {"a": 7, "b": 7}),
    Case("95-many-classes", dict.fromkeys(LONG_NAMES, 3), is_slow=True),
)
TABLES = (
    Case("22-csv-excel-semicolon-bom", CATS_AND_DOGS),
    Case("23-csv-windows-paths", CATS_AND_DOGS),
    Case("24-csv-float-columns", {"MEL": 6, "NV": 6}),
    Case(
        "26-csv-unquoted-comma",
        {"cat": 4, "dog": 4},
        stops=("4 ", "labels.csv, line 2 has 3 fields and the table 2 columns"),
        lines=6,
    ),
    Case("27-csv-other-headers", stops=("Filename, Class", "path and label"), lines=1),
    Case(
        "28-csv-cp1252",
        stops=("labels.csv .* is not text in UTF-8", "line 2", "save it as UTF-8"),
        lines=1,
    ),
    Case("28b-csv-utf16", CATS_AND_DOGS),
    Case("30-csv-unicode-forms", CATS_AND_DOGS),
    Case(
        "31-csv-long-multilabel",
        {"cat": 9, "dog": 9},
        images=12,
        target="labels",
    ),
    Case(
        "33-csv-contradicting-rows",
        {"cat": 5, "dog": 6},
        stops=("has 1 problem", "img/00.png .*'cat' and 'dog'"),
    ),
    Case(
        "91b-roboflow-multilabel",
        {"blue": 8, "red": 8},
        target="labels",
        parts={"train": 10, "val": 6},
    ),
    Case(
        "103-csv-automl-splits",
        {"cat": 9, "dog": 8},
        parts={"train": 10, "val": 4, "test": 3},
        told=("line 19.*UNASSIGNED",),
    ),
)


@pytest.mark.parametrize("case", parameters(FOLDERS))
def test_folders_are_read_as_they_are_meant(case: Case) -> None:
    check(case, "folder")


@pytest.mark.parametrize("case", parameters(TABLES))
def test_tables_are_read_as_they_are_meant(case: Case) -> None:
    check(case, "csv")


@pytest.mark.slow  # Lightning is imported
def test_a_last_batch_of_one_image_is_trained_without_it(tmp_path: Path) -> None:
    from archfront.trainers.training.proxy import train

    root = case_root() / "20-folder-last-batch-of-one"
    result = train(
        Architecture("classification", "test_resnet", "timm", 32, 2, 3),
        Weights(),
        Recipe(lr=5e-3, weight_decay=0.05, batch_size=32, augment="none", dropout=0.0),
        replace(REF, root=str(root)),
        TrainSettings("accuracy", 1, 1, 7, 0.1, "one_cycle", "fp32", 1),
        folder=tmp_path,
    )
    assert 0 <= result.metrics["accuracy"] <= 1
