"""Class folders as cameras, archives, network drives and published datasets leave them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.trainers.data import DataRef
from archfront.trainers.data.raw import RawData
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import read
from tests.support.drawn_images import REF, draw_folder

TWO = {"cat": 3, "dog": 2}


def below(folder: str, counts: Mapping[str, int] = TWO) -> dict[str, int]:
    return {f"{folder}/{name}": count for name, count in counts.items()}


def parts_of(raw: RawData) -> dict[str, int]:
    return {part: len(samples) for part, samples in raw.parts.items()}


def message_of(ref: DataRef) -> str:
    with pytest.raises(DataError) as caught:
        read(ref)
    return str(caught.value)


class TestNamesOfSplits:
    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("Training", "Testing"),
            ("TRAIN", "TEST"),
            ("train_set", "test_set"),
            ("trainset", "testset"),
            ("Train Images", "Test Images"),
            ("training-data", "testing-data"),
            ("seg_train", "seg_test"),
            ("train2017", "test2017"),
        ],
    )
    def test_usual_names_are_splits(self, tmp_path: Path, train: str, test: str) -> None:
        raw = read(draw_folder(tmp_path, {**below(train), **below(test)}))
        assert raw.class_names == ("cat", "dog")
        assert parts_of(raw) == {"train": 5, "test": 5}

    def test_what_is_to_be_predicted_lies_beside(self, tmp_path: Path) -> None:
        counts = {**below("seg_train"), **below("seg_test"), "seg_pred": 4}
        raw = read(draw_folder(tmp_path, counts))
        assert raw.class_names == ("cat", "dog")
        assert [item.name for item in raw.skipped] == ["seg_pred"]

    def test_classes_with_such_words_in_their_names_are_classes(self, tmp_path: Path) -> None:
        counts = {"bullet train": 3, "crash test": 3, "test tube": 3}
        assert read(draw_folder(tmp_path, counts)).class_names == tuple(sorted(counts))

    def test_a_class_called_train_may_have_folders(self, tmp_path: Path) -> None:
        counts = {"bus": 3, "train/steam": 3, "train/diesel": 3, "tram": 3}
        assert read(draw_folder(tmp_path, counts)).class_names == ("bus", "train", "tram")


class TestWhatLiesBeside:
    @pytest.mark.parametrize("flat", ["test", "val", "Testing"])
    def test_a_split_without_class_folders_is_named_and_left_out(
        self, tmp_path: Path, flat: str
    ) -> None:
        raw = read(draw_folder(tmp_path, {**below("train"), flat: 4}))
        assert raw.class_names == ("cat", "dog")
        assert parts_of(raw) == {"all": 5}
        assert [(item.name, item.reason) for item in raw.skipped] == [
            (flat, "split without class folders")
        ]

    @pytest.mark.parametrize("inner", ["test", "unknown"])
    def test_so_is_a_test_folder_whose_only_folder_is_no_class(
        self, tmp_path: Path, inner: str
    ) -> None:
        raw = read(draw_folder(tmp_path, {**below("train"), f"test/{inner}": 4}))
        assert (raw.class_names, parts_of(raw)) == (("cat", "dog"), {"all": 5})
        assert [(item.name, item.detail) for item in raw.skipped] == [
            (
                "test",
                f"test holds 4 images and only the folder {inner}, no class of train, so that "
                "nothing tells their classes",
            )
        ]

    def test_images_beside_the_classes_of_a_split_are_strays(self, tmp_path: Path) -> None:
        counts = {**below("train"), **below("val"), "train": 1, "val": 2}
        raw = read(draw_folder(tmp_path, counts))
        assert parts_of(raw) == {"train": 5, "val": 5}
        assert [item.name for item in raw.skipped] == ["train/0.png", "val/0.png", "val/1.png"]

    def test_splits_without_any_class_folder_are_one_error(self, tmp_path: Path) -> None:
        message = message_of(draw_folder(tmp_path, {"train": 3, "test": 3}))
        assert "test and train hold images and no class folders" in message
        assert "data=csv" in message

    def test_a_train_folder_without_classes_beside_a_test_folder_is_refused(
        self, tmp_path: Path
    ) -> None:
        message = message_of(draw_folder(tmp_path, {"train": 3, **below("test")}))
        assert "train holds images and no class folders" in message

    @pytest.mark.parametrize(
        "name",
        [
            *("@eaDir", ".thumbnails", "__MACOSX", ".ipynb_checkpoints", "__pycache__"),
            *("#recycle", "$RECYCLE.BIN", "System Volume Information", ".@__thumb", "lost+found"),
        ],
    )
    def test_folders_of_systems_are_no_classes_and_no_images(
        self, tmp_path: Path, name: str
    ) -> None:
        counts = {**TWO, name: 2, f"cat/{name}": 2, f"dog/{name}/000.jpg": 1}
        raw = read(draw_folder(tmp_path, counts))
        assert raw.class_names == ("cat", "dog")
        assert parts_of(raw) == {"all": 5}
        assert raw.skipped == ()

    def test_folders_of_systems_are_no_classes_of_a_split(self, tmp_path: Path) -> None:
        counts = {**below("train"), "train/@eaDir": 1, **below("val"), "val/.thumbnails": 1}
        raw = read(draw_folder(tmp_path, {**counts, "@eaDir": 1}))
        assert (raw.class_names, parts_of(raw)) == (("cat", "dog"), {"train": 5, "val": 5})


class TestDoubledFolders:
    @pytest.mark.parametrize("inner", ["photos", "photos/photos", "a/b/c"])
    def test_a_root_above_the_classes_is_told_which_to_give(
        self, tmp_path: Path, inner: str
    ) -> None:
        message = message_of(draw_folder(tmp_path, below(inner)))
        assert message.endswith(f"Give data.root={tmp_path / inner}.")

    def test_so_is_one_above_the_splits(self, tmp_path: Path) -> None:
        counts = {**below("chest/train"), **below("chest/val"), "__MACOSX/chest": 1}
        assert message_of(draw_folder(tmp_path, counts)).endswith(
            f"Give data.root={tmp_path / 'chest'}."
        )

    @pytest.mark.parametrize("names", [("train/train", "test/test"), ("train/a", "test/a")])
    def test_a_folder_between_split_and_classes_is_looked_through(
        self, tmp_path: Path, names: tuple[str, str]
    ) -> None:
        train, test = names
        raw = read(draw_folder(tmp_path, {**below(train), **below(test), "train": 1}))
        assert raw.class_names == ("cat", "dog")
        assert parts_of(raw) == {"train": 5, "test": 5}
        assert [item.name for item in raw.skipped] == ["train/0.png"]

    def test_the_only_class_of_a_split_is_not_looked_through(self, tmp_path: Path) -> None:
        counts = {"train/cat/2019": 2, "train/cat/2020": 2, **below("val")}
        assert read(draw_folder(tmp_path, counts)).class_names == ("cat", "dog")

    def test_a_lone_class_of_images_stays_one(self, tmp_path: Path) -> None:
        assert read(draw_folder(tmp_path, {"rose": 3})).class_names == ("rose",)


class TestSplitsInsideClasses:
    def test_folders_of_splits_in_each_class_are_splits(self, tmp_path: Path) -> None:
        counts = {"cat/train": 3, "cat/test": 2, "dog/train": 4, "dog/Test": 1}
        raw = read(draw_folder(tmp_path, counts))
        assert raw.class_names == ("cat", "dog")
        assert parts_of(raw) == {"train": 7, "test": 3}

    def test_other_folders_in_classes_are_parts_of_them(self, tmp_path: Path) -> None:
        counts = {"cat/train": 3, "cat/more": 2, "dog/train": 4, "dog/test": 1}
        assert parts_of(read(draw_folder(tmp_path, counts))) == {"all": 10}


class TestUnicode:
    def test_two_forms_of_a_name_are_one_class(self, tmp_path: Path) -> None:
        composed, decomposed = (unicodedata.normalize(f, "caf\u00e9") for f in ("NFC", "NFD"))
        counts = {f"train/{composed}": 3, "train/tea": 2, f"val/{decomposed}": 2, "val/tea": 1}
        raw = read(draw_folder(tmp_path, counts))
        assert raw.class_names == (composed, "tea")
        assert parts_of(raw) == {"train": 5, "val": 3}

    def test_names_that_other_formats_take_for_values_stay_names(self, tmp_path: Path) -> None:
        names = ("no", "yes", "null", "1_000", "1e3", "012", "0.0", "2024-01-01", "True")
        ref = draw_folder(tmp_path, dict.fromkeys(names, 1))
        assert read(replace(REF, root=ref.root)).class_names == tuple(sorted(names))
