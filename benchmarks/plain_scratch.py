"""One plain loop from scratch: a small timm network at the images' own size, until the time is up.

It shares no line with archfront. AdamW, a one-cycle learning rate that follows the clock, mirrored
images, batches of 64; after each epoch the validation images are predicted.

    python benchmarks/plain_scratch.py --data FOLDER --minutes 6

The data folder holds ``train`` and ``val``, each with a folder per class. Where ``--size`` is not
given, images become squares of the median of their longest sides. Each line of the output is a
JSON object: ``seconds`` since the start of the process, with all imports, and both metrics. The
network of the best epoch is the one that a person would keep.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.datasets import ImageFolder

METRICS = ("accuracy", "balanced_accuracy")
LR, WEIGHT_DECAY, BATCH, SMOOTHING = 4e-3, 0.05, 64, 0.1
RISE_SHARE, START_DIVISOR = 0.3, 25.0  # as torch's OneCycleLR
EVAL_BATCH = 256
LAST_S = 2.0  # kept for the last predictions, beside what one pass over them took

Row = dict[str, Any]


def own_size(folder: Path) -> int:
    """Return the median of the longest sides of a folder's images."""
    sides = []
    for path, _ in ImageFolder(folder).samples:
        with Image.open(path) as image:
            sides.append(max(image.size))
    return round(median(sides))


def decoded(folder: Path, size: int) -> tuple[Tensor, NDArray[Any]]:
    """Return all images of a folder, ``(N, 3, S, S)`` between -1 and 1, and their labels."""
    images, labels = [], []
    for path, label in ImageFolder(folder).samples:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
            images.append(torch.from_numpy(np.array(small)).permute(2, 0, 1))
        labels.append(label)
    return torch.stack(images).float() / 127.5 - 1, np.array(labels)


def lr_share(progress: float) -> float:
    """Return the share of the peak learning rate: a rise and a fall along cosines."""
    if progress < RISE_SHARE:
        low = 1 / START_DIVISOR
        return low + (1 - low) * (1 - np.cos(np.pi * progress / RISE_SHARE)) / 2
    return (1 + np.cos(np.pi * (progress - RISE_SHARE) / (1 - RISE_SHARE))) / 2


@torch.inference_mode()
def predictions_of(network: nn.Module, images: Tensor) -> NDArray[Any]:
    network.eval()
    return torch.cat([network(part) for part in images.split(EVAL_BATCH)]).argmax(1).numpy()


def trained(
    options: argparse.Namespace, started: float, *, clock: Callable[[], float] = time.time
) -> list[Row]:
    """Train until the time is up, and print and return a line for each epoch."""
    ends = started + 60 * options.minutes
    size = options.size or own_size(options.data / "train")
    (images, labels), (val_images, val_labels) = (
        decoded(options.data / split, size) for split in ("train", "val")
    )
    counts = np.bincount(labels)
    weight = None
    if options.metric == "balanced_accuracy":
        weight = torch.from_numpy(counts.mean() / counts).float()
    network = timm.create_model(options.backbone, num_classes=len(counts))
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    rng = np.random.default_rng(options.seed)
    began = clock()
    predictions_of(network, val_images)
    val_s = clock() - began
    began, seconds = clock(), max(ends - clock() - val_s - LAST_S, 0.0)
    rows: list[Row] = []
    progress = 0.0
    while progress < 1:
        network.train()
        for indices in np.array_split(rng.permutation(len(images)), -(-len(images) // BATCH)):
            progress = (clock() - began) / seconds if seconds > 0 else 1.0
            if progress >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = LR * lr_share(progress)
            pixels = images[indices].contiguous(memory_format=torch.channels_last)
            mirrored = torch.from_numpy(rng.random(len(pixels)) < 0.5)
            pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
            loss = F.cross_entropy(
                network(pixels),
                torch.from_numpy(labels[indices]),
                weight,
                label_smoothing=SMOOTHING,
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        predicted = predictions_of(network, val_images)
        row = {
            "epoch": len(rows) + 1,
            "input_size": size,
            "seconds": round(clock() - started, 2),
            "accuracy": float((predicted == val_labels).mean()),
            "balanced_accuracy": float(balanced_accuracy_score(val_labels, predicted)),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--backbone", default="resnet10t")
    parser.add_argument("--size", type=int, help="(default: the images' own)")
    parser.add_argument("--metric", choices=METRICS, default=METRICS[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def main() -> None:
    options = options_of()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    trained(options, psutil.Process().create_time())


if __name__ == "__main__":
    main()
