"""One sensible candidate for boxes or masks, trained alone for so many minutes.

What a person who knows the field would train without a search, set by hand before any race: the
networks of ``CANDIDATES``, batches of 8, a peak learning rate of 1e-3 and a cosine. The epochs are
as many as fit the minutes by the seconds of a second epoch, which is measured before the minutes
begin: the first has the cost of starting. ``dense_race.py`` runs this in a process of its own:

    python benchmarks/one_candidate.py FOLDER MINUTES experiment=bccd data.root=BCCD \
        space.weights=WEIGHTS

The words are those of ``archfront run``; data, metric, loss, weights, threads and seed are theirs.
It prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.config.schema import Config
from archfront.search.prepare.data_reference import data_ref
from archfront.trainers.data import load
from archfront.trainers.networks.weights import resolve
from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights
from archfront.trainers.training.proxy import train

# By task. Classes and channels are the data's.
CANDIDATES = {
    "detection": Architecture(
        *("detection", "tf_efficientnet_lite0", "yolo", 224, 0, 0),
        neck="fpn",
        width=64,
        depth=1,
        finest=8,
    ),
    "semantic": Architecture(
        *("semantic", "tf_efficientnet_lite0", "unet", 192, 0, 0), width=32, depth=5
    ),
}
RECIPE = Recipe(lr=1e-3, weight_decay=0.01, batch_size=8, augment="light", dropout=0.0)
SCHEDULE = "cosine"
MEASURED_EPOCHS = 2


def candidate_of(
    config: Config, classes: int, channels: int, backbone: str | None
) -> tuple[Architecture, Weights]:
    """Return the candidate of a configuration's task, and its first weights."""
    task = config.task.name
    if task not in CANDIDATES:
        sys.exit(f"There is no candidate for {task}. There are ones for {', '.join(CANDIDATES)}.")
    architecture = replace(CANDIDATES[task], classes=classes, channels=channels)
    if backbone is not None:
        architecture = replace(architecture, backbone=backbone)
    name = architecture.backbone
    found = resolve([name], config.space.weights, channels=channels)
    if name not in found.weights:
        sys.exit(f"{name} has no weights: {found.missing[name]}")
    return architecture, found.weights[name]


def settings_of(config: Config, epochs: int, until_epoch: int) -> TrainSettings:
    """Return the settings of the training."""
    task = config.task
    return TrainSettings(
        metric=task.metric,
        until_epoch=until_epoch,
        horizon=epochs,
        seed=config.seed,
        label_smoothing=task.label_smoothing,
        schedule=SCHEDULE,
        precision="fp32",
        threads=config.engine.threads or 1,
        loss=task.loss,
    )


def epochs_in(seconds: float, epoch_s: float) -> int:
    """Return how many epochs fit, at least one."""
    return max(1, int(seconds / epoch_s))


def trained(
    config: Config, minutes: float, folder: Path, *, backbone: str | None = None
) -> dict[str, Any]:
    """Measure an epoch, train the candidate for the minutes and return what it came to."""
    data = data_ref(config)
    dataset = load(data)
    architecture, weights = candidate_of(
        config, len(dataset.class_names), dataset.channels, backbone
    )
    # The schedule of the measured epochs is that of a long training; their weights are dropped.
    measuring = settings_of(config, 100, MEASURED_EPOCHS)
    probed = train(architecture, weights, RECIPE, data, measuring, folder=folder / "measured")
    epoch_s = probed.curve[-1].seconds
    epochs = epochs_in(60 * minutes, epoch_s)
    started = time.perf_counter()
    settings = settings_of(config, epochs, epochs)
    result = train(architecture, weights, RECIPE, data, settings, folder=folder / "trained")
    return {
        "network": architecture.backbone,
        "head": architecture.top,
        "input_size": architecture.input_size,
        "weights": weights.source,
        "recipe": asdict(RECIPE),
        "epochs": epochs,
        "epoch_s": round(epoch_s, 2),
        "seconds": round(time.perf_counter() - started, 1),
        "metrics": result.metrics,
        "curve": [row.metrics[config.task.metric] for row in result.curve],
    }


def main(words: Sequence[str]) -> None:
    folder, minutes, *rest = words
    named = [word.partition("=")[2] for word in rest if word.startswith("backbone=")]
    composed = compose([word for word in rest if not word.startswith("backbone=")])
    config = build(composed.content, texts=composed.texts)
    found = trained(config, float(minutes), Path(folder), backbone=(named or [None])[-1])
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
