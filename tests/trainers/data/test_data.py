from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archfront.trainers.data import DataRef, Dataset, load
from archfront.trainers.data.readers import torchvision_datasets
from archfront.trainers.dataset_summary import SkippedExample
from archfront.trainers.errors import DataError
from tests.support.drawn_images import REF, draw, draw_folder


def sizes(dataset: Dataset) -> dict[str, int]:
    return {name: len(samples) for name, samples in dataset.splits.items()}


def draw_splits(root: Path, counts: Mapping[str, Mapping[str, int]]) -> DataRef:
    for split, classes in counts.items():
        draw_folder(root / split, classes)
    return replace(REF, root=str(root))


def message_of(ref: DataRef) -> str:
    with pytest.raises(DataError, match=r"data\.") as caught:
        load(ref)
    return str(caught.value)


class TestLayout:
    def test_class_folders_are_split_by_the_configuration(self, tmp_path: Path) -> None:
        dataset = load(draw_folder(tmp_path, {"b": 8, "a": 12}))
        assert dataset.class_names == ("a", "b")
        assert sizes(dataset) == {"train": 10, "val": 5, "test": 5}
        assert np.bincount(dataset.splits["train"].labels).tolist() == [6, 4]
        assert dataset.division == "stratified into train, val, test with seed 0"
        assert not dataset.has_own_val

    def test_labels_belong_to_their_folders(self, tmp_path: Path) -> None:
        dataset = load(draw_folder(tmp_path, {"b": 8, "a": 12}))
        for samples in dataset.splits.values():
            for name, label in zip(samples.names, samples.labels, strict=True):
                assert name.split("/")[0] == dataset.class_names[label]

    def test_without_a_test_share_there_is_no_test_split(self, tmp_path: Path) -> None:
        ref = replace(draw_folder(tmp_path, {"a": 8, "b": 8}), train=0.75, test=0)
        assert sizes(load(ref)) == {"train": 12, "val": 4}

    @pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
    def test_train_and_val_folders_are_taken_as_they_are(self, tmp_path: Path, val: str) -> None:
        dataset = load(draw_splits(tmp_path, {"train": {"a": 5, "b": 3}, val: {"a": 1, "b": 2}}))
        assert sizes(dataset) == {"train": 8, "val": 3}
        assert dataset.division == "as the data gives it"
        assert dataset.has_own_val
        assert all(name.startswith("train/") for name in dataset.splits["train"].names)

    def test_a_test_folder_is_taken_too(self, tmp_path: Path) -> None:
        classes = {"a": 2, "b": 2}
        ref = draw_splits(tmp_path, {"train": classes, "val": classes, "test": classes})
        assert sizes(load(ref)) == {"train": 4, "val": 4, "test": 4}

    def test_val_comes_off_train_beside_a_test_folder(self, tmp_path: Path) -> None:
        ref = draw_splits(tmp_path, {"test": {"a": 2, "b": 2}, "train": {"a": 6, "b": 6}})
        assert sizes(load(ref)) == {"train": 8, "val": 4, "test": 4}

    def test_a_lone_train_folder_is_split(self, tmp_path: Path) -> None:
        ref = draw_splits(tmp_path, {"train": {"a": 8, "b": 8}})
        assert sizes(load(ref)) == {"train": 8, "val": 4, "test": 4}

    def test_a_class_may_be_called_train(self, tmp_path: Path) -> None:
        dataset = load(draw_folder(tmp_path, {"train": 4, "car": 4, "test": 4}))
        assert dataset.class_names == ("car", "test", "train")

    def test_class_names_may_differ_by_case_only(self, tmp_path: Path) -> None:
        assert load(draw_folder(tmp_path, {"Dog": 4, "dog": 4})).class_names == ("Dog", "dog")

    def test_folders_inside_a_class_folder_belong_to_the_class(self, tmp_path: Path) -> None:
        ref = draw_folder(tmp_path, {"a": 4, "b": 4, "a/more/deep": 4})
        assert sizes(load(ref)) == {"train": 6, "val": 3, "test": 3}
        assert load(ref).class_names == ("a", "b")

    def test_a_link_to_the_folder_above_is_followed_once(self, tmp_path: Path) -> None:
        ref = draw_folder(tmp_path, {"a": 4, "b": 4})
        (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
        assert sum(sizes(load(ref)).values()) == 8

    def test_hidden_files_are_ignored_and_others_are_named(self, tmp_path: Path) -> None:
        ref = draw_folder(tmp_path, {"a": 4, "b": 4, ".cache": 1, "__MACOSX": 1})
        (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
        (tmp_path / "a" / "notes.txt").write_text("x")
        shutil.copy(tmp_path / "a" / "0.png", tmp_path / "stray.png")
        dataset = load(ref)
        assert dataset.class_names == ("a", "b")
        assert [(item.name, item.reason) for item in dataset.skipped] == [
            ("stray.png", "not in a class folder"),
            ("a/notes.txt", "not an image file"),
        ]

    def test_a_folder_beside_the_splits_is_named(self, tmp_path: Path) -> None:
        classes = {"a": 2, "b": 2}
        ref = draw_splits(tmp_path, {"train": classes, "val": classes, "unlabeled": {"x": 1}})
        assert [item.name for item in load(ref).skipped] == ["unlabeled"]


class TestRefusal:
    def test_a_root_that_is_not_there_names_the_nearest_folder(self, tmp_path: Path) -> None:
        message = message_of(replace(REF, root=str(tmp_path / "flowrs" / "all")))
        assert f"{tmp_path}/flowrs/all is not there" in message
        assert f"the nearest folder that is: {tmp_path}." in message

    def test_a_root_is_needed(self) -> None:
        assert message_of(REF) == "data=folder needs data.root, the folder of the images."

    def test_a_root_that_is_a_file_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "x.zip").write_bytes(b"x")
        assert "is a file, not a folder" in message_of(replace(REF, root=f"{tmp_path}/x.zip"))

    def test_images_without_class_folders_say_what_is_expected(self, tmp_path: Path) -> None:
        Image.fromarray(draw(0)).save(tmp_path / "0.png")
        message = message_of(replace(REF, root=str(tmp_path)))
        assert "has no class folders (1 image lies in it directly)" in message
        assert "<data.root>/<class>/<image>" in message

    def test_a_single_class_is_refused(self, tmp_path: Path) -> None:
        message = message_of(draw_folder(tmp_path, {"rose": 4}))
        assert "has only one class, 'rose'; a classifier needs at least two" in message

    def test_two_folders_for_validation_are_refused(self, tmp_path: Path) -> None:
        classes = {"a": 2, "b": 2}
        ref = draw_splits(tmp_path, {"train": classes, "val": classes, "valid": classes})
        assert "has two folders for the split val: val and valid" in message_of(ref)

    def test_val_without_train_is_refused(self, tmp_path: Path) -> None:
        classes = {"a": 2, "b": 2}
        ref = draw_splits(tmp_path, {"test": classes, "val": classes})
        assert "has test and val but no train folder" in message_of(ref)

    def test_more_images_than_there_are_is_refused(self, tmp_path: Path) -> None:
        ref = replace(draw_folder(tmp_path, {"a": 4, "b": 4}), train=600, val=1, test=1)
        assert "= 602 images, but there are 8" in message_of(ref)


def all_broken(root: Path) -> DataRef:
    ref = draw_folder(root, {"a": 6, "b": 6, "c": 1})
    (root / "c" / "0.png").write_bytes(b"")
    return ref


def only_in(split: str, root: Path) -> DataRef:
    counts = {"train": {"a": 3, "b": 3}, "val": {"a": 3, "b": 3}}
    counts[split]["c"] = 2
    return draw_splits(root, counts)


BAD_CLASSES = {
    "empty": (
        lambda root: draw_folder(root, {"a": 6, "b": 6, "c": 0}),
        "class 'c' has no readable image; add images or remove it",
    ),
    "all broken": (all_broken, "class 'c' has no readable image; add images or remove it"),
    "only in train": (
        lambda root: only_in("train", root),
        "class 'c' has 2 images in train but none in val, so nothing could evaluate it",
    ),
    "only in val": (
        lambda root: only_in("val", root),
        "class 'c' has 2 images in val but none in train, so nothing could learn it",
    ),
    "too small": (
        lambda root: draw_folder(root, {"a": 6, "b": 6, "c": 2}),
        "class 'c' has 2 images, too few to split into train, val, test: each needs one; add 1",
    ),
}


STOPS_WITH = {"all broken": "Without what is broken, 1 class has no image: 'c'"}


class TestProblems:
    @pytest.mark.parametrize("case", BAD_CLASSES)
    def test_a_class_that_cannot_be_used_stops_with_its_own_message(
        self, tmp_path: Path, case: str
    ) -> None:
        make, words = BAD_CLASSES[case]
        message = message_of(make(tmp_path))
        assert STOPS_WITH.get(case, words) in message
        assert "data.on_error=skip" in message

    @pytest.mark.parametrize("case", BAD_CLASSES)
    def test_a_class_that_cannot_be_used_can_be_left_out(self, tmp_path: Path, case: str) -> None:
        make, words = BAD_CLASSES[case]
        dataset = load(replace(make(tmp_path), on_error="skip"))
        assert dataset.class_names == ("a", "b")
        assert sum(sizes(dataset).values()) == 12
        (told,) = [item for item in dataset.skipped if item.name == "c"]
        assert words in told.detail

    def test_broken_images_are_all_named_at_once(self, tmp_path: Path) -> None:
        ref = draw_folder(tmp_path, {"a": 6, "b": 6})
        (tmp_path / "a" / "0.png").write_bytes(b"")
        cut = tmp_path / "b" / "3.png"
        cut.write_bytes(cut.read_bytes()[:60])
        assert message_of(ref).splitlines() == [
            f"data.root {tmp_path} has 2 problems. Correct what is named here, or set "
            "data.on_error=skip to leave it out:",
            "  - 2 of the kind: broken image",
            "      a/0.png: the file is empty",
            "      b/3.png: the file is truncated: its end is missing",
        ]

    def test_three_problems_of_a_kind_are_shown_and_the_others_counted(
        self, tmp_path: Path
    ) -> None:
        ref = draw_folder(tmp_path, {"a": 20, "b": 6, "c": 0})
        for index in range(13):
            (tmp_path / "a" / f"{index}.png").write_bytes(b"")
        assert message_of(ref).splitlines() == [
            f"data.root {tmp_path} has 13 problems. Correct what is named here, or set "
            "data.on_error=skip to leave it out:",
            "  - 13 of the kind: broken image",
            "      a/0.png: the file is empty",
            "      a/1.png: the file is empty",
            "      a/10.png: the file is empty",
            "      and 10 more",
            "  Without what is broken, 1 class has no image: 'c'",
        ]

    def test_skipping_leaves_broken_images_out_and_names_them(self, tmp_path: Path) -> None:
        ref = draw_folder(tmp_path, {"a": 6, "b": 6})
        for index in range(2):
            (tmp_path / "a" / f"{index}.png").write_bytes(b"")
        dataset = load(replace(ref, on_error="skip"))
        assert sum(sizes(dataset).values()) == 10
        skipped = dataset.summary().skipped["broken image"]
        assert skipped.count == 2
        assert skipped.examples[0] == SkippedExample("a/0.png", "the file is empty")

    def test_skipping_still_stops_when_too_little_is_left(self, tmp_path: Path) -> None:
        ref = draw_folder(tmp_path, {"a": 6, "b": 1})
        message = message_of(replace(ref, on_error="skip"))
        assert "has only one class, 'a' after 1 problem was left out" in message
        assert "class 'b' has 1 image, too few" in message

    def test_a_class_missing_only_in_test_is_allowed(self, tmp_path: Path) -> None:
        classes = {"a": 2, "b": 2}
        dataset = load(draw_splits(tmp_path, {"train": classes, "val": classes, "test": {"a": 1}}))
        assert dataset.summary().splits["test"].per_class == {"a": 1, "b": 0}


class Cranes:
    """A dataset of torchvision with two classes of one name, as ImageNet's birds and machines."""

    classes = (("crane", "heron"), ("cat",), ("crane",))
    targets = (0, 1, 2) * 6

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """Return an image with its label."""
        return Image.new("L", (8, 8), index), self.targets[index]


def test_names_that_several_classes_of_torchvision_have_get_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision_datasets, "_open", lambda *_: Cranes())
    ref = replace(REF, reader="torchvision", name="EuroSAT", root=str(tmp_path))
    summary = load(ref).summary()
    assert summary.class_names == ("crane (0)", "cat", "crane (2)")
    assert sum(sum(part.per_class.values()) for part in summary.splits.values()) == 18
