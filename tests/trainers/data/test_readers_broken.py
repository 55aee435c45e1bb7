"""Broken annotations are normal: each is counted, named, and left out when that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archfront.trainers.data import DataRef, load
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import (
    coco_with,
    first,
    masks,
    n_objects,
    outlines,
    table_row,
    voc_with,
    with_line,
    with_mask,
    with_text,
    without_file,
)
from tests.support.drawn_datasets import (
    SHAPES,
    drawn,
    voc_object,
    write_coco,
    write_masks,
    write_voc,
    write_yolo,
)


def repeat_image(content: dict[str, Any]) -> None:
    content["images"].append({**content["images"][1], "id": 99})


def other_image_of_an_id(content: dict[str, Any]) -> None:
    content["images"].append({**content["images"][1], "id": 0})


def repeat_annotation(content: dict[str, Any]) -> None:
    content["annotations"].append({**content["annotations"][0], "id": 999})


def other_size(content: dict[str, Any]) -> None:
    content["images"][0].update(width=64)


def image_without_a_name(content: dict[str, Any]) -> None:
    content["images"].append({"id": 50})


@dataclass(frozen=True)
class Broken:
    """What is broken, and what is then told of it and left out; None where it replaced objects."""

    write: Callable[[Path], DataRef]
    reason: str
    words: str
    images_lost: int = 0
    objects_lost: int | None = 0


OUTSIDE = [40.0, 40.0, 5.0, 5.0]
SQUARE_LINE = "0 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4"
HALF = np.zeros((32, 16), np.uint8)
# Of the first image; it has as many objects as the tests count lost.
CASES: dict[str, Broken] = {
    "coco: an unknown category": Broken(
        first(category_id=77), "unknown category", "has the category 77", objects_lost=1
    ),
    "coco: an unknown image": Broken(
        first(image_id=77),
        "annotation of an unknown image",
        "annotation 1: it has the image id 77",
        objects_lost=1,
    ),
    "coco: a box of three numbers": Broken(
        first(bbox=[1, 2, 3]), "box that is no numbers", "has the box [1, 2, 3]", objects_lost=1
    ),
    "coco: a box of words": Broken(
        first(bbox=["a", 2, 3, 4]), "box that is no numbers", "needs x, y, w, h", objects_lost=1
    ),
    "coco: a box without an area": Broken(
        first(bbox=[3, 3, 0, 5]), "box without an area", "annotation 1: its box", objects_lost=1
    ),
    "coco: a box outside of its image": Broken(
        first(bbox=OUTSIDE),
        "box outside of the image",
        "lies outside of the 32 x 32 px",
        objects_lost=1,
    ),
    "coco: a box that stands out": Broken(
        first(bbox=[20, 20, 30, 30]), "box outside of the image, clipped", "was clipped"
    ),
    "coco: neither box nor outline": Broken(
        first(bbox=[], segmentation=[]),
        "object without an outline",
        "has no segmentation",
        objects_lost=1,
    ),
    "coco: no outline where one is needed": Broken(
        outlines(first(segmentation=[])), "object without an outline", "it has no", objects_lost=1
    ),
    "coco: a polygon of two points": Broken(
        outlines(first(segmentation=[[1, 2, 3, 4]])),
        "outline without an area",
        "three points or more",
        objects_lost=1,
    ),
    "coco: an outline outside of its image": Broken(
        outlines(first(segmentation=[[40, 4, 50, 4, 50, 9]])),
        "outline outside of the image",
        "annotation 1: it has an outline outside of the 32 x 32 px of its image",
        objects_lost=1,
    ),
    "coco: an outline outside of its mask": Broken(
        masks(first(segmentation=[[4, 40, 9, 40, 9, 50]])),
        "outline outside of the image",
        "annotation 1: it has an outline outside of the 32 x 32 px of its image",
        objects_lost=None,
    ),
    "coco: runs without a pixel": Broken(
        outlines(first(segmentation={"size": [32, 32], "counts": [1024]})),
        "outline without an area",
        "a run-length encoding without a pixel",
        objects_lost=1,
    ),
    "coco: runs that do not fill the image": Broken(
        outlines(first(segmentation={"size": [32, 32], "counts": [3, 4]})),
        "outline that is damaged",
        "do not add up to its 32 x 32 px",
        objects_lost=1,
    ),
    "coco: a compressed encoding cut short": Broken(
        outlines(first(segmentation={"size": [32, 32], "counts": "Y1"})),
        "outline that is damaged",
        "do not add up",
        objects_lost=1,
    ),
    "coco: runs for another size": Broken(
        outlines(first(segmentation={"size": [8, 8], "counts": [64]})),
        "outline of another size",
        "8 x 8 px and its image 32 x 32",
        objects_lost=1,
    ),
    "coco: an object listed twice": Broken(
        coco_with(repeat_annotation), "object listed twice", "annotation 999: it is the same"
    ),
    "coco: an image listed twice": Broken(
        coco_with(repeat_image), "image listed twice", "00001.png is listed twice"
    ),
    "coco: two images of one id": Broken(
        coco_with(other_image_of_an_id),
        "image id that stands twice",
        "00001.png has the id 0 of 00000.png",
    ),
    "coco: an image without a name": Broken(
        coco_with(image_without_a_name), "image without id or file_name", "all.json has an image"
    ),
    "coco: an image that is not there": Broken(
        without_file("images/00000.png", write_coco),
        "missing image file",
        "00000.png is annotated but not there; looked for in images",
        images_lost=1,
    ),
    "coco: an image of another size": Broken(
        coco_with(other_size),
        "image of another size",
        "00000.png has 32 x 32 px and its annotations are for 64 x 32",
        images_lost=1,
    ),
    "voc: an annotation that does not parse": Broken(
        with_text("Annotations/00000.xml", "<annotation><object>", write_voc),
        "annotation that does not parse",
        "00000.xml does not parse as xml",
        images_lost=1,
    ),
    "voc: an image without an annotation": Broken(
        without_file("Annotations/00000.xml", write_voc),
        "image without an annotation",
        "00000.xml is not there",
        images_lost=1,
    ),
    "voc: an image that is not there": Broken(
        without_file("JPEGImages/00000.png", write_voc),
        "missing image file",
        "00000.png is annotated but not there",
        images_lost=1,
    ),
    "voc: a box of words": Broken(
        voc_with(voc_object("circle", ("a", 1, 2, 3))),  # type: ignore[arg-type]  # that is it
        "box that is no numbers",
        "object 0: it (circle) has no bndbox",
        objects_lost=None,
    ),
    "voc: a click": Broken(
        voc_with(voc_object("circle", (5, 7, 5, 7))),
        "box without an area",
        "(5, 7, 5, 7) has no area",
        objects_lost=None,
    ),
    "voc: an object without a class": Broken(
        voc_with(voc_object(" ", (1, 1, 5, 5))),
        "unknown category",
        "it has no class name",
        objects_lost=None,
    ),
    "voc: an image of another size": Broken(
        voc_with(voc_object("circle", (1, 1, 5, 5)), size=(64, 32)),
        "image of another size",
        "are for 64 x 32",
        images_lost=1,
    ),
    "yolo: a class without a name": Broken(
        with_line("labels/00000.txt", SQUARE_LINE.replace("0 ", "7 ", 1), write_yolo),
        "unknown category",
        "it has the class 7, but there are names for 0 to 2",
    ),
    "yolo: a line of words": Broken(
        with_line("labels/00000.txt", "0 a b c d", write_yolo),
        "line that is no object",
        "it has what is no number",
    ),
    "yolo: a line of five numbers": Broken(
        with_line("labels/00000.txt", "0 0.1 0.1 0.2 0.2 0.9", write_yolo),
        "sixth number behind a box",
        "it has a sixth number",
    ),
    "yolo: a class that is no number": Broken(
        with_line("labels/00000.txt", "cat 0.1 0.1 0.2 0.2", write_yolo),
        "line that is no object",
        "begins with 'cat'",
    ),
    "yolo: pixels for shares": Broken(
        with_line("labels/00000.txt", "0 10 10 8 8", write_yolo),
        "coordinates that are no shares",
        "beyond 0 to 1",
    ),
    "yolo: a box where an outline is needed": Broken(
        outlines(with_line("labels/00000.txt", "0 0.5 0.5 0.2 0.2", write_yolo)),
        "object without an outline",
        "it is a box",
    ),
    "yolo: a line twice": Broken(
        with_line("labels/00000.txt", f"{SQUARE_LINE}\n{SQUARE_LINE}", write_yolo),
        "object listed twice",
        "the same as an earlier line",
        objects_lost=-1,
    ),
    "yolo: an image that cannot be decoded": Broken(
        with_text("images/00000.png", "", write_yolo),
        "broken image",
        "images/00000.png: the file is empty",
        images_lost=1,
    ),
    "masks: a value that is no class": Broken(
        with_mask(np.full((32, 32), 9)), "broken mask", "has 1 value that no class has: 9", 1
    ),
    "masks: a color that is no class": Broken(
        with_mask(np.full((32, 32, 3), (9, 8, 7)), is_color=True),
        "broken mask",
        "has 1 color that no class has: (9, 8, 7)",
        1,
    ),
    "masks: colors where numbers are meant": Broken(
        with_mask(np.full((32, 32, 3), (9, 8, 7))), "broken mask", "its classes are numbers", 1
    ),
    "masks: a mask of another size": Broken(
        with_mask(HALF), "mask of another size", "the mask has 16 x 32 px and the image 32 x 32", 1
    ),
    "masks: a mask that cannot be decoded": Broken(
        with_text("masks/00000.png", "x", write_masks), "broken mask", "not an image of a known", 1
    ),
    "masks: an image without a mask": Broken(
        without_file("masks/00000.png", write_masks),
        "image without a mask",
        "images/00000.png has no mask of its name in masks",
        1,
    ),
    "masks: an image with two masks": Broken(
        with_mask(np.zeros((32, 32)), name="00000.bmp"), "image with two masks", "has two masks", 1
    ),
    "csv: an image that is not there": Broken(
        table_row("gone.png,circle", "label"), "missing image file", "gone.png is listed"
    ),
    "csv: an image listed twice": Broken(
        table_row("00003.png,square|triangle", "labels"),
        "image listed twice",
        "00003.png is listed twice",
    ),
    "csv: an image with two labels": Broken(
        table_row("00003.png,circle", "label"),
        "image with contradicting rows",
        "00003.png is listed as 'square' and 'circle'; keep one of the rows, or give",
        1,
    ),
    "csv: a field too many": Broken(
        table_row("00003.png,square,circle", "label"),
        "row with too many fields",
        "line 27 has 3 fields and the table 2 columns; put a field that has the separator",
    ),
    "csv: a field too few": Broken(
        table_row("00003.png,1", "labels", by_column=True),
        "row with too few fields",
        "line 27 has 2 fields and the table 4 columns",
    ),
    "csv: no label where one is needed": Broken(
        table_row("00003.png,", "label"), "row without one label", "line 27 has 0 labels"
    ),
    "csv: two labels where one is needed": Broken(
        table_row("00003.png,1,1,0", "label", by_column=True),
        "row without one label",
        "line 27 has 2 labels",
    ),
    "csv: what is neither 0 nor 1": Broken(
        table_row("00003.png,1,2,0", "labels", by_column=True),
        "row that is not 0 or 1",
        "line 27 has '2' in square; a column of a class has 0 or 1",
    ),
    "csv: a row without a path": Broken(
        table_row(",circle", "label"), "row without a path", "labels.csv, line 27 has no path"
    ),
}


@pytest.fixture
def whole() -> int:
    """Return the objects that are drawn in all."""
    return n_objects(load(drawn("boxes")))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
class TestEachBrokenThing:
    @pytest.mark.slow
    def test_it_stops_with_its_name_and_what_is_wrong(self, tmp_path: Path, case: str) -> None:
        broken = CASES[case]
        with pytest.raises(DataError, match=r"data\.on_error=skip") as caught:
            load(replace(broken.write(tmp_path), on_error="stop"))
        assert broken.words in str(caught.value)
        assert " has 1 problem. " in str(caught.value)

    @pytest.mark.slow
    def test_it_is_left_out_counted_and_named(self, tmp_path: Path, case: str, whole: int) -> None:
        broken = CASES[case]
        dataset = load(replace(broken.write(tmp_path), on_error="skip"))
        assert [item.reason for item in dataset.skipped] == [broken.reason]
        assert sum(map(len, dataset.splits.values())) == SHAPES.images - broken.images_lost
        if dataset.summary().counted == "objects" and not broken.images_lost and "voc" not in case:
            assert n_objects(dataset) == whole - broken.objects_lost
