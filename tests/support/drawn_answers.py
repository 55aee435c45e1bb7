"""Evaluators of every task that have taken in right, drawn or mixed answers."""

from __future__ import annotations

import numpy as np
import torch

from archfront.trainers.data.batch_targets import batch_targets
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.targets import Labels, Mask
from archfront.trainers.data.verify import Sample
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.protocol import Evaluator
from tests.support.drawn_objects import NAMES, drawn_samples

# Share of right answers.
KINDS = {"perfect": 1.0, "mixed": 0.7, "chance": 0.0}
# Of the classes; no image shows the last one, which is predicted though.
SHARES = np.array([30, 10, 4, 1, 0]) / 45
CLASSES = tuple("abcde")
SQUARE = Preprocess(8, 3, (0.5,) * 3, (0.5,) * 3, resize="pad")


def evaluator(task: str, kind: str, *, n: int, seed: int) -> Evaluator:
    """Return the evaluator of ``n`` drawn images with answers of a kind."""
    rng = np.random.default_rng([seed, n])
    if task in ("detection", "instance"):
        return _of_objects(task, KINDS[kind], n, rng)
    makers = {"classification": _of_label, "multilabel": _of_labels, "semantic": _of_mask}
    return makers[task](KINDS[kind], n, rng)


def _sample(target: int | Labels | Mask) -> Sample:
    pixels = np.zeros((8, 8, 3), np.uint8)
    return Sample(pixels, target, "", 8, 8, is_grey=False, digest="")


def _of_label(right: float, n: int, rng: np.random.Generator) -> Evaluator:
    labels = rng.choice(5, size=n, p=SHARES)
    answers = np.where(rng.random(n) < right, labels, rng.integers(0, 5, n))
    found = TASKS["classification"].evaluator([_sample(int(k)) for k in labels], CLASSES, SQUARE)
    found.update({"probabilities": torch.eye(5)[answers]})
    return found


def _of_labels(right: float, n: int, rng: np.random.Generator) -> Evaluator:
    shown = rng.random((n, 5)) < SHARES
    drawn = rng.random((n, 5))
    scores = np.where(rng.random((n, 5)) < right, 0.1 + 0.8 * shown, drawn).astype(np.float32)
    samples = [_sample(Labels(tuple(np.flatnonzero(row).tolist()))) for row in shown]
    found = TASKS["multilabel"].evaluator(samples, CLASSES, SQUARE)
    found.update({"probabilities": torch.from_numpy(scores)})
    return found


def _of_mask(right: float, n: int, rng: np.random.Generator) -> Evaluator:
    main = rng.choice(5, size=(n, 1, 1), p=SHARES)
    masks = np.where(rng.random((n, 8, 8)) < 0.8, main, 0).astype(np.uint8)
    answers = np.where(rng.random((n, 8, 8)) < right, masks, rng.integers(0, 5, (n, 8, 8)))
    found = TASKS["semantic"].evaluator([_sample(Mask(m)) for m in masks], CLASSES, SQUARE)
    found.update({"logits": torch.eye(5)[answers].permute(0, 3, 1, 2)})
    return found


def _of_objects(task: str, right: float, n: int, rng: np.random.Generator) -> Evaluator:
    head = "yolo" if task == "detection" else "yolo_mask"
    a = Architecture(task, "test_resnet", head, 64, 2, 3, neck="pan", width=16, finest=8)
    preprocess = preprocess_for(a, Weights(), TASKS[task].resize)
    samples = drawn_samples(int(rng.integers(1000)), n)
    targets = batch_targets(samples, preprocess, a.classes).of(torch.arange(n))
    outputs = {"detections": torch.zeros(n, 100, 6), "masks": torch.zeros(n, 100, 16, 16)}
    for i, target in enumerate(targets):
        for k in np.flatnonzero(rng.random(len(target["labels"])) < right):
            outputs["detections"][i, k, :4] = target["boxes"][k]
            outputs["detections"][i, k, 4] = float(rng.uniform(0.5, 1))
            outputs["detections"][i, k, 5] = target["labels"][k].float()
            mask = target["masks"][k].float().view(16, 4, 16, 4).mean(dim=(1, 3))
            outputs["masks"][i, k] = mask
    found = TASKS[task].evaluator(samples, NAMES, preprocess)
    found.update(outputs)
    return found
