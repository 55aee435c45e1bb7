"""COCO files as other tools and people write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from archfront.trainers.data import DataRef, load
from archfront.trainers.data.raw import RawData
from archfront.trainers.data.targets import Mask, Objects
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import n_objects, objects_of, read
from tests.support.drawn_images import REF

SQUARE = [2, 2, 10, 2, 10, 10, 2, 10]
Change = Callable[[dict[str, Any]], None]


def content(n: int = 4) -> dict[str, Any]:
    """Return n images of 20 x 16 px, each with a square of each of two classes."""
    images = [
        {"id": i, "file_name": f"{i}.png", "width": 20, "height": 16} for i in range(1, n + 1)
    ]
    annotations = [
        {
            "id": 2 * i + k,
            "image_id": i,
            "category_id": k + 1,
            "bbox": [2 + k, 2, 8, 8],
            "segmentation": [[value + k for value in SQUARE]],
        }
        for i in range(1, n + 1)
        for k in (0, 1)
    ]
    categories = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write(
    root: Path,
    change: Change | None = None,
    *,
    file: str = "annotations.json",
    images: str = "images",
    target: str = "boxes",
) -> DataRef:
    said = content()
    for image in said["images"]:
        path = root / images / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (int(image["id"]), 9, 9)).save(path)
    if change is not None:
        change(said)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(said))
    return replace(REF, reader="coco", root=str(root), target=target, train=0.5, val=0.5, test=0)


def each(key: str, value: Callable[[Any], Any]) -> Change:
    def change(said: dict[str, Any]) -> None:
        for annotation in said["annotations"]:
            annotation[key] = value(annotation[key])

    return change


def points(parts: list[list[int]]) -> list[tuple[int, int]]:
    return list(zip(parts[0][::2], parts[0][1::2], strict=True))


def text_ids(said: dict[str, Any]) -> None:
    for category in said["categories"]:
        category["id"] = str(category["id"])


def total(raw: RawData) -> int:
    targets = [sample.target for samples in raw.parts.values() for sample in samples]
    return sum(len(target) for target in targets if isinstance(target, Objects))


FORMS: dict[str, Change] = {
    "image ids as text": each("image_id", str),
    "image ids as floats": each("image_id", float),
    "category ids as text, once": each("category_id", str),
    "category ids as text, in the list": text_ids,
    "boxes as text": each("bbox", lambda box: [f"{value}.0" for value in box]),
    "one flat polygon": each("segmentation", lambda parts: parts[0]),
    "numbers as text": each("segmentation", lambda parts: [list(map(str, parts[0]))]),
    "points": each("segmentation", points),
    "lists of points": each("segmentation", lambda parts: [points(parts)]),
}


@pytest.mark.parametrize("form", FORMS)
def test_numbers_and_nesting_of_any_form_are_read(tmp_path: Path, form: str) -> None:
    raw = read(write(tmp_path, FORMS[form], target="outlines"))
    assert raw.broken == ()
    assert raw.class_names == ("red", "blue")
    objects = objects_of(raw, "1.png")
    assert objects.boxes.tolist() == [[2, 2, 10, 10], [3, 2, 11, 10]]
    assert objects.segments == (((2, 2, 10, 2, 10, 10, 2, 10),), ((3, 3, 11, 3, 11, 11, 3, 11),))


@pytest.mark.parametrize(
    "part", [[1, 1, 2, 2], [5, 5], [1, 1, 5, 5, 9, 9], [3, 3, 3, 3, 3, 3]], ids=str
)
def test_a_part_without_an_area_costs_no_object(tmp_path: Path, part: list[int]) -> None:
    ref = write(tmp_path, each("segmentation", lambda parts: [*parts, part]), target="outlines")
    raw = read(ref)
    assert total(raw) == 8
    assert [len(segment) for segment in objects_of(raw, "1.png").segments or ()] == [1, 1]
    (note,) = raw.skipped
    assert note.detail.startswith("8 outlines have parts of fewer than three points")


def test_an_outline_of_such_parts_only_has_no_area(tmp_path: Path) -> None:
    ref = write(tmp_path, each("segmentation", lambda _: [[1, 1, 5, 5, 9, 9]]), target="outlines")
    with pytest.raises(DataError, match="8 of the kind: outline without an area"):
        load(ref)


def test_boxes_in_shares_of_the_image_are_refused(tmp_path: Path) -> None:
    shares = each("bbox", lambda box: [box[0] / 20, box[1] / 16, box[2] / 20, box[3] / 16])
    with pytest.raises(DataError, match=r"has 8 boxes and all of their numbers lie within 0 to 1"):
        read(write(tmp_path, shares))


def test_polygons_in_shares_of_the_image_are_refused(tmp_path: Path) -> None:
    shares = each("segmentation", lambda parts: [[value / 20 for value in parts[0]]])
    with pytest.raises(DataError, match="has 8 polygons and all of their numbers lie within 0 to"):
        read(write(tmp_path, shares, target="outlines"))


def test_ids_that_are_not_there_are_not_told(tmp_path: Path) -> None:
    def without(said: dict[str, Any]) -> None:
        for annotation in said["annotations"]:
            del annotation["id"]

    raw = read(write(tmp_path, without))
    assert total(raw) == 8
    assert raw.skipped == ()


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("labels.json", "data"),  # FiftyOne
        ("result.json", "images"),  # Label Studio
        ("annotations/instances_default.json", "images/default"),  # CVAT
        ("_annotations.coco.json", "."),  # Roboflow without splits
        ("annotations/all.json", "photos/2024"),
        ("Annotations/all.json", "Images"),
    ],
)
def test_one_file_of_any_tool_finds_its_images(tmp_path: Path, file: str, images: str) -> None:
    raw = read(write(tmp_path, file=file, images=images))
    assert raw.broken == ()
    assert len(raw.parts["all"]) == 4


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("{}/labels.json", "{}/data"),  # FiftyOne
        ("{}/_annotations.coco.json", "{}"),
        ("annotations/instances_{}.json", "images/{}"),
        ("annotations/{}_annotations.json", "{}"),
        ("coco_{}.json", "images"),
    ],
)
@pytest.mark.parametrize("names", [("train", "valid"), ("Train", "Val")])
def test_files_of_splits_are_found(
    tmp_path: Path, file: str, images: str, names: tuple[str, str]
) -> None:
    for place, part in enumerate(names):

        def rename(said: dict[str, Any], place: int = place) -> None:
            for image in said["images"]:
                image["file_name"] = f"{place}{image['file_name']}"

        ref = write(tmp_path, rename, file=file.format(part), images=f"{images.format(part)}")
        folder = tmp_path / images.format(part)
        for image in list(folder.glob("[0-9].png")):
            image.rename(folder / f"{place}{image.name}")
    raw = read(ref)
    assert raw.broken == ()
    assert {part: len(samples) for part, samples in raw.parts.items()} == {"train": 4, "val": 4}


@pytest.mark.parametrize(
    "prefix",
    ["/home/somebody/set/images/", "C:\\sets\\mine\\images\\", "./", "../upload/", "set/images/"],
)
def test_folders_of_another_machine_are_left_off(tmp_path: Path, prefix: str) -> None:
    def change(said: dict[str, Any]) -> None:
        for image in said["images"]:
            image["file_name"] = f"{prefix}{image['file_name']}"

    raw = read(write(tmp_path, change))
    assert raw.broken == ()
    assert raw.parts["all"][0].name == "images/1.png"


def test_images_of_lvis_are_found_by_their_addresses(tmp_path: Path) -> None:
    def change(said: dict[str, Any]) -> None:
        for image in said["images"]:
            image["coco_url"] = f"http://images.org/train2017/{image.pop('file_name')}"

    ref = write(tmp_path)
    said = content()
    change(said)
    (tmp_path / "images").rename(tmp_path / "train2017")
    (tmp_path / "annotations.json").write_text(json.dumps(said))
    raw = read(ref)
    assert raw.broken == ()
    assert raw.parts["all"][0].name == "train2017/1.png"


def test_a_name_in_a_folder_that_is_not_there_is_not_that_of_another_folder(
    tmp_path: Path,
) -> None:
    ref = write(tmp_path, images="images/a")
    said = content()
    for image in said["images"]:
        image["file_name"] = f"b/{image['file_name']}"
    (tmp_path / "annotations.json").write_text(json.dumps(said))
    assert [problem.reason for problem in read(ref).broken] == ["missing image file"] * 4


def test_a_test_file_without_annotations_is_told_and_left_out(tmp_path: Path) -> None:
    ref = write(tmp_path, file="train.json", images="train")
    said = content()
    del said["annotations"]
    (tmp_path / "test.json").write_text(json.dumps(said))
    raw = read(ref)
    assert list(raw.parts) == ["all"]
    assert [note.reason for note in raw.skipped] == ["test split without annotations"]


def test_a_split_that_shows_no_object_is_one_error(tmp_path: Path) -> None:
    def empty(said: dict[str, Any]) -> None:
        said["annotations"] = []

    ref = write(tmp_path, file="train.json", images="train")
    write(tmp_path, empty, file="val.json", images="val")
    with pytest.raises(DataError, match="none of the 4 images of val shows an object"):
        load(ref)
    write(tmp_path, empty, file="train.json", images="train")
    (tmp_path / "val.json").unlink()
    with pytest.raises(DataError, match="none of the 4 images shows an object") as caught:
        load(ref)
    assert "class" not in str(caught.value)


def test_objects_are_all_loaded(tmp_path: Path) -> None:
    assert n_objects(load(write(tmp_path))) == 8


def test_more_categories_than_a_mask_can_hold_are_refused(tmp_path: Path) -> None:
    """Class 300 was class 44 in the masks, 255 was ignored and 256 was the background."""

    def many(said: dict[str, Any]) -> None:
        said["categories"] += [{"id": 10 + n, "name": f"thing {n}"} for n in range(253)]

    ref = write(tmp_path, many, target="mask")
    with pytest.raises(DataError, match="has 255 categories, and a mask holds 254 classes at mo"):
        read(ref)
    assert len(read(replace(ref, target="outlines")).class_names) == 255


@pytest.mark.parametrize("sides", [("20", "16"), (20.0, 16.0), (float("inf"), 16)])
def test_sizes_of_images_of_any_form_are_read(tmp_path: Path, sides: tuple[Any, Any]) -> None:
    """A size in quotes was said not to be there, and an infinite one was a traceback."""

    def resize(said: dict[str, Any]) -> None:
        said["images"][0].update(width=sides[0], height=sides[1])

    raw = read(write(tmp_path, resize))
    size = raw.parts["all"][0].size
    assert size == ((20, 16) if sides[0] != float("inf") else None)


def test_parents_of_a_category_may_be_a_list(tmp_path: Path) -> None:
    def parents(said: dict[str, Any]) -> None:
        said["categories"][0]["supercategory"] = ["color", "thing"]

    assert read(write(tmp_path, parents)).class_names == ("red", "blue")


def test_a_point_that_is_endlessly_far_away_costs_one_object(tmp_path: Path) -> None:
    """A mask with such a polygon was drawn for ever."""

    def far(said: dict[str, Any]) -> None:
        said["annotations"][0]["segmentation"] = [[1e30, 2, 10, 2, 10, 10]]

    raw = read(write(tmp_path, far, target="outlines"))
    assert [item.reason for item in raw.broken] == ["outline far outside of its image"]
    assert total(raw) == 7


def test_a_category_called_background_is_that_of_a_mask(tmp_path: Path) -> None:
    """There were two classes of one name, and a count of one of them."""

    def ground(said: dict[str, Any]) -> None:
        said["categories"][0]["name"] = "background"

    raw = read(write(tmp_path, ground, target="mask"))
    assert raw.class_names == ("background", "blue")
    mask = raw.parts["all"][0].target
    assert isinstance(mask, Mask)
    assert set(mask.indices().ravel().tolist()) == {0, 1}
