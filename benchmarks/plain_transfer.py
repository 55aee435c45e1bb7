"""The script that a good engineer writes in an afternoon to fine-tune pretrained networks.

It shares no line with archfront. For each network of a list, at each input size, the features of
the frozen network are computed once and a logistic regression is fitted to them (scikit-learn, its
strength chosen on the validation images); the network with that head is measured on ONNX Runtime.
Then the best of them is fine-tuned from that head, and the next best, until the time is up.
Batch norm keeps its statistics meanwhile: the head was fitted to features made with those.

    python benchmarks/plain_transfer.py --data FOLDER --weights FOLDER --minutes 6 \
        --backbones tf_efficientnet_lite0,tf_efficientnet_lite1 --sizes 96,128,160 --threads 1

The data folder holds ``train`` and ``val``, and ``test`` if there are test images, each with a
folder per class; or a folder per class, a fifth of which becomes the validation images. The
weights are files of timm's names, such as ``tf_efficientnet_lite0.in1k.safetensors``.

Each line of the output is a JSON object. ``seconds`` counts from the start of the process, with
all imports. A line of stage ``probe`` or ``fine-tuned`` is a model that was finished at that
moment, with both metrics on the validation images and the median latency; a fine-tuned model is
printed where its metric is above all earlier ones of that training. Lines of stage ``test``
follow after the time is up, one for each model of the front, with metrics on the test images.
``transfer_curves.py`` turns the lines into curves over time.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from PIL import Image
from plain_networks import (
    Split,
    features_of,
    fit_head,
    latency_of,
    metrics_of,
    network_of,
    normalized,
    predictions_of,
)
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.datasets import ImageFolder
from transfer_curves import Row, front_of

METRICS = ("accuracy", "balanced_accuracy")
PROBE_SHARE = 0.6  # of the time: no probe begins, after the first, that would end later
MAX_EPOCHS = 10
VAL_SHARE = 0.2  # where there is no folder of validation images
LR, WEIGHT_DECAY, BATCH, WARMUP_SHARE, SMOOTHING = 3e-4, 0.01, 32, 0.1, 0.1

Files = dict[str, list[tuple[str, int]]]  # path and label of each image, by split


def files_of(folder: Path, seed: int) -> Files:
    """Return the files of a folder with a folder per split, or with one per class."""
    names = [name for name in ("train", "val", "test") if (folder / name).is_dir()]
    files: Files = {name: ImageFolder(folder / name).samples for name in names}
    if "val" not in files:
        samples = files.get("train") or ImageFolder(folder).samples
        labels = [label for _, label in samples]
        files["train"], files["val"] = train_test_split(
            samples, test_size=VAL_SHARE, random_state=seed, stratify=labels
        )
    return files


def decoded(files: Sequence[tuple[str, int]], size: int) -> Split:
    """Return all images of a split, resized to a square."""
    images = []
    for path, _ in files:
        with Image.open(path) as image:
            small = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
            images.append(torch.from_numpy(np.array(small)).permute(2, 0, 1))
    return torch.stack(images), np.array([label for _, label in files])


def lr_share(progress: float) -> float:
    """Return the share of the peak learning rate: a straight rise, then half a cosine."""
    if progress < WARMUP_SHARE:
        return (progress + 0.01) / (WARMUP_SHARE + 0.01)
    return (1 + math.cos(math.pi * (progress - WARMUP_SHARE) / (1 - WARMUP_SHARE))) / 2


class Script:
    """Probes, then fine-tuning, then test.

    Args:
        options: Of the command.
        started: From when its minutes count, by the clock.
        clock: Returns seconds.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        started: float,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.options, self.metric, self.clock = options, options.metric, clock
        self.ends = started + 60 * options.minutes
        self.files = files_of(options.data, options.seed)
        self.counts = np.bincount([label for _, label in self.files["train"]])
        self.rng = np.random.default_rng(options.seed)
        self.sets: dict[tuple[str, int], Split] = {}
        self.rows: list[Row] = []
        self.networks: list[nn.Module] = []  # of each row

    def run(self) -> list[Row]:
        """Return all lines, which are also printed."""
        for size in sorted(self.options.sizes):
            for name in self.options.backbones:
                self.probe(name, size)
        for row in sorted(self.rows, key=lambda row: -row[self.metric]):
            self.fine_tune(row, self.networks[self.rows.index(row)])
        tested = []
        for row in front_of(self.rows, self.metric) if "test" in self.files else ():
            images, labels = self.split("test", row["input_size"])
            predicted = predictions_of(self.networks[self.rows.index(row)], images)
            tested.append(self.told({**row, "stage": "test"}, predicted, labels))
        return [*self.rows, *tested]

    def left_s(self) -> float:
        """Return the seconds that are left."""
        return self.ends - self.clock()

    def split(self, name: str, size: int) -> Split:
        """Return the images of a split, decoded once per size."""
        if (name, size) not in self.sets:
            self.sets[name, size] = decoded(self.files[name], size)
        return self.sets[name, size]

    def probe(self, name: str, size: int) -> None:
        """Fit the head of a frozen network, unless it would end too late."""
        train, val = self.split("train", size), self.split("val", size)
        network = network_of(name, self.options.weights, len(self.counts))
        start = self.clock()
        features_of(network, train[0][:BATCH])
        batch_s = self.clock() - start
        expected_s = batch_s * (len(train[0]) + len(val[0])) / BATCH
        if self.rows and self.left_s() - expected_s < 60 * self.options.minutes * (
            1 - PROBE_SHARE
        ):
            return
        predicted = fit_head(network, train, val, self.metric, self.options.seed)
        ms = latency_of(network, size, self.options.threads)
        row = {"network": name, "input_size": size, "stage": "probe", "latency_ms": ms}
        self.keep(row, network, predicted, val[1])

    def fine_tune(self, row: Row, network: nn.Module) -> None:
        """Train a whole network from its probe's head for the time left, ten epochs at most."""
        (images, labels), val = (self.split(s, row["input_size"]) for s in ("train", "val"))
        best, network = row[self.metric], deepcopy(network)
        decays = [
            [p for p in network.parameters() if (p.ndim > 1) == big] for big in (True, False)
        ]
        groups = [{"params": decays[0]}, {"params": decays[1], "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=LR, weight_decay=WEIGHT_DECAY)
        start = self.clock()
        predictions_of(network, val[0])
        val_s = self.clock() - start
        n_steps = MAX_EPOCHS * math.ceil(len(images) / BATCH)
        # The schedule follows the clock, so that it ends with the time.
        began, seconds = self.clock(), self.left_s() - 2 * val_s
        for step, (indices, ends_epoch) in enumerate(self.batches(len(images))):
            spent_s = self.clock() - began
            progress = max(step / n_steps, spent_s / seconds if seconds > 0 else 1.0)
            if progress < 1:
                for group in optimizer.param_groups:
                    group["lr"] = LR * lr_share(progress)
                self.step(network, optimizer, images[indices], labels[indices])
            if (ends_epoch or progress >= 1) and self.left_s() > val_s:
                predicted = predictions_of(network, val[0])
                value = metrics_of(predicted, val[1])[self.metric]
                if value > best and self.left_s() > 0:
                    best = value
                    self.keep({**row, "stage": "fine-tuned"}, deepcopy(network), predicted, val[1])
            if progress >= 1:
                return

    def batches(self, n_images: int) -> Iterator[tuple[NDArray[Any], bool]]:
        """Yield the indices of each batch, and whether it ends its epoch; never stop."""
        while True:
            parts = np.array_split(self.rng.permutation(n_images), math.ceil(n_images / BATCH))
            yield from ((part, part is parts[-1]) for part in parts)

    def step(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        pixels: Tensor,
        labels: NDArray[Any],
    ) -> None:
        """Change the weights by the gradient of a batch, half of whose images are mirrored."""
        network.train()
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        mirrored = torch.from_numpy(self.rng.random(len(pixels)) < 0.5)
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
        weight = None
        if self.metric == "balanced_accuracy":
            weight = torch.from_numpy(self.counts.mean() / self.counts).float()
        logits = network(normalized(network, pixels))
        optimizer.zero_grad()
        loss = F.cross_entropy(logits, torch.from_numpy(labels), weight, label_smoothing=SMOOTHING)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    def keep(
        self, row: Row, network: nn.Module, predicted: NDArray[Any], labels: NDArray[Any]
    ) -> None:
        """Print a model that is finished and keep it."""
        self.rows.append(self.told(row, predicted, labels))
        self.networks.append(network)

    def told(self, row: Row, predicted: NDArray[Any], labels: NDArray[Any]) -> Row:
        """Print a line and return it."""
        seconds = round(60 * self.options.minutes - self.left_s(), 2)
        line = {**row, "seconds": seconds, **metrics_of(predicted, labels)}
        print(json.dumps(line), flush=True)
        return line


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backbones", type=lambda text: text.split(","), required=True)
    parser.add_argument("--sizes", type=lambda text: [*map(int, text.split(","))], required=True)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--metric", choices=METRICS, default=METRICS[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def main() -> None:
    options = options_of()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    Script(options, psutil.Process().create_time()).run()


if __name__ == "__main__":
    main()
