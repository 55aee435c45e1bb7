"""Planted faults are found, and none is told of clean data."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archfront.trainers.data.ref import Shapes
from archfront.trainers.data.targets import TargetKind
from tests.support.drawn_images import REF
from tests.support.textured_images import (
    clean_folder,
    fault_of,
    frames,
    profiled,
    ref_of,
    save,
    split_folder,
    textured,
)


def test_nothing_is_told_of_digits() -> None:
    assert profiled(replace(REF, reader="digits")).faults == ()


@pytest.mark.parametrize("target", ["label", "labels", "mask", "boxes", "outlines"])
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_told_of_drawn_shapes(target: TargetKind, seed: int) -> None:
    shapes = Shapes(images=300, seed=seed, objects_max=1 + 2 * seed)
    assert profiled(replace(REF, reader="shapes", target=target, shapes=shapes)).faults == ()


def test_nothing_is_told_of_flat_drawings(tmp_path: Path) -> None:
    """Icons of one color on white are alike in what is coarse, and have no detail."""
    rng = np.random.default_rng(0)
    for index in range(40):
        pixels = np.full((64, 64, 3), 255, np.uint8)
        x, y = rng.integers(4, 30, 2)
        pixels[y : y + 30, x : x + 30] = rng.integers(0, 200, 3)
        save(tmp_path / "ab"[index % 2] / f"{index}.png", pixels)
    assert profiled(ref_of(tmp_path)).faults == ()


def test_nothing_is_told_of_clean_folders(tmp_path: Path) -> None:
    assert profiled(clean_folder(tmp_path / "one")).faults == ()
    assert profiled(split_folder(tmp_path / "two")).faults == ()


def test_equal_files_in_two_splits_are_told(tmp_path: Path) -> None:
    ref = split_folder(tmp_path)
    for index in range(3):
        shutil.copy(tmp_path / f"train/a/{index:03d}.png", tmp_path / f"val/a/1{index:02d}.png")
    fault = fault_of(profiled(ref), "copies across splits")
    assert fault.count == 6
    assert [ref.name for ref in fault.groups[0]] == ["train/a/000.png", "val/a/100.png"]
    assert "3 groups in train and val" in fault.text
    assert "move each group to one split" in fault.remedy


@pytest.mark.parametrize("change", ["quality", "size", "brightness", "format", "noise"])
def test_images_that_hardly_differ_in_two_splits_are_told(tmp_path: Path, change: str) -> None:
    ref = split_folder(tmp_path)
    original = textured(77, 96)
    save(tmp_path / "train/a/900.png", original)
    copy = {
        "size": np.asarray(Image.fromarray(original).resize((64, 64))),
        "brightness": (original * 0.8 + 20).astype(np.uint8),
        "noise": (original + np.random.default_rng(0).normal(0, 6, original.shape))
        .clip(0, 255)
        .astype(np.uint8),
    }.get(change, original)
    options = {"quality": 50} if change == "quality" else {}
    save(tmp_path / f"val/a/900.{'png' if change == 'size' else 'jpg'}", copy, **options)
    fault = fault_of(profiled(ref), "near copies across splits")
    assert fault.count == 2


def test_a_copy_in_another_file_format_is_equal(tmp_path: Path) -> None:
    ref = split_folder(tmp_path)
    save(tmp_path / "val/a/900.bmp", textured(10_003))
    assert fault_of(profiled(ref), "copies across splits").count == 2


def test_copies_with_different_labels_are_told_once(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path)
    shutil.copy(tmp_path / "a/003.png", tmp_path / "b/900.png")
    kinds = {fault.kind: fault for fault in profiled(ref).faults}
    assert kinds["contradicting labels"].count == 2
    assert "a/003.png" in kinds["contradicting labels"].text
    assert set(kinds) <= {"contradicting labels", "copies across splits"}


def test_copies_within_a_split_are_told(tmp_path: Path) -> None:
    ref = split_folder(tmp_path)
    shutil.copy(tmp_path / "train/a/003.png", tmp_path / "train/a/900.png")
    save(tmp_path / "train/b/900.jpg", textured(10_504))
    kinds = {fault.kind: fault.count for fault in profiled(ref).faults}
    assert kinds == {"copies within a split": 2, "near copies within a split": 2}


def test_broken_files_are_told_by_reason_with_one_example(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path)
    for name in ("a/000.png", "b/001.png"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    (tmp_path / "a/001.png").write_text("no image")
    profile = profiled(ref)
    fault = fault_of(profile, "broken files")
    assert fault.count == 3
    assert "a/000.png: the file is truncated" in fault.text
    assert profile.n_images == 29


def test_a_class_of_broken_files_is_empty(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path)
    (tmp_path / "none").mkdir()
    (tmp_path / "none/1.png").write_text("no image")
    kinds = {fault.kind: fault for fault in profiled(ref).faults}
    assert list(kinds) == ["broken files", "empty classes"]
    assert "'none'" in kinds["empty classes"].text


def test_a_giant_image_among_small_ones_is_told(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path)
    save(tmp_path / "a/900.jpg", textured(5, 400))
    fault = fault_of(profiled(ref), "odd image sizes")
    assert fault.count == 1
    assert "a/900.jpg with 400 x 400 px where 48 x 48 px are usual" in fault.text


def test_sizes_that_vary_are_not_odd(tmp_path: Path) -> None:
    for index in range(30):
        side = 20 + 12 * index
        save(tmp_path / "ab"[index % 2] / f"{index}.png", textured(index, side))
    assert profiled(ref_of(tmp_path)).faults == ()


def test_the_frames_of_videos_that_a_random_split_tears_apart_are_told(tmp_path: Path) -> None:
    for video in range(8):
        for number, frame in enumerate(frames(video, 8)):
            save(tmp_path / "ab"[video % 2] / f"clip{video}_{number:04d}.png", frame)
    fault = fault_of(profiled(ref_of(tmp_path)), "groups torn apart")
    assert "of 8 groups by name" in fault.text
    assert "data.group=stem" in fault.remedy
    assert len({ref.split for ref in fault.groups[0]}) > 1


def test_videos_that_data_group_keeps_whole_are_no_fault(tmp_path: Path) -> None:
    for video in range(8):
        for number, frame in enumerate(frames(video, 8)):
            save(tmp_path / "ab"[video % 2] / f"clip{video}_{number:04d}.png", frame)
    profile = profiled(replace(ref_of(tmp_path), group="stem"))
    assert "groups torn apart" not in [fault.kind for fault in profile.faults]
    assert {name: part.images for name, part in profile.splits.items()} == {
        "train": 32,
        "val": 16,
        "test": 16,
    }


def test_videos_in_folders_of_their_own_are_told(tmp_path: Path) -> None:
    """The frames are called alike in every folder."""
    for video in range(8):
        for number, frame in enumerate(frames(video, 8)):
            split = "val" if number % 4 == 0 else "train"
            name = f"{'ab'[video % 2]}/clip{video}/{number:04d}.png"
            save(tmp_path / split / name, frame)
    fault = fault_of(profiled(ref_of(tmp_path)), "groups torn apart")
    assert fault.count == 64


def test_copies_of_one_name_in_two_folders_are_copies_and_no_torn_group(tmp_path: Path) -> None:
    for index in range(16):
        for folder in ("train/a/first", "train/a/second", "train/b/third"):
            pixels = textured(index if "/a/" in folder else 100 + index)
            save(tmp_path / folder / f"{index:03d}.png", pixels)
    save(tmp_path / "val/a/1.png", textured(300))
    save(tmp_path / "val/b/1.png", textured(301))
    assert fault_of(profiled(ref_of(tmp_path)), "copies within a split").count == 32


def test_one_long_video_that_a_random_split_tears_apart_is_told(tmp_path: Path) -> None:
    n = 0
    for scene in range(6):
        for frame in frames(scene, 10):
            save(tmp_path / "ab"[scene % 2] / f"frame_{n:05d}.png", frame)
            n += 1
    fault = fault_of(profiled(ref_of(tmp_path)), "groups torn apart")
    assert "numbered one after the other" in fault.text
    assert "block of consecutive numbers" in fault.remedy


def test_the_tiles_of_slides_in_two_splits_are_told(tmp_path: Path) -> None:
    """Tiles of one slide show different places in the same colors."""
    rng = np.random.default_rng(0)
    tints = rng.uniform(-60, 60, (6, 3))
    for slide, tint in enumerate(tints):
        for tile in range(8):
            pixels = (textured(100 * slide + tile) * 0.5 + 60 + tint).clip(0, 255)
            name = f"slide{slide}_{64 * (tile // 3)}_{64 * (tile % 3)}.png"
            split = "val" if tile in (2, 5) else "train"
            save(tmp_path / split / "ab"[tile % 2] / name, pixels.astype(np.uint8))
    fault = fault_of(profiled(ref_of(tmp_path)), "groups torn apart")
    assert "of 6 groups by name" in fault.text
    assert fault.remedy.startswith("Move each group to one split")


def test_videos_of_which_each_is_in_one_split_are_no_fault(tmp_path: Path) -> None:
    for video in range(8):
        split = "train" if video < 6 else "val"
        for number, frame in enumerate(frames(video, 8)):
            save(tmp_path / split / "ab"[video % 2] / f"clip{video}_{number:04d}.png", frame)
    kinds = [fault.kind for fault in profiled(ref_of(tmp_path)).faults]
    assert "groups torn apart" not in kinds
    assert not [kind for kind in kinds if kind.endswith("across splits")]
