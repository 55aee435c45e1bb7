"""Folds: training and validation images put together and divided anew, for cross-validation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data.divide import divided
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.samples import Dataset, Samples

# The splits that folds are made of, in this order.
POOLED = ("train", "val")


@dataclass(frozen=True, eq=False)
class Places:
    """Where the images of a fold are among those of ``POOLED``, one split after the other.

    Attributes:
        train: Of the images of all other folds, ``(N,)``.
        val: Of the images of the fold, ``(M,)``.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]


def fold_places(dataset: Dataset, ref: DataRef) -> Places:
    """Return the images of one fold and those of the others, each in the order of the dataset.

    Every class is shared out in proportion, and groups stay whole, as in other splits. Folds
    depend on the images, ``ref.split_seed``, ``ref.group`` and their number only.

    Args:
        dataset: Whole.
        ref: Which fold, and by what the images are divided.

    Raises:
        DataError: If there are too few images, or groups, for so many folds.
    """
    assert ref.fold is not None
    index, n_folds = ref.fold
    samples = [sample for split in POOLED for sample in dataset.splits[split].samples]
    place = {id(sample): number for number, sample in enumerate(samples)}
    plan = {f"fold {number}": 1 / n_folds for number in range(n_folds)}
    folds = divided({"all": samples}, plan, seed=ref.split_seed, group=ref.group)
    val = sorted(place[id(sample)] for sample in folds[f"fold {index}"])
    train = sorted(set(range(len(samples))) - set(val))
    return Places(np.array(train, np.int64), np.array(val, np.int64))


def folded(dataset: Dataset, ref: DataRef) -> Dataset:
    """Return a dataset with a fold in the place of ``val``, all others as ``train``, and no test.

    Raises:
        DataError: If there are too few images, or groups, for so many folds.
    """
    assert ref.fold is not None
    places = fold_places(dataset, ref)
    samples = [sample for split in POOLED for sample in dataset.splits[split].samples]
    like = dataset.splits["train"]
    word = f"fold{ref.fold[0]}of{ref.fold[1]}"
    splits = {
        name: Samples(
            f"{name}-{word}", tuple(samples[row] for row in rows), like.cache, like.classes
        )
        for name, rows in (("train", places.train), ("val", places.val))
    }
    content = f"{dataset.fingerprint} {word} {ref.split_seed} {ref.group}"
    return replace(
        dataset,
        splits=splits,
        fingerprint=hashlib.sha256(content.encode()).hexdigest()[:16],
        division=f"fold {ref.fold[0] + 1} of {ref.fold[1]} of train and val",
    )
