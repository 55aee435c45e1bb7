from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from archfront.trainers.data.split import completed, split_sizes, strata_of, stratified
from archfront.trainers.errors import DataError


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


def shown_classes(seed: int) -> list[dict[int, int]]:
    """Return what images show of up to 8 classes, some of them rare; some images show nothing."""
    rng = np.random.default_rng(seed)
    n_classes, n_images = int(rng.integers(2, 9)), int(rng.integers(60, 200))
    chances = rng.uniform(0.03, 0.7, n_classes)
    return [
        {
            int(label): int(rng.integers(1, 9))
            for label in np.flatnonzero(rng.random(n_classes) < chances)
        }
        for _ in range(n_images)
    ]


class TestImagesOfSeveralClasses:
    @pytest.mark.parametrize("seed", range(60))
    def test_every_class_with_enough_images_is_in_every_split(self, seed: int) -> None:
        shown = shown_classes(seed)
        n = len(shown)
        sizes = [n - 2 * (n // 5), n // 5, n // 5]
        splits = completed(stratified(strata_of(shown, 3), sizes, seed=seed), shown)
        assert [len(indices) for indices in splits] == sizes
        assert sorted(np.concatenate(splits).tolist()) == list(range(n))
        members = Counter(label for image in shown for label in image)
        for indices in splits:
            assert (np.diff(indices) > 0).all()
            present = {label for i in indices for label in shown[i]}
            assert {label for label, count in members.items() if count >= 3} <= present

    def test_the_rarest_class_of_an_image_decides_where_it_goes(self) -> None:
        shown = [{0: 1}] * 6 + [{0: 1, 1: 5}] * 3 + [{}] * 4
        assert strata_of(shown, 3).tolist() == [0] * 6 + [1] * 3 + [-1] * 4

    def test_labels_are_their_own_strata(self) -> None:
        labels = np.repeat([4, 0, 2], [9, 5, 3])
        assert strata_of([{int(label): 1} for label in labels], 3).tolist() == labels.tolist()

    def test_classes_of_too_few_images_go_with_the_next_rarest(self) -> None:
        shown = [{0: 1}] * 9 + [{1: 1}] * 4 + [{2: 1}]
        assert strata_of(shown, 3).tolist() == [0] * 9 + [1] * 5

    def test_too_few_images_that_show_nothing_go_with_others(self) -> None:
        assert strata_of([{0: 1}] * 9 + [{}], 3).tolist() == [0] * 10

    def test_a_split_that_lacks_a_class_gets_it_by_a_swap(self) -> None:
        shown = [{0: 1, 1: 1}, {0: 1, 1: 1}, {0: 1}, {0: 1}, {0: 1}]
        one, other = completed([np.array([0, 1, 2]), np.array([3, 4])], shown)
        assert (len(one), len(other)) == (3, 2)
        assert len({0, 1} & set(one.tolist())) == len({0, 1} & set(other.tolist())) == 1

    def test_splits_that_have_every_class_are_left_as_they_are(self) -> None:
        splits = stratified(np.repeat([0, 1], 20), [20, 10], seed=0)
        again = completed(splits, [{0: 1}] * 20 + [{1: 1}] * 20)
        assert all(np.array_equal(a, b) for a, b in zip(splits, again, strict=True))


def test_splits_by_shares_are_enlarged_to_what_they_need_at_least() -> None:
    thirds = {"train": 0.7, "val": 0.15, "test": 0.15}
    assert split_sizes(48, thirds, least=12) == {"train": 24, "val": 12, "test": 12}
    assert split_sizes(6, thirds, least=2) == {"train": 2, "val": 2, "test": 2}
    assert split_sizes(100, thirds, least=12) == {"train": 70, "val": 15, "test": 15}


def test_numbers_of_images_are_never_enlarged() -> None:
    assert split_sizes(48, {"train": 30, "val": 5, "test": 5}, least=12)["val"] == 5


def test_splits_that_cannot_be_enlarged_are_left_as_asked() -> None:
    assert split_sizes(20, {"train": 0.8, "val": 0.2}, least=12) == {"train": 16, "val": 4}
