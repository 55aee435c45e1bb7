"""Probes: heads solved on features that are computed once, and trainings that begin there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from archfront.trainers.data import DataRef, load
from archfront.trainers.data.ref import Shapes
from archfront.trainers.errors import ConfigError
from archfront.trainers.spec import Architecture, EpochRow, TrainResult, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training import features, probe
from archfront.trainers.training.full import FullSettings, Teacher, train_full
from archfront.trainers.training.proxy import train
from archfront.trainers.training.scoring import score
from tests.support.probes import DIGITS, FEW, HEADS, NETWORK, RECIPE, SETTINGS, run
from tests.trainers.tasks.test_tasks import architecture
from tests.trainers.training.test_frozen import first_weights
from tests.trainers.training.test_resume import bits, shapes
from tests.trainers.training.test_resume import settings as plain_settings


@dataclass(frozen=True)
class Plain:
    """A probe, and the weights that it began with."""

    result: TrainResult
    weights: Weights


@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        *(("test_resnet", head) for head in HEADS),
        ("test_convnext", "timm"),  # a norm behind its pooling
        ("test_convnext", "gem"),
        ("test_vit", "timm"),
        ("test_byobnet", "max"),
        ("test_efficientnet", "levels"),
        ("test_efficientnet", "truncated"),
    ],
)
def test_a_probe_is_far_better_than_chance_and_is_what_is_saved(
    backbone: str, head: str, tmp_path: Path
) -> None:
    of = replace(NETWORK, backbone=backbone, head=head)
    result = run(tmp_path, of)
    (row,) = result.curve
    assert (row.epoch, row.lr, result.kept_epoch) == (0, 0.0, 0)
    assert result.metrics == row.metrics
    assert result.metrics["accuracy"] > 0.6  # chance is 0.1, features are of drawn weights
    assert result.knn is not None
    assert 0.3 < result.knn < 1
    assert result.resume is not None
    weights = Weights("folder", path=str(tmp_path / "first.pth"))
    metrics, predicted = score(
        of, result.weights, DIGITS, split="val", preprocess_of=weights, threads=1
    )
    saved = np.load(result.predictions)
    np.testing.assert_allclose(saved["probabilities"], predicted["probabilities"], atol=1e-3)
    assert metrics == pytest.approx(result.metrics, abs=0.011)  # one image
    state, first = load_file(result.weights), torch.load(tmp_path / "first.pth")
    others = {k for k, v in first.items() if not torch.equal(state.get(f"backbone.{k}", v), v)}
    assert len(others) <= 2  # weight and bias of the head


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """Return the probe of the digits without any change; its files are only read."""
    folder = tmp_path_factory.mktemp("plain")
    return Plain(run(folder), Weights("folder", path=str(folder / "first.pth")))


def colored() -> DataRef:
    """Return grey digits as three channels."""
    return replace(DIGITS, channels=3)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_images_are_seen_in_either_number_of_channels(channels: int, tmp_path: Path) -> None:
    of = replace(NETWORK, channels=channels)
    data = DIGITS if channels == 1 else colored()
    assert run(tmp_path, of, data=data).metrics["accuracy"] > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("head", ["timm", "mlp"])
def test_several_labels_are_solved_too(head: str, tmp_path: Path) -> None:
    data = replace(
        shapes("multilabel"), train=0.6, val=0.3, test=0.1,
        shapes=Shapes(images=200, side=32, classes=3, objects_max=2),
    )  # fmt: skip
    of = Architecture("multilabel", "test_resnet", head, 32, 3, 3)
    recipe = replace(RECIPE, dropout=0.0)
    result = run(tmp_path, of, data=data, settings=replace(SETTINGS, metric="map"), recipe=recipe)
    shown = np.load(result.predictions)["labels"]
    assert result.metrics["map"] > shown.mean() + 0.1  # of one constant answer
    assert result.knn is not None


@pytest.mark.slow
@pytest.mark.parametrize("head", ["timm", "mlp"])
@pytest.mark.parametrize("is_frozen", [False, True])
def test_rungs_from_a_probe_are_the_same_training_as_one_go(
    head: str, is_frozen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "HEAD_STEPS_MIN", 50)  # a head of several layers may be bad
    of = replace(NETWORK, head=head)
    recipe = replace(RECIPE, augment="none", freeze=True) if is_frozen else RECIPE
    told: list[EpochRow] = []
    go = {"recipe": recipe, "data": FEW}
    whole = run(
        tmp_path / "whole", of, settings=replace(SETTINGS, until_epoch=2),
        on_epoch=told.append, **go,
    )  # fmt: skip
    assert [row.epoch for row in told] == [0, 1, 2]
    resume = None
    for epoch in (0, 1, 2):
        settings = replace(SETTINGS, until_epoch=epoch)
        result = run(tmp_path / str(epoch), of, settings=settings, resume=resume, **go)
        resume = result.resume
        torch.rand(5)
    assert bits(result) == bits(whole)
    assert [row.epoch for row in result.curve] == [0, 1, 2]
    assert (result.kept_epoch, result.knn) == (whole.kept_epoch, whole.knn)
    assert whole.seconds == pytest.approx(
        sum(row.seconds for row in whole.curve), abs=1.0 if is_frozen else 1e-9
    )


def test_fine_tuning_goes_on_from_the_solved_head(plain: Plain, tmp_path: Path) -> None:
    settings = replace(SETTINGS, until_epoch=1, ema=0.0)
    recipe = replace(RECIPE, lr=1e-9, weight_decay=0.0, dropout=0.0)
    high = run(tmp_path / "high", settings=settings, recipe=recipe)
    first, second = (np.load(r.predictions)["probabilities"] for r in (plain.result, high))
    np.testing.assert_allclose(first, second, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("resumed", [False, True])
def test_a_training_that_gets_worse_gives_its_probe(
    resumed: bool, plain: Plain, tmp_path: Path
) -> None:
    low = plain.result
    bad = replace(RECIPE, lr=0.3)
    resume = run(tmp_path / "start", recipe=bad).resume if resumed else None
    settings = replace(SETTINGS, until_epoch=1)
    high = run(tmp_path / "high", settings=settings, recipe=bad, resume=resume)
    assert high.curve[-1].metrics["accuracy"] < low.metrics["accuracy"]
    assert high.kept_epoch == 0
    assert high.metrics == low.metrics
    assert high.resume is not None
    state, before = load_file(high.weights), load_file(low.weights)
    assert all(torch.equal(state[name], before[name]) for name in before)
    raw = torch.load(high.resume)["state"]  # the training itself goes on
    assert any(not torch.equal(raw[name].contiguous(), before[name]) for name in before)
    first, second = (np.load(r.predictions)["probabilities"] for r in (low, high))
    assert np.array_equal(first, second)


@pytest.mark.slow
def test_a_refit_has_the_probe_as_its_first_best(plain: Plain, tmp_path: Path) -> None:
    weights = first_weights(NETWORK, tmp_path)
    settings = replace(SETTINGS, until_epoch=2)
    full = train_full(
        NETWORK, weights, replace(RECIPE, lr=0.3), DIGITS, settings, FullSettings(ema=0.5),
        folder=tmp_path / "full",
    )  # fmt: skip
    low = plain.result
    assert (full.best_epoch, full.training.kept_epoch) == (0, 0)
    assert full.training.metrics == low.metrics
    state, before = load_file(full.training.weights), load_file(low.weights)
    assert all(torch.equal(state[name], before[name]) for name in before)
    assert full.metrics["val"] == pytest.approx(low.metrics, abs=0.011)


@pytest.mark.slow
def test_a_refit_with_a_teacher_begins_with_the_same_probe(plain: Plain, tmp_path: Path) -> None:
    """The teacher was given features of the backbone where it wants images."""
    low, weights = plain.result, plain.weights
    settings = replace(SETTINGS, until_epoch=1, horizon=1)
    recipe = replace(RECIPE, dropout=0.0)
    full = train_full(
        NETWORK, weights, recipe, DIGITS, settings, FullSettings(),
        folder=tmp_path / "full", teacher=Teacher(NETWORK, low.weights, weights),
    )  # fmt: skip
    assert full.training.curve[0].metrics == low.metrics
    assert len(full.training.curve) == 2


def test_many_classes_are_solved_by_ridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(probe, "LOGISTIC_MAX", 0)
    monkeypatch.setattr(probe, "logistic", never)
    assert run(tmp_path).metrics["accuracy"] > 0.6


@pytest.mark.slow
def test_weights_of_classes_change_the_solution(plain: Plain, tmp_path: Path) -> None:
    weights = (5.0, *(1.0,) * 9)
    changed = run(tmp_path / "changed", settings=replace(SETTINGS, class_weights=weights))
    first, second = (
        np.load(r.predictions)["probabilities"][:, 0] for r in (plain.result, changed)
    )
    assert second.mean() > first.mean()


def test_a_head_of_balanced_softmax_is_the_plain_one_without_the_priors(tmp_path: Path) -> None:
    sizes = tuple(float(n) for n in range(1, 11))
    settings = replace(SETTINGS, class_sizes=sizes)
    plain = run(tmp_path / "plain", data=FEW, settings=settings)
    recipe = replace(RECIPE, loss="balanced_softmax")
    balanced = run(tmp_path / "balanced", data=FEW, settings=settings, recipe=recipe)
    first, second = (np.load(r.predictions)["probabilities"] for r in (plain, balanced))
    expected = first / np.array(sizes)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(second, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["memory", "head"])
def test_a_head_that_cannot_be_solved_is_trained_on_images(
    case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of = NETWORK
    if case == "head":  # two classifiers that are averaged
        of = replace(NETWORK, backbone="deit_tiny_distilled_patch16_224")
    data = replace(DIGITS, memory_mb=0.001 if case == "memory" else 100, train=100, val=50)
    result = run(tmp_path, of, data=data, recipe=replace(RECIPE, dropout=0.0))
    assert "no head was found that can be solved on features" in caplog.text
    assert [row.epoch for row in result.curve] == [0]
    assert result.knn is None
    first = torch.load(tmp_path / "first.pth")
    state = load_file(result.weights)
    changed = {k for k, v in first.items() if not torch.equal(state[f"backbone.{k}"], v)}
    heads = {"fc", "head", "head_dist"}
    assert changed
    assert {name.split(".")[0] for name in changed} <= heads


@pytest.mark.slow
@pytest.mark.parametrize("task", ["semantic", "detection", "instance"])
def test_every_other_task_begins_with_its_head_trained_on_images(
    task: str, tmp_path: Path
) -> None:
    of = architecture(task)
    backbone = Architecture("classification", of.backbone, "timm", 32, 10, of.channels)
    weights = first_weights(backbone, tmp_path)
    settings = replace(plain_settings(task, 0), init="probe", norms="frozen", ema=0.9)
    recipe = replace(RECIPE, batch_size=4)
    results, resume = [], None
    for epoch in (0, 1):
        rung = replace(settings, until_epoch=epoch)
        folder = tmp_path / str(epoch)
        result = train(of, weights, recipe, shapes(task), rung, folder=folder, resume=resume)
        resume = result.resume
        results.append(result)
    once = replace(settings, until_epoch=1)
    whole = train(of, weights, recipe, shapes(task), once, folder=tmp_path / "whole")
    assert bits(whole) == bits(results[-1])
    assert [row.epoch for row in whole.curve] == [0, 1]


def test_a_probe_needs_weights(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"init probe solves the head on random features"):
        train(NETWORK, Weights(), RECIPE, DIGITS, SETTINGS, folder=tmp_path)


def test_no_epoch_is_no_training_without_a_probe(tmp_path: Path) -> None:
    settings = replace(SETTINGS, init="random")
    with pytest.raises(ConfigError, match=r"1 <= until_epoch <= horizon, got until_epoch 0"):
        run(tmp_path, settings=settings)


def test_the_network_is_left_to_train(tmp_path: Path) -> None:
    """What is frozen for a moment, or replaced, is as it was."""
    from archfront.trainers.training.training_data import TrainingData

    weights = first_weights(NETWORK, tmp_path)
    model = TASKS["classification"].build(NETWORK, weights)
    seen = TrainingData.of(DIGITS, NETWORK, weights, TASKS["classification"])
    plan = probe.TrainingPlan(
        TASKS["classification"], NETWORK, seen.new_evaluator(TASKS["classification"]), RECIPE,
        SETTINGS, seen.preprocess.normalize,
    )  # fmt: skip
    classifier = model.get_submodule("backbone.fc")
    probe.probed(model, plan, weights, seen)
    assert isinstance(classifier, nn.Linear)
    assert model.get_submodule("backbone.fc") is classifier
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    assert load(DIGITS).splits["train"].labels.shape == (300,)


@pytest.mark.slow
def test_a_fold_finds_the_features_of_its_images_and_is_what_it_is_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No image goes through the backbone again, and the metric is that of fresh features."""
    shared = replace(FEW, shared=str(tmp_path / "shared"), shared_mb=100)
    run(tmp_path / "whole", data=shared)
    plain = run(tmp_path / "plain", data=replace(FEW, fold=(1, 4)))

    def no_pass(*_: Any) -> Any:
        raise AssertionError("the features are known")

    monkeypatch.setattr(features, "computed", no_pass)
    found = run(tmp_path / "found", data=replace(shared, fold=(1, 4)))
    assert found.metrics == plain.metrics
    with np.load(found.predictions) as saved:
        assert len(saved["labels"]) == 45  # a quarter of train and val
