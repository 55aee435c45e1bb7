"""Splits by groups: every group is in one split, and the splits have about what they should."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archfront.trainers.data import load
from archfront.trainers.data.group_split import PATTERNS, grouped, groups_of
from archfront.trainers.errors import DataError
from tests.support.drawn_images import REF, draw

NAMES = ["cam/video1_0001.png", "cam/video1_0002.png", "cam/video2_0001.png", "dog/none.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("stem", ["video1_", "video1_", "video2_", None]),
        ("prefix", ["video1", "video1", "video2", None]),
        ("folder", ["cam", "cam", "cam", "dog"]),
        ("^(cam/v)", ["cam/v", "cam/v", "cam/v", None]),
        ("video[0-9]", ["video1", "video1", "video2", None]),
    ],
)
def test_groups_are_what_a_pattern_finds_in_names(
    pattern: str, expected: list[str | None]
) -> None:
    found = groups_of(NAMES, pattern)
    assert found == [
        f"image {name}" if group is None else f"group {group}"
        for name, group in zip(NAMES, expected, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "stem", "prefix"),
    [
        ("slide12_0_512.tif", "slide12_0_", "slide12"),
        ("a/b/frame-00017.jpg", "frame-", "frame-00017"),
        ("p7.scan3.v2.png", "p7.scan3.v", "p7"),
    ],
)
def test_names_with_several_numbers(name: str, stem: str, prefix: str) -> None:
    found = [re.search(PATTERNS[word], name) for word in ("stem", "prefix")]
    assert [match and match.group(1) for match in found] == [stem, prefix]


def test_a_pattern_that_finds_nothing_is_an_error_with_the_words_there_are() -> None:
    with pytest.raises(DataError, match=r"'x' finds nothing in any of the 4 names .* Give stem"):
        groups_of(NAMES, "x")


@pytest.mark.parametrize("seed", range(5))
def test_every_group_is_in_one_split_of_about_its_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 9, 60)
    groups = [f"g{place}" for place, size in enumerate(sizes) for _ in range(size)]
    n = len(groups)
    strata = np.repeat(rng.integers(0, 3, 60), sizes)
    wanted = {"train": round(0.6 * n), "val": round(0.2 * n), "test": n - round(0.8 * n)}
    splits = grouped(groups, strata, wanted, seed=seed)
    assert sorted(np.concatenate(splits).tolist()) == list(range(n))
    named = [{groups[i] for i in split} for split in splits]
    assert sum(map(len, named)) == 60
    for split, size in zip(splits, wanted.values(), strict=True):
        assert abs(len(split) - size) <= 9
        for label in range(3):
            share = (strata == label).sum() * size / n
            assert abs((strata[split] == label).sum() - share) <= 9


def test_images_that_no_split_asks_for_belong_to_none() -> None:
    groups = [f"g{place // 4}" for place in range(80)]
    splits = grouped(groups, np.zeros(80, np.int64), {"train": 20, "val": 8}, seed=0)
    assert [len(split) for split in splits] == [20, 8]


def test_as_many_groups_as_splits_give_each_split_one() -> None:
    groups = ["a"] * 20 + ["b"] * 2 + ["c"]
    splits = grouped(groups, np.zeros(23, np.int64), {"train": 15, "val": 4, "test": 4}, seed=0)
    assert sorted(map(len, splits)) == [1, 2, 20]
    assert len(splits[0]) == 20


def test_fewer_groups_than_splits_are_an_error() -> None:
    with pytest.raises(DataError, match="makes 2 groups of 6 images, too few for train, val"):
        grouped(list("aaabbb"), np.zeros(6, np.int64), {"train": 4, "val": 1, "x": 1}, seed=0)


def test_a_dataset_keeps_its_groups_whole_and_says_so(tmp_path: Path) -> None:
    seed = 0
    for video in range(12):
        for frame in range(3):
            file = tmp_path / "ab"[video % 2] / f"clip{video:02d}_{frame}.png"
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(draw(seed)).save(file)
            seed += 1
    ref = replace(REF, root=str(tmp_path), group="stem")
    dataset = load(ref)
    clips = {name: {n.split("_")[0] for n in part.names} for name, part in dataset.splits.items()}
    assert sum(map(len, clips.values())) == 12
    assert {name: len(part) for name, part in dataset.splits.items()} == {
        "train": 18,
        "val": 9,
        "test": 9,
    }
    assert dataset.division == (
        "divided into train, val, test with seed 0, groups by 'stem', each in one split"
    )
    assert load(replace(ref, group=None)).fingerprint != dataset.fingerprint


def test_data_with_splits_of_its_own_says_that_groups_are_not_asked_for(tmp_path: Path) -> None:
    for place, split in enumerate(("train", "val")):
        for index in range(4):
            file = tmp_path / split / "ab"[index % 2] / f"x{index}_1.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw(10 * place + index)).save(file)
    dataset = load(replace(REF, root=str(tmp_path), group="stem"))
    assert dataset.division == "as the data gives it, without data.group"
