"""Trainings on tiles, judged on whole images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archfront.trainers.data import DataRef, load
from archfront.trainers.data.ref import Shapes
from archfront.trainers.data.targets import Mask
from archfront.trainers.spec import Recipe, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.proxy import train
from archfront.trainers.training.scoring import score
from tests.trainers.tasks.test_tasks import architecture
from tests.trainers.training.test_resume import settings

RECIPE = Recipe(lr=5e-3, weight_decay=0.05, batch_size=4, augment="light", dropout=0.0)
LOCATED = [name for name, task in TASKS.items() if not task.is_image_level]


def shapes(task: str) -> DataRef:
    """Return drawn images of 80 px with shapes of 10 px, in tiles of 48 px."""
    n_shapes = 3 if TASKS[task].target == "mask" else 4
    drawn = Shapes(
        images=10, side=80, classes=n_shapes, objects_max=4, share_min=0.12, share_max=0.13
    )
    plain = DataRef("shapes", None, None, False, 4, 4, 2, 0, None, "stop", 100)
    return replace(plain, target=TASKS[task].target, shapes=drawn, tiles=48, tile_overlap=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("task", LOCATED)
def test_a_network_learns_from_tiles_and_is_judged_on_images(task: str, tmp_path: Path) -> None:
    data, a = shapes(task), architecture(task)
    asked = replace(settings(task, 1), horizon=1)
    found = train(a, Weights(), RECIPE, data, asked, folder=tmp_path)
    dataset = load(data)
    samples = dataset.splits["val"].samples
    with np.load(found.predictions) as saved:
        assert len(saved["images"]) == len(samples) == 4
        if task == "semantic":
            for confusion, sample in zip(saved["confusion"], samples, strict=True):
                assert isinstance(sample.target, Mask)
                assert confusion.sum() == sum(sample.target.counts)
        else:
            assert saved["images"].tolist() == [[80, 80]] * 4
            assert saved["found_boxes"].max(initial=0) <= 80
            n_true = sum(len(sample.target) for sample in samples)
            assert len(saved["true_labels"]) == n_true
    again, _ = score(a, found.weights, data, split="val", preprocess_of=Weights(), threads=1)
    assert again == pytest.approx(found.metrics)
    on_train, predictions = score(
        a, found.weights, data, split="train", preprocess_of=Weights(), threads=1
    )
    assert len(predictions["images"]) == 4
    assert set(on_train) >= {settings(task, 1).metric}
