"""Input sizes follow the sides of images and objects where the configuration leaves them open."""

from __future__ import annotations

from itertools import pairwise

import pytest

from archfront.search.prepare.input_sizes import (
    CLASSIFY_AT_MOST,
    ENLARGED_AT_MOST,
    LADDER,
    LOCATE_AT_MOST,
    Side,
    classifying_sizes,
    locating_sizes,
)

LONGEST = (4, 8, 20, 28, 32, 48, 64, 96, 100, 150, 224, 300, 640, 4000)


@pytest.mark.parametrize(
    ("longest", "is_transfer", "sizes"),
    [
        (28, False, (16, 20, 28, 32)),  # 28 as they are, 32 for what takes multiples of 32 only
        (32, False, (16, 24, 32)),
        (100, False, (48, 64, 96)),
        (150, False, (80, 112, 128, 150)),
        (640, False, (112, 160, 224)),
        (28, True, (64, 80, 112)),
        (32, True, (64, 96, 128)),
        (48, True, (64, 96, 128, 192)),
        (300, True, (80, 112, 160, 224)),
    ],
)
def test_sizes_of_whole_images(longest: int, is_transfer: bool, sizes: tuple[int, ...]) -> None:
    assert classifying_sizes(Side(longest), is_transfer=is_transfer).sizes == sizes


@pytest.mark.parametrize("longest", LONGEST)
def test_images_are_not_enlarged_from_scratch_and_at_most_four_times_with_weights(
    longest: int,
) -> None:
    scratch = classifying_sizes(Side(longest), is_transfer=False).sizes
    transfer = classifying_sizes(Side(longest), is_transfer=True).sizes
    assert scratch[-1] <= max(min(longest, CLASSIFY_AT_MOST) * 32 / 28, LADDER[0])
    assert transfer[-1] <= max(min(ENLARGED_AT_MOST * longest, CLASSIFY_AT_MOST), 16)
    assert 1 <= len(scratch) <= 4
    assert 3 <= len(transfer) <= 4
    assert transfer == tuple(sorted(set(transfer)))


def test_the_reason_names_the_images_and_why_they_are_enlarged() -> None:
    small = classifying_sizes(Side(32), is_transfer=True).reason
    large = classifying_sizes(Side(500), is_transfer=True).reason
    assert small == (
        "the images' longer side is 32 px (median), and pretrained networks gain from larger ones"
    )
    assert large == "the images' longer side is 500 px (median)"


@pytest.mark.parametrize("longest", [side for side in LONGEST if side >= 32])
@pytest.mark.parametrize("small_object", [None, 0.01, 0.05, 0.3])
def test_sizes_of_objects_are_multiples_of_32_up_to_the_images_own(
    longest: int, small_object: float | None
) -> None:
    sizes = locating_sizes(Side(longest, small_object, 4), cells=2.0).sizes
    assert all(size % 32 == 0 for size in sizes)
    assert longest - 1 <= sizes[-1] < longest + 32 or sizes[-1] == LOCATE_AT_MOST
    assert 3 <= len(sizes) <= 6 or sizes[-1] <= 64
    assert all(b / a <= 1.75 for a, b in pairwise(sizes) if a >= 64)


def test_small_objects_raise_the_smallest_size_to_where_they_cover_cells() -> None:
    large = locating_sizes(Side(640, 0.3, 4), cells=2.0)
    small = locating_sizes(Side(640, 0.025, 4), cells=2.0)
    assert large.sizes == (160, 224, 256, 320, 416, 512)
    assert small.sizes == (320, 416, 512)
    assert small.reason.endswith("small objects cover 2.5% of it")
    assert 0.025 * small.sizes[0] == pytest.approx(2 * 4)


def test_objects_too_small_for_any_size_leave_the_larger_ones() -> None:
    assert locating_sizes(Side(640, 0.001, 4), cells=2.0).sizes == (384, 416, 512)
