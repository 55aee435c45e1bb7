from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch

from archfront.search.front.intervals import kept_interval
from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.readers import READERS, Reader
from archfront.trainers.data.targets import Labels
from archfront.trainers.errors import ConfigError
from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges.label_sets import LabelSetEvaluator
from archfront.trainers.tasks.judges.weighted import label_set_metric
from archfront.trainers.training.augment import augment
from archfront.trainers.training.proxy import train
from tests.support.drawn_images import REF

TASK = TASKS["multilabel"]
SETTINGS = TrainSettings("map", 1, 1, 0, 0.0, "one_cycle", "fp32", 1)
ORACLES = {
    "map": lambda y, p: sklearn.metrics.average_precision_score(y, p, average="macro"),
    "macro_f1": lambda y, p: sklearn.metrics.f1_score(y, p > 0.5, average="macro"),
    "micro_f1": lambda y, p: sklearn.metrics.f1_score(y, p > 0.5, average="micro"),
}


def drawn(seed: int, n: int = 120, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities ``(n, classes)`` that know something of them, with ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, classes)) < np.linspace(0.1, 0.6, classes)).astype(np.uint8)
    scores = 1 / (1 + np.exp(-rng.normal(1.5 * labels - 1, 1.0)))
    return labels, np.round(scores, 2).astype(np.float32)


def evaluator_of(labels: np.ndarray, probabilities: np.ndarray) -> LabelSetEvaluator:
    targets = [Labels(tuple(np.flatnonzero(row).tolist())) for row in labels]
    evaluator = LabelSetEvaluator(targets, [f"class {i}" for i in range(labels.shape[1])])
    for part in np.array_split(probabilities, 3):
        evaluator.update({"probabilities": torch.from_numpy(part)})
    return evaluator


def test_every_metric_has_an_oracle() -> None:
    assert tuple(ORACLES) == TASK.metrics


@pytest.mark.parametrize("metric", ORACLES)
@pytest.mark.parametrize("seed", range(3))
def test_metrics_are_those_of_sklearn(metric: str, seed: int) -> None:
    labels, probabilities = drawn(seed)
    expected = ORACLES[metric](labels, probabilities)
    assert evaluator_of(labels, probabilities).metrics()[metric] == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize("metric", ORACLES)
def test_one_class_has_every_metric(metric: str) -> None:
    """A table may have one column of 0 and 1; its first training once ended in an error."""
    labels, probabilities = drawn(8, classes=1)
    labels[:40] = 1
    evaluator = evaluator_of(labels, probabilities)
    expected = sklearn.metrics.f1_score(labels[:, 0], probabilities[:, 0] > 0.5)
    if metric == "map":
        expected = sklearn.metrics.average_precision_score(labels[:, 0], probabilities[:, 0])
    assert evaluator.metrics()[metric] == pytest.approx(expected, abs=1e-6)
    again = TASK.resampled(metric, evaluator.saved_predictions())(np.ones((1, 120)))
    assert again == pytest.approx([expected], abs=1e-6)


def test_each_class_has_its_average_precision() -> None:
    labels, probabilities = drawn(3)
    metrics = evaluator_of(labels, probabilities).metrics()
    expected = sklearn.metrics.average_precision_score(labels, probabilities, average=None)
    found = [metrics[f"ap/class {i}"] for i in range(5)]
    assert found == pytest.approx(list(expected), abs=1e-6)


def test_a_class_that_no_image_shows_counts_in_no_mean_of_precisions() -> None:
    labels, probabilities = drawn(4)
    labels[:, 2] = 0
    metrics = evaluator_of(labels, probabilities).metrics()
    others = [0, 1, 3, 4]
    expected = ORACLES["map"](labels[:, others], probabilities[:, others])
    assert metrics["map"] == pytest.approx(expected, abs=1e-6)
    assert "ap/class 2" not in metrics
    whole = label_set_metric("map", probabilities, labels)(np.ones((1, 120)))
    assert whole == pytest.approx([expected])


@pytest.mark.parametrize("metric", ORACLES)
def test_with_equal_weights_the_resampled_metric_is_the_metric(metric: str) -> None:
    labels, probabilities = drawn(5)
    evaluator = evaluator_of(labels, probabilities)
    value_of = TASK.resampled(metric, evaluator.saved_predictions())
    assert value_of(np.ones((2, 120), np.int64)) == pytest.approx(
        [evaluator.metrics()[metric]] * 2, abs=1e-6
    )


@pytest.mark.parametrize("metric", ORACLES)
def test_whole_weights_are_that_many_copies_of_an_image(metric: str) -> None:
    labels, probabilities = drawn(6)
    weights = np.random.default_rng(0).multinomial(120, np.full(120, 1 / 120), size=4)
    expected = [
        ORACLES[metric](np.repeat(labels, row, axis=0), np.repeat(probabilities, row, axis=0))
        for row in weights
    ]
    assert label_set_metric(metric, probabilities, labels)(weights) == pytest.approx(expected)


