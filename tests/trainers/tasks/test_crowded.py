"""Crowded images: as many objects as asked for are found, and all of them are counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archfront.trainers.data.targets import Objects
from archfront.trainers.data.verify import Sample
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.spec import Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges.resampled_ap import resampled_ap
from tests.trainers.tasks.test_tasks import architecture

SIDE, N = 64, 144
DENSE = [(task, head) for task in ("detection", "instance") for head in TASKS[task].heads]


def crowd() -> Sample:
    """Return an image with 12 x 12 objects of one class, apart from each other."""
    corners = np.stack(np.meshgrid(np.arange(12), np.arange(12)), axis=-1).reshape(-1, 2) * 5.0
    boxes = np.concatenate([corners, corners + 4], axis=1).astype(np.float32)
    objects = Objects(boxes, np.zeros(N, np.int64), np.zeros(N, np.bool_))
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    return Sample(pixels, objects, "crowd", SIDE, SIDE, is_grey=True, digest="0")


@pytest.mark.parametrize(("n_found", "recall"), [(100, 100 / 144), (150, 1.0)])
def test_the_metric_counts_all_that_a_network_can_find(n_found: int, recall: float) -> None:
    task, a = TASKS["detection"], architecture("detection", input_size=SIDE, detections=n_found)
    sample = crowd()
    assert isinstance(sample.target, Objects)
    evaluator = task.evaluator([sample], ["cell"], preprocess_for(a, Weights(), task.resize))
    rows = torch.zeros(1, n_found, 6)
    k = min(N, n_found)
    rows[0, :k, :4] = torch.from_numpy(sample.target.boxes[:k])
    rows[0, :k, 4] = torch.linspace(0.9, 0.5, k)
    evaluator.update({"detections": rows})
    found = evaluator.metrics()
    assert found["map50"] == pytest.approx(recall, abs=0.01)
    again = resampled_ap("map50", evaluator.saved_predictions())(np.ones((1, 1)))
    assert again == pytest.approx([found["map50"]])


@pytest.mark.parametrize(("task", "head"), DENSE)
def test_every_head_finds_as_many_as_asked_for(task: str, head: str) -> None:
    kind, a = TASKS[task], architecture(task, head=head, detections=120)
    outputs = kind.deploy_module(kind.build(a, Weights()))(kind.example(a, 2, 0))
    named = dict(zip(kind.output_names, outputs, strict=True))
    assert named["detections"].shape == (2, 120, 6)
    if task == "instance":
        assert named["masks"].shape[:2] == (2, 120)
    losses = kind.training_step(
        kind.build(a, Weights()),
        (kind.example(a, 2, 0), kind.example_targets(a, 2, 0)),
        None,  # type: ignore[arg-type]  # detectors look at no settings
    )
    assert all(bool(torch.isfinite(loss)) for loss in losses.values())


def test_the_usual_number_does_not_change_the_ids_of_earlier_networks() -> None:
    a = architecture("detection")
    assert "detections" not in a.as_dict()
    assert architecture("detection", detections=150).as_dict()["detections"] == 150
