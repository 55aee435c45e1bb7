"""The search for near copies, in buckets and by all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from archfront.search.profile import near_copies
from archfront.search.profile.near_copies import Look, equal_groups, near_pairs
from tests.support.textured_images import textured


def some_images(n: int, copies: dict[int, int]) -> Look:
    """Return images of which some rows are noisy copies of others."""
    rng = np.random.default_rng(0)
    thumbs = np.stack([textured(copies.get(row, row), 32).mean(axis=2) for row in range(n)])
    for row in copies:
        thumbs[row] += rng.normal(0, 1, (32, 32))
    means = np.full((n, 3), 0.5, np.float32)
    return Look(thumbs.clip(0, 255).astype(np.uint8), means, np.full(n, 200))


def test_equal_keys_are_grouped_in_their_order() -> None:
    assert equal_groups(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]


def test_buckets_find_the_copies_that_all_pairs_find(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = {200 + row: row for row in range(40)}
    images = some_images(240, copies)
    expected = [(row, 200 + row) for row in range(40)]
    assert near_pairs(images, range(240)) == expected
    monkeypatch.setattr(near_copies, "ALL_PAIRS", 10)
    assert near_pairs(images, range(240)) == expected


def test_only_the_rows_that_are_asked_for_are_compared() -> None:
    images = some_images(60, {50: 1, 51: 2})
    assert near_pairs(images, [*range(50), 51]) == [(2, 51)]


@pytest.mark.parametrize("shorter", [8, 47])
def test_images_of_few_pixels_are_not_called_near(shorter: int) -> None:
    images = some_images(20, {10: 1})
    assert near_pairs(images, range(20)) == [(1, 10)]
    small = Look(images.thumbs, images.means, np.full(20, shorter))
    assert near_pairs(small, range(20)) == []


def test_images_that_agree_in_one_strong_edge_alone_are_no_copies() -> None:
    """Drawn circles of one size and place, on grounds that differ, were called copies."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    circle = np.hypot(x - 15.5, y - 15.5) < 9
    grounds = 60 + rng.normal(0, 5, (20, 32, 32))
    thumbs = np.where(circle, 220 + rng.normal(0, 5, (20, 32, 32)), grounds).astype(np.uint8)
    images = Look(thumbs, np.full((20, 3), 0.5, np.float32), np.full(20, 200))
    assert near_pairs(images, range(20)) == []
    thumbs[7] = np.clip(thumbs[3] + rng.normal(0, 1, (32, 32)), 0, 255)
    assert near_pairs(images, range(20)) == [(3, 7)]


def test_images_of_another_tint_are_no_copies() -> None:
    images = some_images(20, {10: 1})
    means = images.means.copy()
    means[10] = (0.7, 0.5, 0.3)
    assert near_pairs(Look(images.thumbs, means, images.shorter), range(20)) == []
