"""One pass over images, against Pillow and numpy on whole images."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archfront.search.profile.gather import gather
from archfront.search.profile.look import look
from archfront.trainers.data.image_files import DEFAULT
from archfront.trainers.data.raw import RawSample
from archfront.trainers.data.readers import read_raw
from archfront.trainers.data.ref import Shapes
from archfront.trainers.data.shrunk import read_shrunk
from archfront.trainers.data.targets import Mask, Objects
from archfront.trainers.errors import DataError
from tests.support.drawn_images import REF
from tests.support.textured_images import clean_folder, profiled, save, textured


def test_the_numbers_of_images_are_those_of_their_pixels(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path, n=6)
    files = sorted(tmp_path.rglob("*.png"))
    save(files[0], textured(1, 64)[:48])
    pixels = [np.asarray(Image.open(file), np.float64) / 255 for file in files]
    images = gather(read_raw(ref), DEFAULT).images
    mean = np.mean([image.mean(axis=(0, 1)) for image in pixels], axis=0)
    square = np.mean([(image**2).mean(axis=(0, 1)) for image in pixels], axis=0)
    assert images.mean == pytest.approx(mean.tolist())
    assert images.std == pytest.approx(np.sqrt(square - mean**2).tolist())
    assert (images.width.max, images.width.p50, images.height.max) == (64, 48, 48)
    assert images.aspect.max == pytest.approx(64 / 48)
    assert (images.channels, images.grey_share) == (3, 0)
    assert (images.bit_depths, images.formats) == ({"8": 12}, {"PNG": 12})
    bits = [
        8 * f.stat().st_size / (p.shape[0] * p.shape[1])
        for f, p in zip(files, pixels, strict=True)
    ]
    assert images.bits_per_pixel.mean == pytest.approx(np.mean(bits))


def test_entropy_and_edges_are_known_of_simple_images() -> None:
    halves = np.zeros((16, 16, 1), np.uint8)
    halves[:, 8:] = 200
    found = look(RawSample(halves, 0, "halves"), 2, DEFAULT).facts
    assert found is not None
    assert found.entropy == pytest.approx(1)  # two values alike often
    assert found.edges == pytest.approx(1 / 16)  # one column of sixteen
    flat = look(RawSample(np.full((9, 9, 1), 7, np.uint8), 0, "flat"), 2, DEFAULT).facts
    assert flat is not None
    assert (flat.entropy, flat.edges) == (0, 0)
    assert flat.means == pytest.approx((7 / 255,) * 3)


def test_the_boundary_of_a_mask_leaves_out_ignored_pixels() -> None:
    indices = np.zeros((10, 10), np.uint8)
    indices[:, 5:] = 1
    indices[:5, 4:6] = 255
    sample = RawSample(np.zeros((10, 10, 1), np.uint8), Mask(indices), "mask")
    found = look(sample, 2, DEFAULT).facts
    assert found is not None
    assert found.boundary == pytest.approx(5 / 100)


def test_the_boundary_of_outlines_is_that_of_the_drawn_objects() -> None:
    """Two squares of 3 px that touch, and a crowd whose border does not count."""
    squares = [((x, 2, x + 3, 2, x + 3, 5, x, 5),) for x in (1, 4, 8)]
    boxes = np.array([(x, 2, x + 3, 5) for x in (1, 4, 8)], np.float32)
    labels, crowd = np.zeros(3, np.int64), np.array([False, False, True])
    target = Objects(boxes, labels, crowd, tuple(squares))
    sample = RawSample(np.zeros((10, 12, 1), np.uint8), target, "outlines")
    found = look(sample, 2, DEFAULT).facts
    assert found is not None
    # Above them and below 6 pixels each, beside them 3 on the left, between both and on the right;
    # the one at the lower right corner of each square counts once.
    assert found.boundary == pytest.approx((6 + 6 + 3 + 3 + 3 - 2) / 120)
    encoded = {"size": [9, 12], "counts": [50, 3, 55]}  # of another image
    other = replace(target.only([0]), segments=(encoded,))
    found = look(replace(sample, target=other), 2, DEFAULT).facts
    assert found is not None
    assert found.boundary is None


@pytest.mark.parametrize(("kind", "name"), [("jpg", "JPEG"), ("png", "PNG")])
def test_a_large_image_is_looked_at_in_small_and_told_in_full(
    tmp_path: Path, kind: str, name: str
) -> None:
    file = tmp_path / f"large.{kind}"
    pixels = np.repeat(np.repeat(textured(3, 100), 12, axis=0), 16, axis=1)
    save(file, pixels)
    found = read_shrunk(file, 256, DEFAULT)
    assert (found.width, found.height, found.format) == (
        1600,
        1200,
        {"jpg": "JPEG"}.get(kind, "PNG"),
    )
    assert found.pixels.shape == (192, 256, 3)
    whole = np.asarray(Image.open(file).resize((256, 192), Image.Resampling.BOX))
    assert np.abs(found.pixels.astype(int) - whole).mean() < 2


@pytest.mark.parametrize("size", [(3000, 10), (10, 3000)])
def test_a_jpeg_file_however_long_is_looked_at(tmp_path: Path, size: tuple[int, int]) -> None:
    """The decoder was asked for a height of 0 pixels and divided by it."""
    file = tmp_path / "long.jpg"
    Image.new("RGB", size, (90, 120, 150)).save(file)
    found = read_shrunk(file, 256, DEFAULT)
    assert (found.width, found.height) == size
    assert found.pixels.shape == ((1, 256, 3) if size[0] > size[1] else (256, 1, 3))


def test_a_turned_image_has_the_size_that_it_is_shown_at(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "turned.jpg"
    Image.fromarray(textured(0, 600)[:300]).save(file, exif=exif)
    found = read_shrunk(file, 100, DEFAULT)
    assert (found.width, found.height) == (300, 600)
    assert found.pixels.shape == (100, 50, 3)


def test_sixteen_bits_are_told(tmp_path: Path) -> None:
    file = tmp_path / "deep.png"
    Image.fromarray((np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8)).save(file)
    found = read_shrunk(file, 256, DEFAULT)
    assert found.bits == 16
    assert found.pixels.shape == (8, 8, 1)


def test_a_large_file_that_ends_too_soon_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    save(file, textured(0, 800))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DataError, match="truncated"):
        read_shrunk(file, 100, DEFAULT)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_images_come_in_their_order_whatever_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    done: list[tuple[int, int]] = []
    ref = clean_folder(tmp_path, n=40)
    found = gather(read_raw(ref), DEFAULT, lambda n, total: done.append((n, total)))
    assert [entry.name for entry in found.entries] == [
        f"{name}/{index:03d}.png" for name in "ab" for index in range(40)
    ]
    assert done == [(n, 80) for n in range(1, 81)]


def test_the_profile_of_drawn_boxes_counts_what_was_drawn() -> None:
    shapes = Shapes(images=40, objects_max=4)
    ref = replace(REF, reader="shapes", target="boxes", shapes=shapes)
    profile = profiled(ref, "detection")
    drawn = [sample.target for sample in read_raw(ref).parts["all"]]
    n = sum(map(len, drawn))  # type: ignore[arg-type]
    assert profile.objects is not None
    assert profile.objects.side_px.n == n == sum(profile.per_class.values())
    assert profile.counted == "objects"
    assert {name: split.images for name, split in profile.splits.items()} == {
        "train": 20,
        "val": 10,
        "test": 10,
    }
    counts = profile.per_class
    assert profile.balance.imbalance == pytest.approx(max(counts.values()) / min(counts.values()))


def test_balance_has_the_effective_numbers_of_the_training_split(tmp_path: Path) -> None:
    ref = replace(clean_folder(tmp_path, n=8), train=8, val=4, test=4)
    balance = profiled(ref).balance
    assert (balance.imbalance, balance.evenness) == (1, pytest.approx(1))
    expected = (1 - 0.9999**4) / (1 - 0.9999)
    assert balance.effective == pytest.approx({"a": expected, "b": expected})
    assert expected < 4
    assert math.isclose(expected, 4, rel_tol=1e-3)


def test_splits_that_are_lacking_are_made_of_train_whatever_the_order(tmp_path: Path) -> None:
    for split, first in (("test", 0), ("train", 100)):
        for index in range(12):
            save(tmp_path / split / "ab"[index % 2] / f"{index}.png", textured(first + index))
    profile = profiled(replace(REF, root=str(tmp_path)))
    assert {name: split.images for name, split in profile.splits.items()} == {
        "train": 8,
        "val": 4,
        "test": 12,
    }


def test_data_of_which_no_training_image_can_be_used_says_so(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for index in range(4):
            file = tmp_path / split / "ab"[index % 2] / f"{index}.png"
            save(file, textured(index))
            if split == "train":
                file.write_text("no image")
    profile = profiled(replace(REF, root=str(tmp_path)))
    assert profile.division == "not divided: no image of train can be used"
    assert list(profile.splits) == ["test"]
    assert profile.faults[0].kind == "broken files"


def test_data_with_too_few_images_of_each_class_says_so(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / name / "0.png", textured(ord(name)))
    profile = profiled(replace(REF, root=str(tmp_path)))
    assert profile.division == "not divided: no class has enough images"
    assert [fault.kind for fault in profile.faults] == ["unusable classes"]
    assert profile.n_images == 2


def test_a_few_images_of_another_kind_are_the_least_like_the_others(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path, n=30)
    for index in range(3):
        bright = 200 + textured(500 + index) // 6
        save(tmp_path / "a" / f"9{index}.png", bright)
    unlike = profiled(ref).examples.unlike
    assert {image.name for image in unlike[:3]} == {f"a/9{index}.png" for index in range(3)}
