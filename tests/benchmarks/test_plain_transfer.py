"""The plain transfer script fits, measures and fine-tunes networks, and ends with its time."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import plain_transfer
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from plain_networks import Split, fit_head, network_of, predictions_of
from plain_transfer import Script, files_of, options_of
from safetensors.torch import save_file
from transfer_curves import Row, front_of, hypervolume_over_time, metric_over_time

NETWORKS = ("test_resnet", "test_byobnet")
COLORS = {"blue": (40, 60, 200), "green": (40, 200, 60), "red": (200, 60, 40)}
SIZE = 32


def draw(folder: Path, n_images: int, seed: int) -> None:
    """Write images of noise around one color for each class."""
    rng = np.random.default_rng(seed)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for number in range(n_images):
            pixels = np.array(color) + rng.normal(0, 30, (24, 20, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, (split, n_images) in enumerate({"train": 8, "val": 4, "test": 3}.items()):
        draw(folder / split, n_images, seed)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in NETWORKS:
            state = timm.create_model(name).state_dict()
            save_file(state, folder / f"{name}.r160_in1k.safetensors")
    return folder


def options(data: Path, weights: Path, *more: str) -> argparse.Namespace:
    words = ["--data", str(data), "--weights", str(weights), "--backbones", ",".join(NETWORKS)]
    return options_of([*words, "--sizes", str(SIZE), *more])


def ticking(seconds: float) -> Callable[[], float]:
    """Return a clock that goes on by so much whenever it is read."""
    ticks = count(1)
    return lambda: seconds * next(ticks)


def first_class(network: Any, train: Split, val: Split, metric: str, seed: int) -> NDArray[Any]:
    """Return the first class for each image, as the network then does itself."""
    with torch.no_grad():
        for parameter in network.get_classifier().parameters():
            parameter.zero_()
    return np.zeros(len(val[1]), dtype=int)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_every_network_is_probed_and_the_best_fine_tuned(
    data: Path,
    weights: Path,
    metric: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A head that says the first class to everything leaves something to fine-tuning.
    monkeypatch.setattr(plain_transfer, "fit_head", first_class)
    for name, value in {"MAX_EPOCHS": 6, "LR": 1e-2, "BATCH": 8}.items():
        monkeypatch.setattr(plain_transfer, name, value)
    script = Script(options(data, weights, "--metric", metric, "--minutes", "9"), time.time())
    rows = script.run()
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    assert [(row["network"], row["stage"]) for row in rows[:2]] == [(n, "probe") for n in NETWORKS]
    tuned = [row for row in rows if row["stage"] == "fine-tuned"]
    probes = {row["network"]: row[metric] for row in rows[:2]}
    assert tuned
    assert all(row[metric] > probes[row["network"]] for row in tuned)
    assert all(row["latency_ms"] > 0 and row["input_size"] == SIZE for row in rows)
    tested = [row["latency_ms"] for row in rows if row["stage"] == "test"]
    assert tested == [row["latency_ms"] for row in front_of(script.rows, metric)]


@pytest.mark.slow
def test_a_kept_model_gives_the_metric_that_was_printed(data: Path, weights: Path) -> None:
    script = Script(options(data, weights), 0.0, clock=ticking(0.5))
    script.run()
    images, labels = script.split("val", SIZE)
    found = [float((predictions_of(n, images) == labels).mean()) for n in script.networks]
    assert found == [row["accuracy"] for row in script.rows]


def test_after_its_time_nothing_follows_the_first_probe(data: Path, weights: Path) -> None:
    rows = Script(options(data, weights, "--minutes", "1"), 0.0, clock=ticking(30)).run()
    assert [row["stage"] for row in rows] == ["probe", "test"]


def test_the_head_in_the_network_is_the_logistic_regression(data: Path, weights: Path) -> None:
    script = Script(options(data, weights), 0.0, clock=ticking(1))
    train, val = script.split("train", SIZE), script.split("val", SIZE)
    network = network_of(NETWORKS[0], weights, len(COLORS))
    predicted = fit_head(network, train, val, "accuracy", seed=0)
    assert (predictions_of(network, val[0]) == predicted).all()
    assert (predicted == val[1]).mean() > 0.6


def test_two_classes_have_two_logits(data: Path, weights: Path) -> None:
    script = Script(options(data, weights), 0.0, clock=ticking(1))
    (images, labels), (val_images, val_labels) = (
        script.split(name, SIZE) for name in ("train", "val")
    )
    train = images[labels < 2], labels[labels < 2]
    val = val_images[val_labels < 2], val_labels[val_labels < 2]
    network = network_of(NETWORKS[0], weights, 2)
    predicted = fit_head(network, train, val, "balanced_accuracy", seed=0)
    assert (predictions_of(network, val[0]) == predicted).all()


def test_a_folder_per_class_is_divided_the_same_for_a_seed(tmp_path: Path) -> None:
    draw(tmp_path, 10, seed=0)
    files = files_of(tmp_path, seed=1)
    assert files == files_of(tmp_path, seed=1)
    assert files != files_of(tmp_path, seed=2)
    assert [sum(y == label for _, y in files["val"]) for label in range(3)] == [2, 2, 2]
    assert not set(files["train"]) & set(files["val"])
    assert len(files["train"]) == 24


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no resnet18\.\*safetensors"):
        network_of("resnet18", tmp_path, 2)


def row(seconds: float, accuracy: float, latency_ms: float, stage: str = "probe") -> Row:
    return {"seconds": seconds, "stage": stage, "accuracy": accuracy, "latency_ms": latency_ms}


def test_curves_are_their_closed_forms() -> None:
    rows = [
        row(5, 0.5, 4),
        row(8, 0.4, 2),
        row(9, 0.05, 1),
        row(12, 0.9, 2),
        row(20, 1, 1, "test"),
    ]
    assert metric_over_time(rows, "accuracy") == [(5, 0.5), (12, 0.9)]
    # 8 to 4 ms is one halving, to 2 ms two; .05 is not above chance.
    found = hypervolume_over_time(rows, "accuracy", worst=0.1, slowest_ms=8)
    assert [seconds for seconds, _ in found] == [5, 8, 9, 12]
    assert [v for _, v in found] == pytest.approx([0.4, 0.4 + 0.3, 0.7, 0.8 * 2])


def test_a_front_has_one_of_equal_rows_and_none_that_is_dominated() -> None:
    rows = [row(1, 0.5, 4), row(2, 0.5, 4), row(3, 0.4, 5), row(4, 0.6, 4.5), row(5, 0.5, 4.2)]
    assert front_of(rows, "accuracy") == [rows[0], rows[3]]
