"""Folds of the images of train and val."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from archfront.trainers.data import DataRef, load
from archfront.trainers.data.folds import fold_places
from archfront.trainers.errors import DataError

DIGITS = DataRef("digits", None, None, False, 130, 70, 100, 0, None, "stop", 100)
N_FOLDS = 5


def test_folds_share_out_train_and_val_by_class_and_hold_each_image_once() -> None:
    whole = load(DIGITS)
    names = [name for split in ("train", "val") for name in whole.splits[split].names]
    held, fingerprints = [], set()
    for index in range(N_FOLDS):
        ref = replace(DIGITS, fold=(index, N_FOLDS))
        fold = load(ref)
        assert set(fold.splits) == {"train", "val"}
        val, train = fold.splits["val"], fold.splits["train"]
        assert (len(val), len(train)) == (40, 160)
        assert set(val.names) | set(train.names) == set(names)
        assert max(Counter(val.labels.tolist()).values()) <= 5  # of ten classes
        places = fold_places(whole, ref)
        assert [names[place] for place in places.val] == list(val.names)
        assert [names[place] for place in places.train] == list(train.names)
        held += val.names
        fingerprints.add(fold.fingerprint)
    assert sorted(held) == sorted(names)
    assert len(fingerprints | {whole.fingerprint}) == N_FOLDS + 1


def test_pixels_of_a_fold_are_not_those_of_the_split() -> None:
    """Resized images are remembered by the name of their split."""
    from archfront.trainers.data import ImageSet, Preprocess

    preprocess = Preprocess(8, 1, (0.5,), (0.5,))
    whole, fold = load(DIGITS), load(replace(DIGITS, fold=(1, N_FOLDS)))
    images = [ImageSet.of(data.splits["val"], preprocess).tensor for data in (whole, fold)]
    assert all(tensor is not None for tensor in images)
    assert [len(tensor) for tensor in images if tensor is not None] == [70, 40]
    first = fold.splits["val"].samples[0].pixels()[..., 0]
    assert np.array_equal(np.asarray(images[1])[0, 0], first)  # type: ignore[arg-type]


def test_more_folds_than_images_are_refused() -> None:
    few = replace(DIGITS, train=6, val=6, test=0)
    with pytest.raises(DataError, match="images"):
        load(replace(few, fold=(0, 20)))
