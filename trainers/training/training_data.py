"""The images and targets that a training reads, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data import DataRef, ImageSet, Preprocess, Samples, load
from archfront.trainers.data.disk_cache import DiskCache
from archfront.trainers.data.folds import Places, fold_places
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks.protocol import Evaluator, Task
from archfront.trainers.training.scoring import check_data

FEATURES_SHARE = 0.25  # of the memory, for the features of a frozen backbone


@dataclass(frozen=True, eq=False)
class Whole:
    """The dataset that a fold was made of, for what is known of its images already.

    Attributes:
        fold: Reference of the fold.
        architecture: Of the network.
        weights: Its first weights.
        task: Its task.
    """

    fold: DataRef
    architecture: Architecture
    weights: Weights
    task: Task

    @cached_property
    def data(self) -> TrainingData:
        """Return the training and validation images."""
        ref = replace(self.fold, fold=None)
        return TrainingData.of(ref, self.architecture, self.weights, self.task)

    @cached_property
    def places(self) -> Places:
        """Return where the images of the fold are among them."""
        return fold_places(load(replace(self.fold, fold=None)), self.fold)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The training and validation images of a network, at its size.

    Attributes:
        splits: ``train`` and ``val``.
        preprocess: Of their images.
        samples: What the splits were made of.
        class_names: Names by label.
        fingerprint: Of the dataset.
        features_bytes: What features of the images may take in memory.
        disk_cache: Where the processes of this machine share what they compute; None for nowhere.
        whole: Of a fold, what it was made of.
    """

    splits: dict[str, ImageSet]
    preprocess: Preprocess
    samples: dict[str, Samples]
    class_names: tuple[str, ...]
    fingerprint: str
    features_bytes: float
    disk_cache: DiskCache | None
    whole: Whole | None = None

    @classmethod
    def of(cls, data: DataRef, architecture: Architecture, weights: Weights, task: Task) -> Self:
        """Return the data of a network.

        Raises:
            DataError: If the data cannot be read, or has other classes or channels.
        """
        dataset = load(data)
        check_data(dataset, architecture)
        plain = preprocess_for(architecture, weights, task.resize)
        preprocess = replace(plain, tiling=dataset.tiling)
        samples = {name: dataset.splits[name] for name in ("train", "val")}
        root, limit = data.shared, int(data.shared_mb * 1e6)
        return cls(
            splits={
                "train": ImageSet.to_learn(samples["train"], preprocess),
                "val": ImageSet.of(samples["val"], preprocess),
            },
            preprocess=preprocess,
            samples=samples,
            class_names=dataset.class_names,
            fingerprint=dataset.fingerprint,
            features_bytes=data.memory_mb * 1e6 * FEATURES_SHARE,
            disk_cache=None if root is None else DiskCache(Path(root), limit),
            whole=None if data.fold is None else Whole(data, architecture, weights, task),
        )

    def labels(self, task: Task) -> NDArray[np.int64] | None:
        """Return the label of each training image; None where images have no single one."""
        return self.samples["train"].labels if task.target == "label" else None

    def new_evaluator(self, task: Task) -> partial[Evaluator]:
        """Return what makes evaluators of the validation split."""
        val = self.samples["val"].samples
        return partial(task.evaluator, val, self.class_names, self.preprocess)
