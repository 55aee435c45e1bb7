from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from archfront.trainers.data import DataRef, ImageSet, load
from archfront.trainers.errors import ConfigError, DataError, DivergedError, WeightsError
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.spec import (
    Architecture,
    EpochRow,
    Recipe,
    TrainResult,
    TrainSettings,
    Weights,
)
from archfront.trainers.training.proxy import train
from archfront.trainers.training.scoring import score

DIGITS = DataRef(
    reader="digits",
    root=None,
    name=None,
    download=False,
    train=120,
    val=90,
    test=80,
    split_seed=0,
    channels=None,
    on_error="stop",
    memory_mb=100,
)
NETWORK = Architecture("classification", "test_resnet", "timm", 16, 10, 1)
RECIPE = Recipe(lr=5e-3, weight_decay=0.05, batch_size=32, augment="strong", dropout=0.1)
SETTINGS = TrainSettings("accuracy", 2, 2, 7, 0.1, "one_cycle", "fp32", 1)


def run(folder: Path, **changes: Any) -> TrainResult:
    """Train with the records above, but for the changes."""
    arguments = {
        "architecture": NETWORK,
        "weights": Weights(),
        "recipe": RECIPE,
        "data": DIGITS,
        "settings": SETTINGS,
        **changes,
    }
    return train(**arguments, folder=folder)


def content(result: TrainResult) -> tuple[Any, ...]:
    """Return all that must be equal when two trainings are."""
    rows = [(row.epoch, row.train_loss, row.lr, row.metrics) for row in result.curve]
    state = {k: v.numpy().tobytes() for k, v in load_file(result.weights).items()}
    predictions = {k: v.tobytes() for k, v in np.load(result.predictions).items()}
    return rows, state, predictions


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return run(tmp_path_factory.mktemp("trained"))


@pytest.mark.slow
def test_the_same_training_gives_the_same_bits(trained: TrainResult, tmp_path: Path) -> None:
    torch.manual_seed(99)
    torch.rand(17)
    np.random.default_rng().random(3)
    assert content(run(tmp_path)) == content(trained)


@pytest.mark.slow
def test_two_threads_give_the_same_bits_twice(tmp_path: Path) -> None:
    settings = replace(SETTINGS, threads=2)
    first, second = (run(tmp_path / part, settings=settings) for part in "ab")
    assert content(first) == content(second)


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["none", "light"])
def test_each_strength_of_augmentation_gives_the_same_bits(augment: str, tmp_path: Path) -> None:
    recipe = replace(RECIPE, augment=augment)
    first, second = (run(tmp_path / part, recipe=recipe) for part in "ab")
    assert content(first) == content(second)


def test_another_seed_gives_another_training(trained: TrainResult, tmp_path: Path) -> None:
    other = run(tmp_path, settings=replace(SETTINGS, seed=8))
    assert other.curve[0].train_loss != trained.curve[0].train_loss


def test_a_shorter_training_is_the_beginning_of_a_longer_one(
    trained: TrainResult, tmp_path: Path
) -> None:
    short = run(tmp_path, settings=replace(SETTINGS, until_epoch=1))
    # Its network was evaluated with norms of its own.
    assert [row[:3] for row in content(short)[0]] == [row[:3] for row in content(trained)[0][:1]]


