"""Drawn shapes: the same from the same seed, and truth that fits the pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archfront.trainers.data import READERS, load
from archfront.trainers.data.objects import rle_of
from archfront.trainers.data.readers.shapes import (
    KINDS,
    coverage,
    image_of,
    mask_of,
    read_shapes,
    scene,
)
from archfront.trainers.data.ref import Shapes
from archfront.trainers.data.targets import Labels, Mask, Objects
from archfront.trainers.errors import DataError
from tests.support import coco_oracle as oracle
from tests.support.drawn_datasets import drawn

MANY = Shapes(images=60, side=48, classes=6, objects_min=0, objects_max=4)


def polygon_area(corners: np.ndarray) -> float:
    x, y = corners.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_covered_pixels_add_up_to_the_area(kind: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        angle = rng.uniform(0, 6)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        corners = KINDS[kind]() @ turn * 17 + rng.uniform(20, 28, 2)
        assert np.linalg.norm(KINDS[kind](), axis=1).max() <= 1 + 1e-9
        covered = coverage(corners, 48)
        assert covered.sum() == pytest.approx(polygon_area(corners), rel=0.02)
        assert covered.min() >= -1e-9
        assert covered.max() <= 1 + 1e-9


def test_a_square_covers_the_share_of_each_pixel_that_lies_in_it() -> None:
    corners = np.array([[1.25, 1.0], [3.5, 1.0], [3.5, 2.5], [1.25, 2.5]])
    expected = np.zeros((4, 4))
    expected[1, 1:] = [0.75, 1, 0.5]
    expected[2, 1:] = [0.375, 0.5, 0.25]
    assert np.allclose(coverage(corners, 4), expected)


def test_the_seed_and_the_number_decide_an_image() -> None:
    same = [np.asarray(image_of(MANY, 5)) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], image_of(MANY, 6))
    assert not np.array_equal(same[0], image_of(replace(MANY, seed=1), 5))


def test_more_images_leave_the_first_as_they_were() -> None:
    few, more = (load(replace(drawn("boxes"), shapes=replace(MANY, images=n))) for n in (40, 60))
    first = {s.name: s.digest for split in few.splits.values() for s in split.samples}
    others = {s.name: s.digest for split in more.splits.values() for s in split.samples}
    assert first.items() <= others.items()


def test_shapes_are_brighter_than_their_ground() -> None:
    for index in range(20):
        inside = mask_of(MANY, index) > 0
        pixels = np.asarray(image_of(MANY, index)).mean(axis=2)
        if inside.any():
            assert np.median(pixels[inside]) > np.median(pixels[~inside]) + 30


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [False, True])
def test_every_kind_of_truth_says_the_same(overlap: bool) -> None:
    shapes = replace(MANY, overlap=overlap, objects_min=1, share_max=0.6)
    kinds = READERS["shapes"].gives
    raw = {kind: read_shapes(replace(drawn(kind), shapes=shapes)).parts["all"] for kind in kinds}
    hidden = 0
    for index in range(shapes.images):
        of = {kind: samples[index].target for kind, samples in raw.items()}
        outlines, mask = of["outlines"], of["mask"]
        assert isinstance(outlines, Objects)
        assert isinstance(mask, Mask)
        assert isinstance(of["boxes"], Objects)
        assert outlines.segments is not None
        assert np.array_equal(of["boxes"].boxes, outlines.boxes)
        assert of["labels"] == Labels(tuple(sorted(set(outlines.labels.tolist()))))
        assert of["label"] in outlines.labels
        indices = mask.indices()
        assert set(np.unique(indices)) - {0} == {label + 1 for label in outlines.labels}
        for box, label, segment in zip(
            outlines.boxes, outlines.labels, outlines.segments, strict=True
        ):
            hidden += isinstance(segment, dict)
            own = oracle.decode(rle_of(segment, 48, 48)).astype(bool)
            assert (indices[own] == label + 1).mean() > 0.8
            rows, columns = np.nonzero(own)
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(box - seen).max() < 3  # the tip of a star fills no pixel
    assert (hidden > 0) is overlap


def test_the_numbers_of_shapes_and_their_sizes_are_kept() -> None:
    shapes = replace(MANY, objects_min=2, share_min=0.2, share_max=0.3)
    scenes = [scene(shapes, index) for index in range(shapes.images)]
    assert {len(drawn) for drawn in scenes} == {2, 3, 4}
    radii = np.array([item.radius for drawn in scenes for item in drawn]) / 48
    assert 0.1 <= radii.min() < 0.105 < 0.145 < radii.max() <= 0.15


def test_the_first_class_comes_as_often_as_the_imbalance_says() -> None:
    shapes = replace(MANY, images=600, classes=3, objects_min=1, objects_max=1, imbalance=9)
    labels = [scene(shapes, index)[0].label for index in range(shapes.images)]
    counts = np.bincount(labels) / len(labels)
    assert np.abs(counts - np.array([9, 3, 1]) / 13).max() < 0.05


def test_shapes_without_a_place_are_refused() -> None:
    full = Shapes(objects_min=9, objects_max=9, share_min=0.6, share_max=0.6)
    with pytest.raises(
        DataError, match=r"no place for 9 shapes of up to 0\.6 of the side in one image"
    ):
        scene(full, 0)


def test_an_image_without_shapes_has_no_label() -> None:
    with pytest.raises(DataError, match=r"data\.shapes\.objects_min is 0, but one label"):
        read_shapes(replace(drawn("label"), shapes=MANY))
    samples = read_shapes(replace(drawn("labels"), shapes=MANY)).parts["all"]
    assert any(sample.target == Labels(()) for sample in samples)
