"""Compare the proxy trainer with a hand-written PyTorch loop in CPU time.

Both train the same network on the same digits with the same recipe, optimizer, schedule,
augmentation, clipping and validation; the loop knows nothing of Lightning, records or hooks.
They take turns, and the figure is the median of the ratios of neighboring runs (loop / trainer;
1.00 means no overhead). CPU time is compared, since a shared machine stretches wall time.

    python benchmarks/throughput.py                       # 7 pairs of 20 s each, about 5 minutes
    python benchmarks/throughput.py --seconds 3 --pairs 3
"""

from __future__ import annotations

import os

# Waiting threads must sleep: a spinning one burns the CPU time that is measured here.
os.environ["OMP_WAIT_POLICY"] = "passive"

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn
from torchmetrics.functional import accuracy

from archfront.trainers.data import DataRef, ImageSet, Preprocess, load
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.augment import augment
from archfront.trainers.training.module import parameter_groups
from archfront.trainers.training.proxy import train
from archfront.trainers.training.schedule import lr_factor

DIGITS = DataRef(
    reader="digits",
    root=None,
    name=None,
    download=False,
    train=600,
    val=600,
    test=597,
    split_seed=0,
    channels=None,
    on_error="stop",
    memory_mb=500,
)
RECIPE = Recipe(lr=4e-3, weight_decay=0.05, batch_size=32, augment="light", dropout=0.0)


def trainer(architecture: Architecture, settings: TrainSettings) -> float:
    with TemporaryDirectory() as folder:
        result = train(architecture, Weights(), RECIPE, DIGITS, settings, folder=Path(folder))
    return result.metrics["accuracy"]


def loop(architecture: Architecture, settings: TrainSettings) -> float:
    torch.manual_seed(settings.seed)
    dataset = load(DIGITS)
    preprocess = preprocess_for(architecture, Weights())
    images, val_images = (
        ImageSet.of(dataset.splits[s], preprocess).tensor for s in ("train", "val")
    )
    assert images is not None
    assert val_images is not None
    labels, val_labels = (torch.from_numpy(dataset.splits[s].labels) for s in ("train", "val"))
    network = TASKS["classification"].build(architecture, Weights())
    network = network.to(memory_format=torch.channels_last)
    groups = parameter_groups(network, RECIPE.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=RECIPE.lr, fused=True)
    size = RECIPE.batch_size
    n_steps = len(images) // size
    rng = np.random.default_rng(settings.seed)
    score = 0.0
    for epoch in range(settings.until_epoch):
        network.train()
        order = torch.randperm(len(images))
        for step in range(n_steps):
            factor = lr_factor(
                settings.schedule, epoch * n_steps + step, settings.horizon * n_steps
            )
            for group in optimizer.param_groups:
                group["lr"] = RECIPE.lr * factor
            chosen = order[step * size : (step + 1) * size]
            x = preprocess.normalize(images[chosen])
            x, y = augment(
                x, labels[chosen], strength=RECIPE.augment, classes=architecture.classes, rng=rng
            )
            logits = network(x.contiguous(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits, y, label_smoothing=settings.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        score = evaluate(network, preprocess, val_images, val_labels)
    return score


def evaluate(
    network: nn.Module, preprocess: Preprocess, images: torch.Tensor, labels: torch.Tensor
) -> float:
    network.eval()
    with torch.inference_mode():
        parts = [
            network(
                preprocess.normalize(part).contiguous(memory_format=torch.channels_last)
            ).softmax(dim=1)
            for part in images.split(64)
        ]
    predicted = torch.cat(parts)
    classes = predicted.shape[1]
    return float(accuracy(predicted, labels, task="multiclass", num_classes=classes))


def cpu_seconds(
    run: Callable[[Architecture, TrainSettings], float],
    architecture: Architecture,
    settings: TrainSettings,
) -> tuple[float, float]:
    start = time.process_time()
    score = run(architecture, settings)
    return time.process_time() - start, score


def settings_for(epochs: int, threads: int) -> TrainSettings:
    return TrainSettings("accuracy", epochs, epochs, 0, 0.1, "one_cycle", "fp32", threads)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trainer against a hand-written loop.")
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--input-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="CPU seconds of a run")
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    architecture = Architecture(
        "classification", options.backbone, "timm", options.input_size, 10, 1
    )
    loop(architecture, settings_for(1, options.threads))
    probed, _ = cpu_seconds(loop, architecture, settings_for(4, options.threads))
    epochs = max(1, math.ceil(4 * options.seconds / probed))
    settings = settings_for(epochs, options.threads)
    ratios = []
    for pair in range(options.pairs):
        order = (loop, trainer) if pair % 2 == 0 else (trainer, loop)
        found = {run: cpu_seconds(run, architecture, settings) for run in order}
        (by_loop, loop_score), (by_trainer, score) = found[loop], found[trainer]
        ratios.append(by_loop / by_trainer)
        print(
            f"pair {pair + 1}: loop {by_loop:.2f} s (accuracy {loop_score:.3f}), "
            f"trainer {by_trainer:.2f} s ({score:.3f}), ratio {ratios[-1]:.3f}",
            flush=True,
        )
    print(
        f"{options.backbone}@{options.input_size}, {epochs} epochs, {options.threads} threads: "
        f"throughput of the trainer is {median(ratios):.3f} of the loop's "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f}, CPU time, "
        f"median of {options.pairs} pairs)"
    )


if __name__ == "__main__":
    main()