@pytest.mark.slow
def test_training_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    run(tmp_path, settings=replace(SETTINGS, threads=threads + 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_training_writes_its_two_files_with_their_hashes_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    result = run(tmp_path / "there")
    assert not list(here.iterdir())
    assert sorted(os.listdir(tmp_path / "there")) == [
        "SHA256SUMS",
        "predictions.npz",
        "weights.safetensors",
    ]
    assert result.weights.parent == tmp_path / "there"
    assert "".join(capfd.readouterr()) == ""


def test_predictions_are_of_the_validation_split_in_its_order(trained: TrainResult) -> None:
    saved = np.load(trained.predictions)
    labels = load(DIGITS).splits["val"].labels
    assert np.array_equal(saved["labels"], labels)
    assert saved["probabilities"].dtype == np.float32
    assert saved["probabilities"].shape == (90, 10)
    accuracy = (saved["probabilities"].argmax(axis=1) == labels).mean()
    assert trained.metrics["accuracy"] == pytest.approx(accuracy)


def test_scoring_the_saved_weights_gives_the_metrics_of_the_training(
    trained: TrainResult,
) -> None:
    options = {"preprocess_of": Weights(), "threads": 1}
    metrics, kept = score(NETWORK, trained.weights, DIGITS, split="val", **options)
    saved = np.load(trained.predictions)
    assert metrics == trained.metrics
    assert np.array_equal(kept["probabilities"], saved["probabilities"])
    assert np.array_equal(kept["labels"], saved["labels"])
    _, test_kept = score(NETWORK, trained.weights, DIGITS, **options)
    assert test_kept["probabilities"].shape == (80, 10)


def test_weights_of_another_network_are_refused(trained: TrainResult) -> None:
    other = replace(NETWORK, head="gem")
    with pytest.raises(WeightsError, match=r"does not fit the network. Was it saved for another"):
        score(other, trained.weights, DIGITS, preprocess_of=Weights(), threads=1)


def test_the_curve_has_a_row_for_every_epoch(trained: TrainResult, tmp_path: Path) -> None:
    seen: list[EpochRow] = []
    result = run(tmp_path, on_epoch=seen.append)
    assert tuple(seen) == result.curve
    assert [row.epoch for row in seen] == [1, 2]
    assert result.metrics == seen[-1].metrics
    assert result.seconds == pytest.approx(sum(row.seconds for row in seen))
    assert result.images_per_s > 0


def test_images_on_disk_train_like_images_in_memory(trained: TrainResult, tmp_path: Path) -> None:
    lazy = replace(DIGITS, memory_mb=0)
    train = load(lazy).splits["train"]
    assert ImageSet.of(train, preprocess_for(NETWORK, Weights())).tensor is None
    assert content(run(tmp_path, data=lazy)) == content(trained)


def test_a_diverging_loss_stops_at_once_and_leaves_no_files(tmp_path: Path) -> None:
    wild = replace(RECIPE, lr=1e30)
    with pytest.raises(DivergedError, match=r"The loss is (nan|inf) in epoch 1, step \d, at lr"):
        run(tmp_path, recipe=wild)
    assert not list(tmp_path.iterdir())


def test_weights_spoiled_by_the_last_step_are_a_divergence(tmp_path: Path) -> None:
    """The loss was finite at every step, and NaN predictions went into the metrics."""
    one_step = replace(RECIPE, lr=1e38, batch_size=120)
    settings = replace(SETTINGS, until_epoch=1, horizon=1)
    with pytest.raises(DivergedError, match=r"The predictions are not finite in epoch 1, step 1"):
        run(tmp_path, recipe=one_step, settings=settings)


def test_interrupting_a_training_is_an_interrupt_and_no_exit(tmp_path: Path) -> None:
    """Lightning exits with status 1 and leaves Ctrl-C ignored."""

    def interrupt(row: EpochRow) -> None:
        raise KeyboardInterrupt("stop")

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"^stop$"):
        run(tmp_path, on_epoch=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler


def test_running_out_of_memory_surfaces_as_it_is(tmp_path: Path) -> None:
    def exhaust(row: EpochRow) -> None:
        raise MemoryError("no memory left")

    with pytest.raises(MemoryError, match="no memory left"):
        run(tmp_path, on_epoch=exhaust)


@pytest.mark.slow
def test_half_precision_trains_and_predicts_in_full(tmp_path: Path) -> None:
    few = {
        "architecture": (large := replace(NETWORK, input_size=64)),
        "data": (data := replace(DIGITS, train=40, val=30)),
        "recipe": replace(RECIPE, batch_size=16),
    }
    half = replace(SETTINGS, precision="bf16")
    result = run(tmp_path / "a", settings=half, **few)
    assert content(result) == content(run(tmp_path / "b", settings=half, **few))
    assert content(result) != content(run(tmp_path / "c", **few))
    assert {value.dtype for value in load_file(result.weights).values()} <= {
        torch.float32,
        torch.int64,
    }
    metrics, *_ = score(
        large, result.weights, data, split="val", preprocess_of=Weights(), threads=1
    )
    assert metrics == result.metrics


def test_kernels_wider_than_their_map_are_trained_in_full(
    trained: TrainResult, tmp_path: Path
) -> None:
    """In bfloat16 the last stage of this network had NaN in its gradients at 16 px."""
    half = run(tmp_path, settings=replace(SETTINGS, precision="bf16"))
    assert content(half) == content(trained)


def test_a_frozen_backbone_keeps_its_weights(trained: TrainResult, tmp_path: Path) -> None:
    state = load_file(trained.weights)
    bare = {k.removeprefix("backbone."): v for k, v in state.items()}
    path = tmp_path / "test_resnet.pth"
    torch.save(bare, path)
    weights = Weights("folder", path=str(path))
    result = run(tmp_path, weights=weights, recipe=replace(RECIPE, freeze=True))
    after = load_file(result.weights)
    changed = {key for key in state if not torch.equal(state[key], after[key])}
    assert changed == {"backbone.fc.weight", "backbone.fc.bias"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": replace(RECIPE, freeze=True)}, "head on random features"),
        ({"settings": replace(SETTINGS, horizon=1)}, r"until_epoch 2 and horizon 1"),
        ({"settings": replace(SETTINGS, metric="acuracy")}, "Did you mean 'accuracy'"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, **changes)


def test_data_with_other_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The data has 10 classes and the network 4"):
        run(tmp_path, architecture=replace(NETWORK, classes=4))


@pytest.mark.slow
def test_a_small_network_learns_the_digits(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        architecture=replace(NETWORK, input_size=32),
        recipe=replace(RECIPE, augment="light", dropout=0.0),
        data=replace(DIGITS, train=600, val=600, test=597),
        settings=replace(SETTINGS, until_epoch=8, horizon=8, label_smoothing=0.0),
    )
    assert result.metrics["accuracy"] >= 0.97
