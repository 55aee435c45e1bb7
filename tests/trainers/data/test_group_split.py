"""Splits by groups: every group is in one split, and the splits have about what they should."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archfront.trainers.data import DataRef, load
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


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("stem", "youtube-"),
        ("prefix", "youtube-12"),
        ("folder", "train"),
        (r"\.rf\.(..)", "0f"),  # an own pattern sees the whole name
    ],
)
def test_the_hash_in_names_of_roboflow_is_no_part_of_a_group(pattern: str, expected: str) -> None:
    name = f"train/youtube-12_jpg.rf.{'0f' * 15}a9.jpg"
    assert groups_of([name], pattern) == [f"group {expected}"]


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


def table(root: Path, *, header: str = "path,label,video") -> DataRef:
    """Write a table of four videos of six images each, whose names say nothing of them."""
    rows = [header]
    for index in range(24):
        name = f"{(7 * index) % 24:03d}.png"
        Image.fromarray(draw(index)).save(root / name)
        rows.append(f"{name},{'ab'[index % 2]},v{index // 6}")
    (root / "labels.csv").write_text("\n".join(rows))
    return replace(REF, reader="csv", root=str(root), group="column:video")


def test_a_column_of_a_table_says_what_belongs_together(tmp_path: Path) -> None:
    dataset = load(table(tmp_path))
    video_of = {f"{(7 * index) % 24:03d}.png": index // 6 for index in range(24)}
    videos = [{video_of[name] for name in part.names} for part in dataset.splits.values()]
    assert sorted(map(len, videos)) == [1, 1, 2]
    assert len(set.union(*videos)) == 4
    assert dataset.class_names == ("a", "b")


def test_the_column_of_groups_is_no_class(tmp_path: Path) -> None:
    """Without a column of labels every other column is a class of 0 and 1."""
    ref = replace(table(tmp_path, header="path,x,y"), target="labels", group="column:Site")
    rows = [f"{(7 * i) % 24:03d}.png,{i % 2},{1 - i % 2},s{i // 6}" for i in range(24)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,x,y,site", *rows]))
    assert load(ref).class_names == ("x", "y")


def test_a_column_that_is_not_there_is_an_error_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no column 'video'; it has path, label, site"):
        load(table(tmp_path, header="path,label,site"))


def test_data_with_splits_of_its_own_says_that_groups_are_not_asked_for(tmp_path: Path) -> None:
    for place, split in enumerate(("train", "val")):
        for index in range(4):
            file = tmp_path / split / "ab"[index % 2] / f"x{index}_1.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw(10 * place + index)).save(file)
    dataset = load(replace(REF, root=str(tmp_path), group="stem"))
    assert dataset.division == "as the data gives it, without data.group"
