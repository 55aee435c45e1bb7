"""Where each format keeps its files, what its classes are, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archfront.trainers.data import READERS, DataRef, load
from archfront.trainers.data.targets import IGNORED, Labels, Mask
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import (
    n_objects,
    objects_of,
    read,
    voc_with,
    with_mask,
    without_file,
)
from tests.support.drawn_datasets import (
    NAMES,
    SHAPES,
    coco_content,
    drawn,
    stem,
    voc_object,
    write_coco,
    write_images,
    write_masks,
    write_table,
    write_voc,
    write_yolo,
)


class TestVocFiles:
    def lists(self, root: Path, **parts: range) -> DataRef:
        ref = write_voc(root)
        folder = root / "ImageSets" / "Main"
        folder.mkdir(parents=True)
        for part, indices in parts.items():
            (folder / f"{part}.txt").write_text("".join(f"{stem(i)} 1\n" for i in indices))
        return ref

    def test_lists_are_the_splits(self, tmp_path: Path) -> None:
        ref = self.lists(
            tmp_path, train=range(12), val=range(12, 18), trainval=range(18), test=range(18, 24)
        )
        assert {part: len(s) for part, s in read(ref).parts.items()} == {
            "train": 12,
            "val": 6,
            "test": 6,
        }

    def test_training_and_validation_in_one_list_are_split(self, tmp_path: Path) -> None:
        ref = self.lists(tmp_path, trainval=range(18), test=range(18, 24))
        assert {part: len(s) for part, s in read(ref).parts.items()} == {"train": 18, "test": 6}

    def test_one_pixel_wide_borders_belong_to_a_box(self, tmp_path: Path) -> None:
        """VOC counts from 1 and includes the last pixel: 1 to 32 is the whole image."""
        ref = voc_with(voc_object("circle", (1, 1, 32, 32)))(tmp_path)
        assert objects_of(read(ref), "00000.png").boxes.tolist() == [[0, 0, 32, 32]]

    def test_what_is_difficult_counts_as_a_crowd(self, tmp_path: Path) -> None:
        hard = voc_object("circle", (1, 1, 9, 9), "<difficult>1</difficult>")
        ref = voc_with(hard, voc_object("star", (1, 1, 9, 9)))(tmp_path)
        assert objects_of(read(ref), "00000.png").crowd.tolist() == [True, False]

    def test_a_size_of_zero_is_not_compared(self, tmp_path: Path) -> None:
        ref = voc_with(voc_object("circle", (1, 1, 9, 9)), size=(0, 0))(tmp_path)
        assert sum(map(len, load(ref).splits.values())) == SHAPES.images

    def test_the_folder_above_names_the_right_one(self, tmp_path: Path) -> None:
        write_voc(tmp_path / "VOCdevkit" / "VOC2012")
        ref = replace(drawn("boxes"), reader="voc", root=str(tmp_path))
        with pytest.raises(DataError, match="VOCdevkit/VOC2012 below it has: give that"):
            read(ref)


class TestYoloFiles:
    def test_folders_are_the_splits_without_a_yaml_file(self, tmp_path: Path) -> None:
        ref = write_yolo(tmp_path)
        (tmp_path / "data.yaml").unlink()
        for index in range(SHAPES.images):
            for folder, end in (("images", "png"), ("labels", "txt")):
                part = tmp_path / folder / ("train" if index < 16 else "val")
                part.mkdir(exist_ok=True)
                (tmp_path / folder / f"{stem(index)}.{end}").rename(part / f"{stem(index)}.{end}")
        raw = read(ref)
        assert {part: len(s) for part, s in raw.parts.items()} == {"train": 16, "val": 8}
        assert raw.class_names == ("class 0", "class 1", "class 2")
        assert read(replace(ref, classes=NAMES)).class_names == NAMES
        (tmp_path / "classes.txt").write_text("a\nb\nc\n")
        assert read(ref).class_names == ("a", "b", "c")

    @pytest.mark.parametrize("train", ["images", "../images", "list.txt", "[images]"])
    def test_the_yaml_file_says_where_the_images_are(self, tmp_path: Path, train: str) -> None:
        ref = write_yolo(tmp_path)
        files = sorted((tmp_path / "images").iterdir())
        (tmp_path / "list.txt").write_text("".join(f"images/{f.name}\n" for f in files))
        (tmp_path / "data.yaml").write_text(
            f"path: /gone\ntrain: {train}\nval:\nnames: {{0: a, 1: b, 2: c}}\n"
        )
        raw = read(ref)
        assert len(raw.parts["all"]) == SHAPES.images
        assert raw.class_names == ("a", "b", "c")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("names: [a", "does not parse as yaml"),
            ("3", "holds no mapping"),
            ("names: [a]", "data.yaml has no 'train'"),
            ("train: gone\nnames: [a]", "names gone, which is not at"),
            ("train: data.yaml\nnames: [a]", "neither a folder nor a .txt list"),
            ("train: images\nnames: {1: a}", "neither a list nor a mapping from 0, 1, ..."),
        ],
    )
    def test_a_yaml_file_that_cannot_be_used_is_refused(
        self, tmp_path: Path, text: str, words: str
    ) -> None:
        ref = write_yolo(tmp_path)
        (tmp_path / "data.yaml").write_text(text)
        with pytest.raises(DataError, match=r"data\.yaml") as caught:
            read(ref)
        assert words in str(caught.value)

    def test_an_image_without_labels_shows_nothing_and_is_told(self, tmp_path: Path) -> None:
        ref = without_file("labels/00000.txt", write_yolo)(tmp_path)
        raw = read(ref)
        assert len(objects_of(raw, "00000.png")) == 0
        assert [item.reason for item in raw.skipped] == ["image without a file of labels"]
        assert sum(map(len, load(ref).splits.values())) == SHAPES.images

    def test_images_without_any_labels_are_refused(self, tmp_path: Path) -> None:
        ref = write_yolo(tmp_path)
        shutil.rmtree(tmp_path / "labels")
        with pytest.raises(DataError, match=r"24 images and no file .* as labels/00000\.txt"):
            read(ref)


class TestMaskValues:
    def test_without_names_the_values_are_the_classes(self, tmp_path: Path) -> None:
        raw = read(replace(write_masks(tmp_path), classes=None))
        assert raw.class_names == ("class 0", "class 1", "class 2", "class 3")

    def test_black_and_white_are_two_classes(self, tmp_path: Path) -> None:
        write_images(tmp_path / "images")
        (tmp_path / "masks").mkdir()
        for index in range(SHAPES.images):
            white = np.zeros((32, 32), np.uint8)
            white[:9] = 255
            Image.fromarray(white).save(tmp_path / "masks" / f"{stem(index)}.png")
        dataset = load(replace(drawn("mask"), reader="masks", root=str(tmp_path)))
        assert dataset.class_names == ("class 0", "class 255")
        assert dataset.summary().splits["val"].per_class["class 255"] == 6 * 9 * 32

    def test_255_beside_others_does_not_count(self, tmp_path: Path) -> None:
        rim = np.zeros((32, 32), np.uint8)
        rim[0] = 255
        rim[1] = 1
        raw = read(replace(with_mask(rim)(tmp_path), classes=None))
        assert raw.class_names == ("class 0", "class 1", "class 2", "class 3")
        mask = raw.parts["all"][0].target
        assert isinstance(mask, Mask)
        assert np.unique(mask.indices()).tolist() == [0, 1, IGNORED]

    def test_a_value_that_is_to_be_ignored_is_no_class(self, tmp_path: Path) -> None:
        raw = read(replace(write_masks(tmp_path), classes=NAMES, ignore_index=0))
        mask = raw.parts["all"][0].target
        assert isinstance(mask, Mask)
        indices = mask.indices()
        assert indices[0, 0] == IGNORED
        assert set(np.unique(indices)) <= {0, 1, 2, IGNORED}

    def test_a_palette_may_name_values_and_what_does_not_count(self, tmp_path: Path) -> None:
        palette = (("ground", (0,)), ("round", (1,)), ("ignored", (2,)), ("pointed", (3,)))
        raw = read(replace(write_masks(tmp_path), classes=None, palette=palette))
        assert raw.class_names == ("ground", "round", "pointed")
        seen = set()
        for sample in raw.parts["all"]:
            assert isinstance(sample.target, Mask)
            seen |= set(np.unique(sample.target.indices()).tolist())
        assert seen == {0, 1, 2, IGNORED}

    def test_colors_in_a_file_with_a_palette_are_seen_as_colors(self, tmp_path: Path) -> None:
        ref = write_masks(tmp_path, is_color=True)
        expected = [s.target.indices() for s in read(ref).parts["all"]]  # type: ignore[union-attr]
        for file in (tmp_path / "masks").iterdir():
            with Image.open(file) as image:
                image.convert("P", palette=Image.Palette.ADAPTIVE, colors=8).save(file)
        found = [s.target.indices() for s in read(ref).parts["all"]]  # type: ignore[union-attr]
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))

    def test_colors_need_a_palette(self, tmp_path: Path) -> None:
        ref = replace(write_masks(tmp_path, is_color=True), palette=())
        with pytest.raises(
            DataError, match=r"24 masks have colors.*data\.palette\.road=\[128,64,128\]"
        ):
            read(ref)

    @pytest.mark.slow
    def test_splits_of_images_and_masks_are_taken_as_they_are(self, tmp_path: Path) -> None:
        for part in ("train", "valid"):
            write_masks(tmp_path / part)
        raw = read(replace(write_masks(tmp_path / "x"), root=str(tmp_path)))
        assert {part: len(s) for part, s in raw.parts.items()} == {"train": 24, "val": 24}

    def test_a_mask_without_an_image_is_told(self, tmp_path: Path) -> None:
        ref = without_file("images/00000.png", write_masks)(tmp_path)
        assert [item.reason for item in load(ref).skipped] == ["mask without an image"]


class TestTables:
    def test_a_split_column_gives_the_splits(self, tmp_path: Path) -> None:
        ref = write_table(tmp_path, "label")
        lines = (tmp_path / "labels.csv").read_text().splitlines()
        parts = ["split"] + ["train"] * 12 + ["valid"] * 6 + ["Test"] * 6
        rows = [
            f"{line};{part}".replace(",", ";") for line, part in zip(lines, parts, strict=True)
        ]
        (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8-sig")
        assert {part: len(s) for part, s in read(ref).parts.items()} == {
            "train": 12,
            "val": 6,
            "test": 6,
        }

    def test_a_split_of_another_name_is_told(self, tmp_path: Path) -> None:
        write_images(tmp_path)
        (tmp_path / "a.csv").write_text(
            "path,label,split\n00000.png,a,train\n00001.png,b,train\n00002.png,b,holdout\n"
        )
        raw = read(replace(drawn("label"), reader="csv", root=str(tmp_path)))
        assert [item.reason for item in raw.broken] == ["unknown split"]
        assert len(raw.parts["all"]) == 2

    @pytest.mark.parametrize(
        ("delimiter", "text"), [("space", "a b"), (";", "a ; b"), ("|", "a|b")]
    )
    def test_labels_lie_between_delimiters(
        self, tmp_path: Path, delimiter: Any, text: str
    ) -> None:
        write_images(tmp_path)
        (tmp_path / "a.csv").write_text(f"path,label\n00000.png,{text}\n00001.png,b\n00002.png,\n")
        ref = replace(drawn("labels"), reader="csv", root=str(tmp_path), delimiter=delimiter)
        raw = read(ref)
        assert raw.class_names == ("a", "b")
        assert [s.target for s in raw.parts["all"]] == [Labels((0, 1)), Labels((1,)), Labels(())]

    def test_columns_that_are_not_there_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("file,label\nx.png,a\n")
        with pytest.raises(DataError, match=r"a\.csv has the columns file, label\. archfront"):
            read(replace(drawn("label"), reader="csv", root=str(tmp_path)))

    def test_of_several_tables_one_is_to_be_named(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / f"{name}.csv").write_text("path,label\n")
        with pytest.raises(DataError, match=r"csv files there: a\.csv, b\.csv"):
            read(replace(drawn("label"), reader="csv", root=str(tmp_path)))


@pytest.mark.parametrize("reader", ["coco", "voc", "yolo", "masks", "csv"])
class TestEveryRoot:
    def test_it_is_needed(self, reader: str) -> None:
        with pytest.raises(DataError, match=rf"data={reader} needs data\.root, the folder of"):
            read(replace(drawn(READERS[reader].gives[0]), reader=reader))

    def test_one_that_is_not_there_names_the_nearest(self, tmp_path: Path, reader: str) -> None:
        ref = replace(drawn(READERS[reader].gives[0]), reader=reader, root=f"{tmp_path}/no")
        with pytest.raises(DataError, match=f"the nearest folder that is: {tmp_path}"):
            read(ref)

    def test_an_empty_one_says_what_is_expected(self, tmp_path: Path, reader: str) -> None:
        ref = replace(drawn(READERS[reader].gives[0]), reader=reader, root=str(tmp_path))
        with pytest.raises(DataError, match=r"archfront expects "):
            read(ref)


class TestFewClasses:
    def one(self, target: str) -> DataRef:
        return replace(drawn(target), target=target, shapes=replace(SHAPES, classes=1), train=0.5)

    @pytest.mark.parametrize("target", ["labels", "mask", "boxes", "outlines"])
    def test_one_thing_to_find_is_enough(self, target: str) -> None:
        assert load(self.one(target)).class_names[-1] == "circle"

    def test_one_label_of_one_class_is_nothing_to_learn(self) -> None:
        with pytest.raises(DataError, match="only one class, 'circle'; a classifier needs at"):
            load(self.one("label"))

    def test_a_mask_of_one_class_is_nothing_to_learn(self, tmp_path: Path) -> None:
        write_images(tmp_path / "images")
        (tmp_path / "masks").mkdir()
        for index in range(SHAPES.images):
            Image.new("L", (32, 32)).save(tmp_path / "masks" / f"{stem(index)}.png")
        ref = replace(drawn("mask"), reader="masks", root=str(tmp_path))
        with pytest.raises(
            DataError, match="only one class, 'class 0'; a mask needs at least two"
        ):
            load(ref)

    def test_a_class_of_too_few_images_leaves_its_objects_out(self, tmp_path: Path) -> None:
        content = coco_content()
        content["categories"].append({"id": 9, "name": "bar"})
        content["annotations"][0]["category_id"] = 9
        ref = write_coco(tmp_path, content)
        with pytest.raises(DataError, match="class 'bar' has 1 image, too few to split into"):
            load(ref)
        dataset = load(replace(ref, on_error="skip"))
        assert dataset.class_names == NAMES
        assert n_objects(dataset) == len(content["annotations"]) - 1
        assert sum(map(len, dataset.splits.values())) == SHAPES.images
