from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from archfront.trainers.data import ImageSet, Preprocess, Samples, load
from archfront.trainers.dataset_summary import Spread
from archfront.trainers.errors import DataError
from tests.support.drawn_images import draw, draw_folder

GREY = Preprocess(8, 1, mean=(0.5,), std=(0.5,))


def test_grey_images_of_every_kind_give_one_channel(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path, {"a": 4, "b": 4}, channels=1)
    image = tmp_path / "a" / "0.png"
    Image.open(image).convert("RGB").save(image)
    assert load(ref).channels == 1


def test_one_color_image_gives_three_channels(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path, {"a": 4, "b": 4}, channels=1)
    Image.fromarray(draw(7)).save(tmp_path / "a" / "0.png")
    assert load(ref).channels == 3


def test_the_fingerprint_follows_content_name_and_label_but_not_the_place(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path / "one", {"a": 4, "b": 4})
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    moved = replace(ref, root=str(tmp_path / "two"))
    assert load(moved).fingerprint == load(ref).fingerprint
    prints = {load(ref).fingerprint}
    Image.fromarray(draw(99)).save(tmp_path / "two" / "a" / "0.png")
    prints.add(load(replace(moved, memory_mb=9)).fingerprint)
    (tmp_path / "two" / "a" / "1.png").rename(tmp_path / "two" / "a" / "9.png")
    prints.add(load(replace(moved, memory_mb=8)).fingerprint)
    (tmp_path / "two" / "a").rename(tmp_path / "two" / "c")
    prints.add(load(replace(moved, memory_mb=7)).fingerprint)
    assert len(prints) == 4


def test_sizes_in_the_summary_are_those_of_the_images(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path, {"a": 8, "b": 7})
    widths = [8 + seed % 5 for seed in range(15)]  # as draw_folder draws them
    middle = float(np.median(widths))
    assert load(ref).summary().sizes["width"] == Spread(min(widths), middle, max(widths))


def test_progress_counts_every_image_once_and_not_again(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path, {"a": 4, "b": 4})
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        load(ref, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 8) for done in range(1, 9)]


def held_images(samples: Samples, preprocess: Preprocess) -> torch.Tensor:
    tensor = ImageSet.of(samples, preprocess).tensor
    assert tensor is not None
    return tensor


def test_memory_holds_as_many_sizes_as_fit(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path, {"a": 10, "b": 10}, channels=1)
    decoded_and_two_sizes = (20 * 12 * 11 + 2 * 20 * 64 * 64) / 1e6
    train = load(replace(ref, memory_mb=decoded_and_two_sizes)).splits["train"]
    grey = replace(GREY, input_size=64)
    first, second = held_images(train, grey), held_images(train, grey)
    assert first.data_ptr() == second.data_ptr()
    for size in (60, 61, 62, 63):
        ImageSet.of(train, replace(GREY, input_size=size))
    again = held_images(train, grey)
    assert again.data_ptr() != first.data_ptr()
    assert torch.equal(first, again)
    assert ImageSet.of(train, replace(GREY, input_size=128)).tensor is None


def test_mean_and_std_share_the_images(tmp_path: Path) -> None:
    train = load(draw_folder(tmp_path, {"a": 4, "b": 4})).splits["train"]
    other = replace(GREY, mean=(0.1,), std=(0.2,))
    one, two = held_images(train, GREY), held_images(train, other)
    assert one.data_ptr() == two.data_ptr()


def test_a_file_that_vanishes_while_training_is_named(tmp_path: Path) -> None:
    ref = replace(draw_folder(tmp_path, {"a": 4, "b": 4}), memory_mb=0)
    images = ImageSet.of(load(ref).splits["train"], GREY)
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(DataError, match=r"a/\d\.png could be decoded when the data was load"):
        list(images.batches([torch.arange(len(images))]))


def test_a_lazy_split_works_in_torchs_loader_with_workers(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path, {"a": 4, "b": 4})
    held = ImageSet.of(load(ref).splits["train"], GREY)
    lazy = ImageSet.of(load(replace(ref, memory_mb=0)).splits["train"], GREY)
    loader = torch.utils.data.DataLoader(lazy, batch_size=3, num_workers=1)
    images = torch.cat(list(loader))
    assert held.tensor is not None
    assert torch.equal(images, held.tensor)
