"""Trainings that begin with a probe, of a tiny network on digits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from archfront.trainers.data import DataRef
from archfront.trainers.spec import Architecture, Recipe, TrainResult, TrainSettings
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.proxy import train
from tests.trainers.training.test_frozen import first_weights

DIGITS = DataRef("digits", None, None, False, 300, 100, 80, 0, None, "stop", 100)
FEW = replace(DIGITS, train=120, val=60)  # where it does not matter how good a head is
NETWORK = Architecture("classification", "test_resnet", "timm", 32, 10, 1)
RECIPE = Recipe(lr=1e-3, weight_decay=0.05, batch_size=32, augment="light", dropout=0.1)
SETTINGS = TrainSettings(
    "accuracy", 0, 2, 7, 0.1, "cosine", "fp32", 1, init="probe", norms="frozen", ema=0.9
)
HEADS = TASKS["classification"].heads


def run(folder: Path, of: Architecture = NETWORK, **changes: Any) -> TrainResult:
    """Train a network from drawn weights in a folder, with changes of the arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {"recipe": RECIPE, "data": DIGITS, "settings": SETTINGS, **changes}
    return train(of, first_weights(of, folder), **arguments, folder=folder / "out")
