from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from trainers.data.split import split_sizes, stratified
from trainers.errors import DataError


def test_shares_that_add_up_to_one_use_every_image() -> None:
    for n_images in range(3, 200):
        sizes = split_sizes(n_images, {"train": 0.7, "val": 0.2, "test": 0.1})
        assert sum(sizes.values()) == n_images


def test_shares_and_counts_can_be_mixed_and_may_leave_images_out() -> None:
    assert split_sizes(100, {"train": 0.5, "val": 20}) == {"train": 50, "val": 20}


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5])
def test_a_size_that_is_neither_share_nor_count_is_refused(value: float) -> None:
    with pytest.raises(DataError, match=r"data\.val is .*; it must be a share between 0 and 1"):
        split_sizes(100, {"train": 0.5, "val": value})


def test_more_images_than_there_are_is_refused_with_the_sum() -> None:
    message = r"train 600 \+ val 500 = 1,100 images, but there are 1,000\. Lower data\.train or"
    with pytest.raises(DataError, match=message):
        split_sizes(1000, {"train": 600, "val": 500})


@pytest.mark.parametrize("seed", range(30))
def test_a_stratified_split_has_exact_sizes_and_is_near_proportional(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_classes, n_splits = int(rng.integers(2, 12)), int(rng.integers(2, 4))
    labels = np.repeat(np.arange(n_classes), rng.integers(n_splits + 9, 80, n_classes))
    rng.shuffle(labels)
    asked = rng.integers(n_classes, len(labels) // n_splits, n_splits).tolist()

    splits = stratified(labels, asked, seed=seed)

    assert [len(indices) for indices in splits] == asked
    everything = np.concatenate(splits)
    assert len(set(everything.tolist())) == len(everything)
    for indices, size in zip(splits, asked, strict=True):
        assert (np.diff(indices) > 0).all()
        counts = np.bincount(labels[indices], minlength=n_classes)
        quota = size * np.bincount(labels) / len(labels)
        assert counts.min() >= 1
        assert np.abs(counts - np.maximum(quota, 1)).max() < 2


def test_a_split_that_divides_evenly_is_exactly_proportional() -> None:
    labels = np.repeat([0, 1, 2], [40, 20, 60])
    train, val, test = stratified(labels, [60, 30, 30], seed=3)
    assert Counter(labels[train].tolist()) == {0: 20, 1: 10, 2: 30}
    assert Counter(labels[val].tolist()) == Counter(labels[test].tolist()) == {0: 10, 1: 5, 2: 15}


def test_the_smallest_class_that_can_be_split_gives_one_image_to_each() -> None:
    labels = np.array([0] * 100 + [1] * 3)
    splits = stratified(labels, [83, 10, 10], seed=0)
    assert [int((labels[indices] == 1).sum()) for indices in splits] == [1, 1, 1]


def test_the_seed_decides_the_members_and_nothing_else() -> None:
    labels = np.repeat(np.arange(5), 20)
    first, again, other = (stratified(labels, [50, 30], seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert np.array_equal(np.bincount(labels[first[0]]), np.bincount(labels[other[0]]))


def test_a_split_smaller_than_the_number_of_classes_is_refused() -> None:
    with pytest.raises(DataError, match="A split of 4 images cannot hold one of each of the 5"):
        stratified(np.repeat(np.arange(5), 20), [50, 4], seed=0)


def test_a_class_smaller_than_the_number_of_splits_is_refused() -> None:
    with pytest.raises(DataError, match="A class with 2 images cannot be split 3 ways"):
        stratified(np.array([0, 0, 0, 1, 1]), [2, 2, 1], seed=0)
