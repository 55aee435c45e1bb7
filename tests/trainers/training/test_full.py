"""A full training: averaged weights, the best epoch, an end, a teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from archfront.trainers.data import DataRef, Preprocess
from archfront.trainers.data.ref import Shapes
from archfront.trainers.errors import ConfigError
from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.full import (
    FullResult,
    FullSettings,
    Teacher,
    soft_loss,
    train_full,
    turning,
)
from archfront.trainers.training.scoring import score

DATA = DataRef("digits", None, None, False, 300, 100, 80, 0, None, "stop", 100)
NETWORK = Architecture("classification", "test_resnet", "timm", 16, 10, 1)
RECIPE = Recipe(lr=5e-3, weight_decay=0.05, batch_size=32, augment="none", dropout=0.0)
SETTINGS = TrainSettings("accuracy", 4, 4, 7, 0.0, "one_cycle", "fp32", 1)


def run(folder: Path, full: FullSettings, **changes: Any) -> FullResult:
    arguments = {
        "architecture": NETWORK,
        "weights": Weights(),
        "recipe": RECIPE,
        "data": DATA,
        "settings": SETTINGS,
        **changes,
    }
    return train_full(**arguments, full=full, folder=folder)


@pytest.mark.slow
def test_what_is_saved_is_of_the_best_epoch(tmp_path: Path) -> None:
    recipe = replace(RECIPE, lr=0.05)  # so high that it does not only get better
    result = run(tmp_path, FullSettings(), recipe=recipe, splits=("val", "test"))
    curve = [row.metrics["accuracy"] for row in result.training.curve]
    assert result.best_epoch == int(np.argmax(curve)) + 1
    assert result.metrics["val"]["accuracy"] == pytest.approx(max(curve))
    again, kept = score(NETWORK, result.training.weights, DATA, preprocess_of=Weights(), threads=1)
    assert again == result.metrics["test"]
    with np.load(result.predictions["test"]) as saved:
        assert np.array_equal(saved["labels"], kept["labels"])


@pytest.mark.slow
def test_averaged_weights_are_evaluated_and_kept(tmp_path: Path) -> None:
    two = replace(SETTINGS, until_epoch=2, horizon=2)
    plain = run(tmp_path / "plain", FullSettings(ema=0.0), settings=two)
    averaged = run(tmp_path / "averaged", FullSettings(ema=0.9), settings=two)
    first, second = (load_file(r.training.weights) for r in (plain, averaged))
    assert first.keys() == second.keys()
    assert any(not torch.equal(first[name], second[name]) for name in first)
    losses = [[row.train_loss for row in r.training.curve] for r in (plain, averaged)]
    assert losses[0] == losses[1]  # the steps are the same
    curves = [[row.metrics for row in r.training.curve] for r in (plain, averaged)]
    assert curves[0] != curves[1]


@pytest.mark.slow
def test_the_same_training_gives_the_same_bits(tmp_path: Path) -> None:
    two = replace(SETTINGS, until_epoch=2, horizon=2)
    first, second = (run(tmp_path / part, FullSettings(), settings=two) for part in "ab")
    states = [load_file(r.training.weights) for r in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert first.metrics == second.metrics


@pytest.mark.slow
def test_one_that_gets_no_better_is_ended(tmp_path: Path) -> None:
    settings = replace(SETTINGS, until_epoch=30, horizon=30)
    recipe = replace(RECIPE, lr=1e-8)
    result = run(tmp_path, FullSettings(patience=2), settings=settings, recipe=recipe)
    n_epochs = len(result.training.curve)
    assert n_epochs == result.best_epoch + 2 < 30


@pytest.mark.slow
def test_without_patience_it_goes_to_its_horizon(tmp_path: Path) -> None:
    result = run(tmp_path, FullSettings(), recipe=replace(RECIPE, lr=1e-8))
    assert len(result.training.curve) == 4


@pytest.mark.slow
def test_a_teacher_of_another_size_changes_what_is_learned(tmp_path: Path) -> None:
    large, full = replace(NETWORK, input_size=32), FullSettings(ema=0.0)
    settings = replace(SETTINGS, until_epoch=8, horizon=8)
    short = replace(SETTINGS, until_epoch=4, horizon=4)
    first = run(tmp_path / "teacher", full, architecture=large, settings=short)
    teacher = Teacher(large, first.training.weights, Weights())
    alone = run(tmp_path / "alone", full, settings=replace(settings, until_epoch=1))
    taught = run(tmp_path / "taught", full, teacher=teacher, settings=settings)
    assert alone.training.curve[0].train_loss != taught.training.curve[0].train_loss
    assert taught.metrics["val"]["accuracy"] > 0.5  # chance is 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("task", "head"), [("multilabel", "timm"), ("semantic", "unet")])
def test_every_task_with_logits_can_be_taught(task: str, head: str, tmp_path: Path) -> None:
    shape = {"width": 16, "depth": 3} if task == "semantic" else {}
    classes = 4 if task == "semantic" else 3
    a = Architecture(task, "test_resnet", head, 32, classes, 3, **shape)
    data = replace(
        DATA,
        reader="shapes",
        train=0.6,
        val=0.2,
        test=0.2,
        target=TASKS[task].target,
        shapes=Shapes(images=40, side=32),
    )
    settings = replace(SETTINGS, metric=TASKS[task].metrics[0], until_epoch=1, horizon=1)
    recipe = replace(RECIPE, batch_size=8)
    changes = {"architecture": a, "data": data, "settings": settings, "recipe": recipe}
    first = run(tmp_path / "teacher", FullSettings(), **changes)
    teacher = Teacher(a, first.training.weights, Weights())
    taught = run(tmp_path / "taught", FullSettings(), teacher=teacher, **changes)
    assert np.isfinite(taught.training.curve[-1].train_loss)
    assert taught.training.curve[-1].train_loss != first.training.curve[-1].train_loss


def test_a_detector_cannot_be_taught_and_it_is_told(tmp_path: Path) -> None:
    a = Architecture("detection", "test_resnet", "yolo", 64, 3, 3, width=16, depth=1, finest=8)
    teacher = Teacher(a, tmp_path / "none", Weights())
    with pytest.raises(ConfigError, match=r"Only networks with a logit per class .* --distill"):
        run(tmp_path, FullSettings(), architecture=a, teacher=teacher)


def test_a_frozen_network_cannot_be_taught_either(tmp_path: Path) -> None:
    teacher = Teacher(NETWORK, tmp_path / "none", Weights())
    with pytest.raises(ConfigError, match=r"whose backbone is frozen cannot be taught"):
        run(tmp_path, FullSettings(), recipe=replace(RECIPE, freeze=True), teacher=teacher)


def test_the_soft_loss_is_that_of_its_definition() -> None:
    rng = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 5, 4, generator=rng)
    p, q = (x.div(2.0).softmax(dim=1) for x in (teacher, student))
    expected = 4 * (p * (p.log() - q.log())).sum(dim=1).mean()
    found = soft_loss(student, teacher, "probabilities", TASKS["classification"])
    assert found == pytest.approx(float(expected), rel=1e-5)
    assert soft_loss(teacher, teacher, "", TASKS["classification"]) == pytest.approx(0, abs=1e-6)


def test_input_of_one_network_is_turned_into_that_of_another() -> None:
    mine = Preprocess(8, 3, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    others = Preprocess(8, 3, (0.48, 0.45, 0.4), (0.22, 0.23, 0.25))
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    turned = turning(mine, others)(mine.normalize(pixels))
    assert torch.allclose(turned, others.normalize(pixels), atol=1e-5)
    larger = turning(mine, replace(others, input_size=16))(mine.normalize(pixels))
    expected = F.interpolate(others.normalize(pixels), size=(16, 16), mode="bilinear")
    assert torch.allclose(larger, expected, atol=1e-5)
