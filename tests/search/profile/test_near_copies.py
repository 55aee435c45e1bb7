"""The search for near copies, in buckets and by all pairs."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

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


def camera_images(n: int, copies: dict[int, int]) -> Look:
    """Return images of one fixed camera, which are near each other, some rows being copies."""
    rng = np.random.default_rng(0)
    scene = textured(0, 32).mean(axis=2)
    y, x = np.mgrid[:32, :32]
    thumbs = np.empty((n, 32, 32))
    for row in range(n):
        thumbs[row] = scene + rng.normal(0, 3, (32, 32))
        for down, across in rng.uniform(4, 28, (3, 2)):
            thumbs[row][np.hypot(y - down, x - across) < 3] += rng.normal(0, 25)
    for row, of in copies.items():
        thumbs[row] = thumbs[of] * 0.95 + 4 + rng.normal(0, 1, (32, 32))
    means = np.full((n, 3), 0.5, np.float32)
    return Look(thumbs.clip(0, 255).astype(np.uint8), means, np.full(n, 200))


@pytest.mark.parametrize("all_pairs", [10, 2048])
def test_copies_among_images_of_a_fixed_camera_are_found(
    monkeypatch: pytest.MonkeyPatch, all_pairs: int
) -> None:
    """Each was compared with the first of those near it, of a few hundred that are."""
    monkeypatch.setattr(near_copies, "ALL_PAIRS", all_pairs)
    copies = {400 + row: 7 * row for row in range(40)}
    found = near_pairs(camera_images(440, copies), range(440))
    assert found == [(7 * row, 400 + row) for row in range(40)]


@pytest.mark.parametrize("block", [32, 256])
def test_candidates_are_the_nearest_rows_before_each(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Their number grew with the square of the images of one camera."""
    monkeypatch.setattr(near_copies, "BLOCK", block)
    images = camera_images(300, {})
    vectors, _ = near_copies._coarse(images.thumbs, np.arange(300))
    alike = vectors.astype(np.float32) @ vectors.T.astype(np.float32)
    expected = [
        (first, second)
        for second in range(300)
        for first in np.argsort(-alike[second, :second])[: near_copies.PARTNERS].tolist()
        if alike[first, second] > near_copies.NEAR
    ]
    least = np.full(300, near_copies.NEAR, np.float32)
    found = near_copies._candidates(vectors, least)
    assert list(map(tuple, found.tolist())) == sorted(expected)
    assert len(found) > 1000


def test_only_the_rows_that_are_asked_for_are_compared() -> None:
    images = some_images(60, {50: 1, 51: 2})
    assert near_pairs(images, [*range(50), 51]) == [(2, 51)]


def test_of_small_images_copies_are_told_and_likenesses_are_not() -> None:
    """All zeros of 8 px are alike; JPEG copies of quality 90 differ by up to 15 levels."""
    from sklearn.datasets import load_digits

    digits = (load_digits().images[:300] * 255 / 16).astype(np.uint8)
    copies = [_jpeg(pixels, 90) for pixels in digits[:40]]
    faint = 128 + np.random.default_rng(0).normal(0, 4, (40, 8, 8)).astype(np.int64)
    every = [*digits, *copies, *faint.astype(np.uint8)]
    thumbs = np.stack([np.kron(pixels, np.ones((4, 4), np.uint8)) for pixels in every])
    n = len(thumbs)
    images = Look(thumbs, np.full((n, 3), 0.5, np.float32), np.full(n, 8))
    assert near_pairs(images, range(n)) == [(row, 300 + row) for row in range(40)]
    assert np.abs(thumbs[:40].astype(int) - thumbs[300:340]).max() > 8


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


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
