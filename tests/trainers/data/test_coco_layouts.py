"""Where files of COCO and their images lie, and what of them is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.trainers.data import DataRef, load
from archfront.trainers.data.targets import IGNORED, Mask, Objects
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import objects_of, read
from tests.support.drawn_datasets import NAMES, SHAPES, coco_content, write_coco, write_images


class TestCocoFiles:
    def split(self, root: Path, name: str, images: str, parts: str = "train val test") -> DataRef:
        """Write a file per split as ``name`` says, with the images in ``images``."""
        ranges = dict(zip(parts.split(), (range(12), range(12, 18), range(18, 24)), strict=False))
        for part, indices in ranges.items():
            file = root / name.format(part)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(coco_content(indices)))
            write_images(root / images.format(part), indices)
        return replace(write_coco(root / "other"), root=str(root), annotations=None)

    @pytest.mark.parametrize(
        ("name", "images", "parts"),
        [
            ("{}.json", "{}/images", "train val test"),
            ("{}.json", "images", "train valid test"),
            ("annotations/instances_{}2017.json", "{}2017", "train val"),
            ("annotations/instances_{}.json", "images/{}", "train val"),
            ("{}/_annotations.coco.json", "{}", "train valid test"),
        ],
    )
    def test_the_usual_layouts_are_found(
        self, tmp_path: Path, name: str, images: str, parts: str
    ) -> None:
        raw = read(self.split(tmp_path, name, images, parts))
        sizes = [12, 6, 6][: len(parts.split())]
        assert [len(samples) for samples in raw.parts.values()] == sizes
        assert list(raw.parts) == ["train", "val", "test"][: len(sizes)]
        assert raw.broken == ()

    def test_an_image_in_two_splits_is_left_out_of_the_second(self, tmp_path: Path) -> None:
        ref = self.split(tmp_path, "{}.json", "images")
        (tmp_path / "val.json").write_text(json.dumps(coco_content(range(11, 18))))
        raw = read(ref)
        assert [(item.reason, item.name) for item in raw.broken] == [
            ("image in two splits", "images/00011.png")
        ]
        assert len(raw.parts["val"]) == 6

    def test_two_files_for_one_split_are_refused(self, tmp_path: Path) -> None:
        ref = self.split(tmp_path, "annotations/instances_{}2017.json", "images")
        shutil.copy(
            tmp_path / "annotations/instances_train2017.json",
            tmp_path / "annotations/instances_train2014.json",
        )
        with pytest.raises(DataError, match="has two annotation files for the split train"):
            read(ref)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ('{"images": [', "all.json does not parse as json: Expecting value in line 1"),
            ("[1]", "all.json holds no mapping"),
            ('{"images": []}', "all.json has no list 'annotations'"),
            ('{"images": [3]}', "all.json has no list 'images'"),
        ],
    )
    def test_a_file_that_is_no_coco_file_is_refused(
        self, tmp_path: Path, text: str, words: str
    ) -> None:
        ref = write_coco(tmp_path)
        (tmp_path / "all.json").write_text(text)
        with pytest.raises(DataError, match="json") as caught:
            read(ref)
        assert words in str(caught.value)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        ref = replace(write_coco(tmp_path), annotations=str(tmp_path / "no.json"))
        with pytest.raises(DataError, match=r"data\.annotations .*no\.json is not there"):
            read(ref)

    def test_no_annotations_say_what_is_expected(self, tmp_path: Path) -> None:
        ref = replace(write_coco(tmp_path), annotations=None)
        assert len(read(ref).parts["all"]) == SHAPES.images, "the only file there is taken"
        (tmp_path / "all.json").rename(tmp_path / "all.txt")
        with pytest.raises(DataError, match=r"json files there: none.*archfront expects"):
            read(ref)

    def test_files_must_agree_on_their_categories(self, tmp_path: Path) -> None:
        ref = self.split(tmp_path, "{}.json", "images")
        content = coco_content(range(12, 18))
        content["categories"][0]["name"] = "ring"
        (tmp_path / "val.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match="calls category 3 'ring', but it is 'circle'"):
            read(ref)

    def test_two_categories_of_one_name_are_refused(self, tmp_path: Path) -> None:
        content = coco_content()
        content["categories"].append({"id": 9, "name": "circle"})
        with pytest.raises(DataError, match="categories 3 and 9 of the same name 'circle'"):
            read(write_coco(tmp_path, content))

    def test_a_parent_that_nothing_is_labeled_with_is_no_class(self, tmp_path: Path) -> None:
        content = coco_content()
        for category in content["categories"]:
            category["supercategory"] = "shapes"
        content["categories"].insert(0, {"id": 0, "name": "shapes", "supercategory": "none"})
        raw = read(write_coco(tmp_path, content))
        assert raw.class_names == NAMES
        assert [item.reason for item in raw.skipped] == ["category without objects"]

    def test_a_category_without_objects_stops(self, tmp_path: Path) -> None:
        content = coco_content()
        content["categories"].append({"id": 9, "name": "bar"})
        with pytest.raises(DataError, match="class 'bar' has no readable image"):
            load(write_coco(tmp_path, content))

    def test_ids_that_stand_twice_are_told_and_kept(self, tmp_path: Path) -> None:
        content = coco_content()
        for annotation in content["annotations"]:
            annotation["id"] = 0
        raw = read(write_coco(tmp_path, content))
        assert [item.reason for item in raw.skipped] == ["annotation ids that stand twice"]
        assert sum(
            len(s.target) for s in raw.parts["all"] if isinstance(s.target, Objects)
        ) == len(content["annotations"])

    def test_a_crowd_is_kept_apart_and_does_not_count_in_a_mask(self, tmp_path: Path) -> None:
        content = coco_content()
        square = [4, 4, 12, 4, 12, 12, 4, 12]
        content["annotations"] = [
            {**content["annotations"][0], "segmentation": [square], "iscrowd": 1}
        ]
        ref = write_coco(tmp_path, content)
        assert objects_of(read(ref), "00000.png").crowd.tolist() == [True]
        mask = read(replace(ref, target="mask")).parts["all"][0].target
        assert isinstance(mask, Mask)
        indices = mask.indices()
        assert (indices[4:12, 4:12] == IGNORED).all()
        assert (indices == IGNORED).sum() == 64

    def test_a_box_that_is_not_said_is_that_around_the_outline(self, tmp_path: Path) -> None:
        content = coco_content()
        expected = content["annotations"][0].pop("bbox")
        x1, y1, x2, y2 = objects_of(read(write_coco(tmp_path, content)), "00000.png").boxes[0]
        assert [x1, y1, x2 - x1, y2 - y1] == pytest.approx(expected, abs=1e-4)

    def test_names_may_have_folders_as_windows_writes_them(self, tmp_path: Path) -> None:
        content = coco_content()
        for image in content["images"]:
            image["file_name"] = f"images\\{image['file_name']}"
        raw = read(write_coco(tmp_path, content))
        assert raw.broken == ()
        assert raw.parts["all"][0].name == "images/00000.png"

    def test_an_image_without_objects_stays(self, tmp_path: Path) -> None:
        content = coco_content()
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 0]
        dataset = load(write_coco(tmp_path, content))
        assert sum(map(len, dataset.splits.values())) == SHAPES.images
