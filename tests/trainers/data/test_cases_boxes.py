"""Boxes and outlines as people have them (``tests/support/case_folder.py``)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.case_folder import Case, check, parameters


def of(number: int, red: str = "red", blue: str = "blue") -> dict[str, int]:
    """Return the objects of so many images, each with one in red and one in blue."""
    return {red: number, blue: number}


COCO = (
    Case("34-coco-sparse-ids", of(10), 10),
    Case("34b-coco-zero-id", of(10), 10),
    Case("35-coco-text-category-ids", of(10), 10),
    Case("37-coco-mixed-image-ids", of(10), 10),
    Case("37b-coco-text-image-ids", of(10), 10),
    Case("38-coco-text-boxes", of(10), 10),
    Case("40-coco-bare", of(10), 10),
    Case("42-coco-prefixed-names", of(10), 10),
    Case("42b-coco-dot-names", of(10), 10),
    Case("43-coco-cvat", of(10), 10),
    Case("45-coco-fiftyone", of(10), 10),
    Case("46-coco-exif", of(10), 10),
    Case(
        "47-coco-odd-boxes",
        of(8),
        10,
        stops=("annotation 1: .*nan", "annotation 2", "annotation 3", "annotation 4"),
    ),
    Case("48-coco-bom", of(10), 10),
    Case(
        "49-coco-test-without-annotations",
        of(16),
        16,
        parts={"train": 10, "val": 6},
        told=("test.json",),
    ),
    Case("49b-coco-null-values", of(10), 10),
    Case("50-coco-renumbered-val", stops=("category 1 'blue'.*'red'",), lines=1),
    Case("51-coco-same-name-other-folder", of(20), 20),
    Case(
        "93-coco-val-without-objects",
        stops=("val",),
        lines=2,
    ),
    Case(
        "94-coco-no-annotations-at-all",
        stops=("none of the 10 images shows an object",),
        lines=2,
    ),
    Case("96-coco-crowd-true-text", of(10), 10),
    Case(
        "104-coco-normalized-boxes",
        stops=("shares",),
        lines=6,
    ),
)
OUTLINES = (
    Case("41-coco-degenerate-part", of(10), 10),
    Case("41b-coco-flat-polygon", of(10), 10),
    Case("41c-coco-rle-kinds", of(10), 10),
    Case(
        "41d-coco-boxes-in-instance",
        of(5),
        10,
        stops=("10 ", "segmentation"),
        lines=6,
    ),
)
VOC = (
    Case(
        "54-voc-gb2312",
        of(10, "\u7ea2", "\u84dd"),
        10,
        red="\u7ea2",
    ),
    Case("54b-voc-latin1", of(10, "r\u00f6t", "bl\u00e5"), 10, red="r\u00f6t"),
    Case("54c-voc-bom", of(10), 10),
    Case(
        "55-voc-names-with-spaces",
        of(10),
        10,
        parts={"train": 6, "val": 4},
    ),
    Case(
        "56-voc-list-bom-crlf",
        of(10),
        10,
        parts={"train": 6, "val": 4},
    ),
    Case("57-voc-odd-numbers", of(10), 10),
    Case("59-voc-side-by-side", of(14), 14, parts={"train": 10, "val": 4}),
    Case("61-voc-parts-and-tags", of(10), 10),
)
YOLO = (
    Case("63-yolo-bom", of(16), 16),
    Case("64-yolo-float-classes", of(16), 16),
    Case(
        "65-yolo-confidence-column",
        stops=("32 ", "save_conf"),
        lines=7,
    ),
    Case("66-yolo-pose", of(16), 16),
    Case("67-yolo-cvat-1.1", of(10), 10),
    Case("68-yolo-cvat-ultralytics", of(10), 10),
    Case("68c-yolo-list-dot-bom", of(16), 16),
    Case("69-yolo-names-yes-no", of(16, "no", "yes"), 16, red="no"),
    Case("69b-yolo-names-text-keys", of(16), 16),
    Case(
        "70-yolo-val-is-train",
        stops=("val", "same"),
        lines=3,
    ),
    Case("71-yolo-side-by-side", of(20), 20, parts={"train": 14, "val": 6}),
    Case(
        "71b-images_photos_yolo",
        of(20),
        20,
        parts={"train": 14, "val": 6},
        root="71b-images/photos/yolo",
    ),
    Case("72-yolo-separators", of(16), 16),
    Case("73-yolo-classes-txt-bom", of(16), 16),
    Case(
        "74-yolo-windows-yaml",
        of(16),
        16,
        parts={"train": 10, "val": 6},
    ),
    Case(
        "75-yolo-huge-image",
        of(16),
        16,
        stops=("has 1 problem", "huge.png"),
    ),
    Case("76-yolo-broken-exif", of(23), 23),
    Case(
        "77-yolo-odd-boxes",
        {"red": 18, "blue": 16},
        16,
        n_odd=2,
        stops=("has 5 problems", "begins with '-1'", "clipped", "no area", "no number"),
    ),
    Case(
        "78-yolo-same-stem",
        stops=("train_000.jpg", "train_000.png", "train_000.txt"),
        lines=2,
    ),
    Case("79-yolo-empty-and-missing", of(12), 16, parts={"train": 10, "val": 6}),
    Case(
        "80-yolo-nc-mismatch",
        of(16),
        16,
        told=("nc.*3.*2",),
    ),
    Case("80b-yolo-names-as-text", stops=("names.*'red'",), lines=1),
    Case("107-yolo-grouped-polygons", of(16), 16),
)


@pytest.mark.parametrize("case", parameters(COCO))
def test_coco_is_read_as_it_is_meant(case: Case) -> None:
    check(case, "coco")


@pytest.mark.parametrize("case", parameters(OUTLINES))
def test_outlines_are_read_as_they_are_meant(case: Case) -> None:
    check(replace(case, target="outlines"), "coco")


@pytest.mark.parametrize("case", parameters(VOC))
def test_voc_is_read_as_it_is_meant(case: Case) -> None:
    check(case, "voc")


@pytest.mark.parametrize("case", parameters(YOLO))
def test_yolo_is_read_as_it_is_meant(case: Case) -> None:
    check(case, "yolo")