def test_many_resamples_are_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probabilities = drawn(7)
    weights = np.random.default_rng(1).integers(0, 3, (10, 120))
    whole = label_set_metric("map", probabilities, labels)(weights)
    monkeypatch.setattr("archfront.trainers.tasks.judges.weighted.CHUNK", 250)
    pieces = label_set_metric("map", probabilities, labels)(weights)
    assert np.array_equal(whole, pieces)


def test_resamples_that_show_nothing_have_no_average_precision() -> None:
    labels, probabilities = np.eye(2, dtype=np.uint8), np.full((2, 2), 0.5, np.float32)
    weights = np.array([[0, 0], [0, 1]])
    none, one = label_set_metric("map", probabilities, labels)(weights)
    assert np.isnan(none)
    assert one == 1.0


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Unknown metric 'mpa'\. Did you mean 'map'"):
        label_set_metric("mpa", np.zeros((1, 1)), np.zeros((1, 1)))


@pytest.mark.parametrize("metric", ORACLES)
def test_chance_is_the_best_constant_answer(metric: str) -> None:
    labels, _ = drawn(8, n=50, classes=4)
    labels[:, 0] = 1  # on every image
    answers = [np.array(list(f"{i:04b}"), float) for i in range(1, 16)]
    best = max(ORACLES[metric](labels, np.tile(answer, (50, 1))) for answer in answers)
    chance = TASK.chance(metric, labels.sum(axis=0).tolist(), 50)
    assert chance == pytest.approx(best)


def batch() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    a = Architecture("multilabel", "test_resnet", "avg", 32, 4, 3)
    torch.manual_seed(0)
    model = TASK.build(a, Weights()).eval()
    return model, TASK.example(a, 6, 0), TASK.example_targets(a, 6, 0)


def test_the_loss_is_the_binary_cross_entropy() -> None:
    model, images, targets = batch()
    (loss,) = TASK.training_step(model, (images, targets), SETTINGS).values()
    chances = model(images).detach().double().sigmoid().numpy()
    y = targets.numpy()
    expected = -(y * np.log(chances) + (1 - y) * np.log(1 - chances)).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_focal_loss_is_torchvisions_without_alpha() -> None:
    from torchvision.ops import sigmoid_focal_loss

    model, images, targets = batch()
    losses = TASK.training_step(model, (images, targets), replace(SETTINGS, loss="focal"))
    expected = sigmoid_focal_loss(model(images), targets, alpha=-1, gamma=2, reduction="mean")
    assert losses["focal"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_class_of_weight_0_teaches_nothing() -> None:
    model, images, targets = batch()
    settings = replace(SETTINGS, class_weights=(1.0, 1.0, 1.0, 0.0))
    changed = targets.clone()
    changed[:, 3] = 1 - changed[:, 3]
    first = TASK.training_step(model, (images, targets), settings)["bce"]
    assert first.item() == TASK.training_step(model, (images, changed), settings)["bce"].item()


def test_every_class_over_one_half_is_named() -> None:
    probabilities = np.array([[0.2, 0.9, 0.6], [0.5, 0.1, 0.0]], np.float32)
    assert TASK.decode({"probabilities": probabilities}).tolist() == [[0, 1, 1], [0, 0, 0]]


def test_mixed_images_have_shares_of_both_sets_of_labels() -> None:
    _, images, targets = batch()
    _, mixed = augment(images, targets, strength="strong", classes=4, rng=np.random.default_rng(2))
    assert mixed.shape == targets.shape
    assert torch.allclose(mixed.sum(dim=1), torch.full((6,), 2.0))
    assert ((mixed > 0.01) & (mixed < 0.99)).any()


def squares(n: int) -> RawData:
    """Return grey images of which the halves that are bright are the labels."""
    samples = []
    for i in range(n):
        pixels = np.random.default_rng(i).integers(0, 80, (16, 16, 1), np.uint8)
        present = tuple(c for c in range(3) if (i // 2**c) % 2)
        for c in present:
            pixels[:, 5 * c : 5 * c + 5] += 150
        samples.append(RawSample(pixels, Labels(present), f"{i:03d}"))
    return RawData("drawn squares", ("left", "middle", "right"), {"all": tuple(samples)})


@pytest.mark.slow
@pytest.mark.parametrize("loss", TASK.losses)
def test_bright_columns_are_learned(
    loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(READERS, "squares", Reader(lambda ref: squares(160), ("labels",)))
    data = replace(REF, reader="squares", target="labels", train=96, val=64, test=0)
    result = train(
        Architecture("multilabel", "test_resnet", "avg", 16, 3, 1),
        Weights(),
        Recipe(lr=5e-3, weight_decay=0.01, batch_size=16, augment="none", dropout=0.0),
        data,
        replace(SETTINGS, loss=loss, until_epoch=6, horizon=6),
        folder=tmp_path,
    )
    assert result.metrics["map"] > 0.9
    assert {f"ap/{name}" for name in ("left", "middle", "right")} < set(result.metrics)
    low, high = kept_interval(
        TASK,
        "micro_f1",
        result.predictions,
        value=result.metrics["micro_f1"],
        rng=np.random.default_rng(0),
        n_resamples=200,
    )
    assert low < result.metrics["micro_f1"] + 1e-9
    assert result.metrics["micro_f1"] < high + 1e-9
