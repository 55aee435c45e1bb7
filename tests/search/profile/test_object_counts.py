"""Objects and masks, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from archfront.search.profile.faults import ImageRef
from archfront.search.profile.object_counts import N_SMALLEST, MaskCounts, ObjectCounts
from archfront.trainers.data.targets import Mask, Objects


def objects(*boxes: tuple[float, float, float, float], crowd: tuple[int, ...] = ()) -> Objects:
    labels = np.arange(len(boxes)) % 2
    is_crowd = np.isin(np.arange(len(boxes)), crowd)
    return Objects(np.array(boxes, np.float32).reshape(-1, 4), labels, is_crowd)


def test_sizes_places_overlaps_and_borders_of_objects() -> None:
    counts = ObjectCounts()
    counts.add(
        ImageRef("train", "a"),
        objects(
            (0, 10, 20, 30),  # touches the left border
            (5, 10, 25, 30),  # IoU 0.6 with the one before
            (50, 40, 60, 80),
            (10, 10, 90, 90),
            crowd=(3,),
        ),
        (200, 100),
    )
    counts.add(ImageRef("train", "b"), objects(), (200, 100))
    found = counts.profile(("x", "y"))
    assert (found.per_image.n, found.per_image.max, found.per_image.p50) == (2, 3, 0)
    assert (found.side_px.min, found.side_px.max) == (20, 20)
    assert found.side_share.p50 == pytest.approx(0.1)
    assert (found.aspect.min, found.aspect.max) == (0.25, 1)
    assert found.overlap_share == pytest.approx(2 / 3)
    assert found.truncated_share == pytest.approx(1 / 3)
    assert found.crowds == 1
    assert found.side_share_per_class == {"x": pytest.approx(0.1), "y": pytest.approx(0.1)}
    assert sum(map(sum, found.places)) == 3
    assert found.places[3][0] == 1  # center (10, 20) of 200 x 100, 16 cells a side
    assert found.places[9][4] == 1  # center (55, 60)


def test_overlaps_do_not_depend_on_how_many_rows_are_compared_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corners = np.random.default_rng(0).uniform(0, 80, (50, 2))
    boxes = [(x, y, x + 20, y + 20) for x, y in corners.tolist()]
    shares = []
    for rows in (7, 512):
        monkeypatch.setattr("archfront.search.profile.object_counts.ROWS", rows)
        counts = ObjectCounts()
        counts.add(ImageRef("train", "a"), objects(*boxes), (100, 100))
        shares.append(counts.profile(("x", "y")).overlap_share)
    assert shares[0] == shares[1]
    assert 0 < shares[0] < 1


def test_the_smallest_objects_are_kept_in_order() -> None:
    counts = ObjectCounts()
    sides = np.random.default_rng(0).permutation(40) + 1
    for number, side in enumerate(sides.tolist()):
        counts.add(
            ImageRef("train", str(number)), objects((10, 10, 10 + side, 10 + side)), (100, 100)
        )
    smallest = counts.smallest(("x", "y"))
    assert [one.box[2] - 10 for one in smallest] == list(range(1, N_SMALLEST + 1))
    assert [one.image.name for one in smallest[:3]] == [
        str(np.flatnonzero(sides == side)[0]) for side in (1, 2, 3)
    ]


def test_of_equally_small_objects_the_first_ones_are_kept() -> None:
    """One behind 12 larger ones had the number of one in the next image: a TypeError."""
    counts = ObjectCounts()
    for image in range(20):
        large = [(x, 0, x + 50, 50) for x in range(N_SMALLEST)]
        counts.add(ImageRef("train", f"{image}a"), objects(*large, (60, 5, 70, 15)), (100, 100))
        counts.add(ImageRef("train", f"{image}b"), objects((0, 5, 10, 15)), (100, 100))
    found = [one.image.name for one in counts.smallest(("x", "y"))]
    assert found == [f"{number // 2}{'ab'[number % 2]}" for number in range(N_SMALLEST)]


def test_outlines_cover_their_share_of_the_pixels() -> None:
    triangle = ((0.0, 0.0, 40.0, 0.0, 0.0, 30.0),)  # 600 px
    runs = {"size": [50, 100], "counts": [10, 400, 4590]}
    boxes = np.array([(0, 0, 40, 30), (0, 0, 9, 50)], np.float32)
    shown = Objects(boxes, np.array([0, 1]), np.zeros(2, np.bool_), (triangle, runs))
    counts = ObjectCounts()
    counts.add(ImageRef("train", "a"), shown, (100, 50))
    counts.add(ImageRef("train", "b"), objects(), (100, 50))
    share = counts.profile(("x", "y")).pixel_share
    assert share == pytest.approx({"x": 600 / 10_000, "y": 400 / 10_000})


def test_pixels_of_masks_are_shared_out_among_those_that_count() -> None:
    counts = MaskCounts(3)
    indices = np.zeros((4, 10), np.uint8)
    counts.add(Mask(indices, counts=(20, 12, 0)), (10, 4), 0.25)  # 8 of 40 are ignored
    counts.add(Mask(indices, counts=(0, 0, 40)), (10, 4), 0.5)
    found = counts.profile(("sky", "road", "car"))
    assert found.pixel_share == pytest.approx({"sky": 20 / 72, "road": 12 / 72, "car": 40 / 72})
    assert found.ignored_share == pytest.approx(0.1)
    assert (found.boundary_density.min, found.boundary_density.max) == (0.25, 0.5)
    assert (found.classes_per_image.min, found.classes_per_image.max) == (1, 2)
