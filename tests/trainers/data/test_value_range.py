"""Values of 10, 12 or 14 bits in files of 16 keep their levels, in training and in prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from archfront.search.export.rendering import render
from archfront.trainers.data import DataRef, Dataset, load
from archfront.trainers.data.images import read_pixels
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.value_range import REASON
from tests.support.drawn_images import draw_folder

SQUARE = Preprocess(8, 1, (0.5,), (0.5,))


def notes(dataset: Dataset) -> list[str]:
    return [item.detail for item in dataset.skipped if item.reason == REASON]


def write_deep(root: Path, largest: int, kind: str = ".png") -> DataRef:
    """Write images of two classes with 16 bits a pixel and values up to a largest one."""
    ref = draw_folder(root, {"a": 6, "b": 6})
    for index, file in enumerate(sorted(root.rglob("*.png"))):
        values = np.linspace(index, largest, 80).round().astype(np.uint16).reshape(8, 10)
        file.unlink()
        Image.fromarray(values).save(file.with_suffix(kind))
    return ref


def levels(dataset: Dataset, name: str = "a/0") -> NDArray[np.uint8]:
    samples = [sample for split in dataset.splits.values() for sample in split.samples]
    (found,) = [sample for sample in samples if sample.name.startswith(f"{name}.")]
    return found.pixels()[..., 0]


@pytest.mark.parametrize("kind", [".tif", ".png"])
@pytest.mark.parametrize(
    ("largest", "values", "highest"),
    [
        (4095, (0, 4095), 255),
        (1000, (0, 1023), 249),
        (16383, (0, 16383), 255),
        (200, (0, 255), 200),
        (16384, (0, 65535), 64),
        (65535, (0, 65535), 255),
    ],
)
def test_the_bits_in_use_become_256_levels(
    tmp_path: Path, largest: int, values: tuple[int, int], highest: int, kind: str
) -> None:
    dataset = load(write_deep(tmp_path, largest, kind))
    assert dataset.value_range == values
    assert levels(dataset).max() == highest
    told = notes(dataset)
    assert len(told) == (values != (0, 65535))
    if told:
        start = f"12 images have 16 bits a pixel and no value above {largest:,}, so values from 0 "
        assert told[0].startswith(f"{start}to {values[1]:,} become the 256 levels of gray")
        assert "data.value_range=[0,65535]" in told[0]


def test_the_brightest_image_decides_for_all(tmp_path: Path) -> None:
    ref = write_deep(tmp_path, 4095)
    Image.fromarray(np.full((8, 10), 1023, np.uint16)).save(tmp_path / "b" / "0.png")
    assert set(levels(load(ref), "b/0").ravel()) == {64}


def test_a_range_by_hand_counts_and_says_what_it_cuts_off(tmp_path: Path) -> None:
    ref = write_deep(tmp_path, 4095)
    dataset = load(replace(ref, value_range=(100, 3100)))
    assert dataset.value_range == (100, 3100)
    assert notes(dataset) == [
        "12 images have values above 3,100, the end of data.value_range, which all become white"
    ]
    found = levels(dataset)
    stored = np.asarray(Image.open(tmp_path / "a" / "0.png")).astype(float)
    assert np.array_equal(found, np.floor((stored - 100).clip(0, 3000) * 255 / 3000 + 0.5))
    assert notes(load(replace(ref, value_range=(0, 65535)))) == []


def test_images_of_8_bits_have_no_range(tmp_path: Path) -> None:
    dataset = load(draw_folder(tmp_path, {"a": 6, "b": 6}))
    assert (dataset.value_range, notes(dataset)) == (None, [])


def test_another_range_is_another_dataset(tmp_path: Path) -> None:
    """The caches of resized images and of features go by the fingerprint."""
    ref = write_deep(tmp_path, 4095)
    whole, hand = (load(replace(ref, value_range=values)) for values in ((0, 65535), (0, 4000)))
    assert len({load(ref).fingerprint, whole.fingerprint, hand.fingerprint}) == 3


@pytest.mark.parametrize("shared_mb", [0.0, 100.0])
def test_a_file_is_predicted_as_it_was_trained_on(tmp_path: Path, shared_mb: float) -> None:
    ref = write_deep(tmp_path / "data", 4095)
    if shared_mb:
        ref = replace(ref, shared=str(tmp_path / "cache" / "images"), shared_mb=shared_mb)
    dataset = load(ref)
    preprocess = replace(SQUARE, value_range=dataset.value_range)
    file = tmp_path / "data" / "a" / "3.png"
    predicted = preprocess.pixels(read_pixels(file, preprocess.decoding))
    assert np.array_equal(predicted, SQUARE.pixels(levels(dataset, "a/3")))
    assert np.array_equal(predicted, preprocess.pixels(Image.open(file)))
    assert predicted.max() > 200


def test_the_record_keeps_the_range_and_reads_records_without_one() -> None:
    preprocess = replace(SQUARE, value_range=(0, 4095))
    assert Preprocess.from_dict(preprocess.as_dict()) == preprocess
    assert "value_range" not in SQUARE.as_dict()
    assert Preprocess.from_dict(SQUARE.as_dict()) == SQUARE
    with pytest.raises(ValueError, match="must rise within"):
        replace(SQUARE, value_range=(9, 9))


@pytest.mark.parametrize("values", [(0, 4095), (100, 3100), (0, 65535)])
def test_a_program_beside_an_export_opens_images_alike(
    tmp_path: Path, values: tuple[int, int]
) -> None:
    write_deep(tmp_path, 4095)
    file = tmp_path / "a" / "0.png"
    text = render("opened.py.j2", values=values, to="mode")
    told = {"Image": Image, "ImageOps": ImageOps, "np": np, "path": file, "mode": "L"}
    exec("if True:\n" + text, told)
    asked = replace(SQUARE, value_range=values).decoding
    away = np.abs(np.asarray(told["image"]).astype(int) - read_pixels(file, asked)[..., 0])
    assert away.max() <= 1  # halves are rounded to even numbers there
    assert away.mean() < 0.05


def test_images_that_cannot_be_read_are_left_to_the_reading(tmp_path: Path) -> None:
    ref = write_deep(tmp_path, 4095)
    (tmp_path / "a" / "0.png").write_bytes(b"no image")
    dataset = load(replace(ref, on_error="skip"))
    assert dataset.value_range == (0, 4095)
