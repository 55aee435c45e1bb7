"""Figures of a GPU: latencies by archfront and by hand, and training against a hand-written loop.

``gpu.sh`` runs both parts on a machine with one. With ``--device cpu`` they run anywhere, so that
the script is known to work before it meets a GPU; the figures then say nothing of one.

    python benchmarks/gpu_figures.py latency --device cuda
    python benchmarks/gpu_figures.py throughput --device cuda --seconds 10

``latency`` prints a line for each network, runtime and precision: archfront's p50, which a GPU's
own events time, and that of 100 eager runs by hand between two events. ``throughput`` trains one
network on drawn images with archfront's trainer and with a loop of the same recipe, in turn, and
prints images per second of training, their ratio, and the share of the time that the device is
busy: by samples of nvidia-smi, or by the processor time of the process. Each line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from archfront.search.errors import ArchfrontError
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.measure import measure_architecture
from archfront.search.latency.network import build_network
from archfront.trainers.data import DataRef, ImageSet, load
from archfront.trainers.data.ref import Shapes
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.augment import augment
from archfront.trainers.training.module import parameter_groups
from archfront.trainers.training.proxy import train

NETWORKS = ("resnet18", "tf_efficientnet_lite0", "mobilenetv3_small_100")
RUNTIMES = {
    "cpu": (("eager", "fp32"), ("onnxruntime", "fp32")),
    "cuda": (
        *(("eager_cuda", "fp32"), ("eager_cuda", "fp16")),
        *(("onnxruntime_cuda", "fp32"), ("onnxruntime_cuda", "fp16")),
    ),
}
WARMUP, REPEATS, MAX_SECONDS = 20, 100, 2.0
SAMPLE_MS = 100  # between two samples of nvidia-smi
CLASSES = 4
RECIPE = Recipe(lr=1e-3, weight_decay=0.01, batch_size=64, augment="light", dropout=0.0)

Row = dict[str, Any]


def shapes(n_images: int, side: int) -> DataRef:
    """Return drawn images, four fifths of which are trained on."""
    return DataRef(
        reader="shapes",
        root=None,
        name=None,
        download=False,
        train=0.8,
        val=0.2,
        test=0,
        split_seed=0,
        channels=3,
        on_error="stop",
        memory_mb=4096,
        shapes=Shapes(images=n_images, side=side, classes=CLASSES, objects_max=1),
    )


def by_hand_ms(architecture: Architecture, device: torch.device) -> float:
    """Return the median of eager runs of one image: by events on a GPU, else by the clock."""
    network = build_network(architecture, 1, seed=0, weights=None)
    module, example = network.module.to(device), network.example.to(device)
    times = []
    with torch.inference_mode():
        for _ in range(WARMUP + REPEATS):
            if device.type == "cuda":
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                module(example)
                end.record()
                end.synchronize()
                times.append(begin.elapsed_time(end))
            else:
                start = time.perf_counter()
                module(example)
                times.append(1000 * (time.perf_counter() - start))
    return median(times[WARMUP:])


def latencies(device: torch.device, networks: Sequence[str], size: int) -> Iterator[Row]:
    """Yield a row for each network, runtime and precision; what cannot run says why."""
    for name in networks:
        architecture = Architecture("classification", name, "timm", size, 10, 3)
        by_hand = by_hand_ms(architecture, device)
        for runtime, precision in RUNTIMES[device.type]:
            row: Row = {"network": name, "input_size": size}
            row |= {"runtime": runtime, "precision": precision, "by_hand_fp32_ms": by_hand}
            settings = MeasureSettings(
                *(runtime, 1, 1, WARMUP, REPEATS), precision=precision, max_seconds=MAX_SECONDS
            )
            try:
                with TemporaryDirectory() as folder:
                    found = measure_architecture(architecture, settings, folder=Path(folder))
            except ArchfrontError as error:
                yield {**row, "said": str(error)}
                continue
            latency = found.latency
            row |= {"p50_ms": latency.p50_ms, "spread": latency.spread, "parity": latency.parity}
            yield {**row, "is_stable": latency.is_stable}


@contextmanager
def busy(device: torch.device) -> Iterator[Row]:
    """Give a row that has the busy share of a device when the block has ended."""
    row: Row = {}
    if device.type == "cpu":
        wall, work = time.perf_counter(), time.process_time()
        yield row
        share = (time.process_time() - work) / (time.perf_counter() - wall)
        row["busy"] = share / torch.get_num_threads()
        return
    query = ("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
    command = ["nvidia-smi", *query, "-lms", str(SAMPLE_MS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield row
    finally:
        process.terminate()
        text, _ = process.communicate()
        row.update(busy_of(text))


def busy_of(text: str) -> Row:
    """Return the mean utilization of samples, one number a line; None without a sample."""
    samples = [float(line) / 100 for line in text.splitlines() if line.strip().isdigit()]
    return {"busy": mean(samples) if samples else None, "samples": len(samples)}


def settings_of(epochs: int, precision: str) -> TrainSettings:
    return TrainSettings(
        metric="accuracy",
        until_epoch=epochs,
        horizon=epochs,
        seed=0,
        label_smoothing=0.1,
        schedule="cosine",
        precision="bf16" if precision == "bf16" else "fp32",
        threads=torch.get_num_threads(),
        loss="cross_entropy",
    )


def by_trainer(architecture: Architecture, data: DataRef, settings: TrainSettings) -> Row:
    """Return the images per second of archfront's trainer, and its accuracy."""
    with TemporaryDirectory() as folder:
        result = train(architecture, Weights(), RECIPE, data, settings, folder=Path(folder))
    return {"images_per_s": result.images_per_s, "accuracy": result.metrics["accuracy"]}


def by_loop(
    architecture: Architecture, data: DataRef, settings: TrainSettings, device: torch.device
) -> Row:
    """Return the same of a loop that knows nothing of Lightning, records or hooks.

    All images lie on the device as uint8; the learning rate is constant.
    """
    torch.manual_seed(settings.seed)
    dataset = load(data)
    preprocess = preprocess_for(architecture, Weights())
    tensors = {s: ImageSet.of(dataset.splits[s], preprocess).tensor for s in ("train", "val")}
    images, val_images = (t.to(device) for t in tensors.values() if t is not None)
    labels, val_labels = (
        torch.from_numpy(dataset.splits[s].labels).to(device) for s in ("train", "val")
    )
    network = TASKS["classification"].build(architecture, Weights())
    network = network.to(device, memory_format=torch.channels_last)
    groups = parameter_groups(network, RECIPE.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=RECIPE.lr, fused=True)
    rng, n_steps = np.random.default_rng(0), len(images) // RECIPE.batch_size
    _wait(device)
    start = time.perf_counter()
    for _ in range(settings.until_epoch):
        network.train()
        order = torch.randperm(len(images)).to(device)
        for chosen in order[: n_steps * RECIPE.batch_size].split(RECIPE.batch_size):
            pixels, targets = augment(
                preprocess.normalize(images[chosen]),
                labels[chosen],
                strength=RECIPE.augment,
                classes=architecture.classes,
                rng=rng,
            )
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                logits = network(pixels)
                loss = nn.functional.cross_entropy(
                    logits, targets, label_smoothing=settings.label_smoothing
                )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    _wait(device)
    seconds = time.perf_counter() - start
    network.eval()
    with torch.inference_mode():
        right = [
            network(preprocess.normalize(part).contiguous(memory_format=torch.channels_last))
            for part in val_images.split(64)
        ]
    accuracy = (torch.cat(right).argmax(1) == val_labels).float().mean()
    n_seen = settings.until_epoch * n_steps * RECIPE.batch_size
    return {"images_per_s": n_seen / seconds, "accuracy": float(accuracy)}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def throughputs(device: torch.device, options: argparse.Namespace) -> Iterator[Row]:
    """Yield a row for each pair of runs, and one with the medians."""
    data = shapes(options.images, options.size)
    name = options.networks[0]
    architecture = Architecture("classification", name, "timm", options.size, CLASSES, 3)
    settings = settings_of(1, options.precision)
    by_loop(architecture, data, settings, device)  # kernels are chosen in the first run
    probed = by_loop(architecture, data, settings, device)["images_per_s"]
    epochs = max(1, round(options.seconds * probed / (0.8 * options.images)))
    settings = replace(settings, until_epoch=epochs, horizon=epochs)
    rows = []
    for pair in range(options.pairs):
        found: dict[str, Row] = {}
        for side in ("loop", "trainer") if pair % 2 == 0 else ("trainer", "loop"):
            with busy(device) as row:
                own = (
                    by_loop(architecture, data, settings, device)
                    if side == "loop"
                    else by_trainer(architecture, data, settings)
                )
            found[side] = {**own, **row}
        speed = found["trainer"]["images_per_s"] / found["loop"]["images_per_s"]
        rows.append({"pair": pair + 1, **found, "trainer_over_loop": speed})
        yield rows[-1]
    yield {
        "network": name,
        "input_size": options.size,
        "batch": RECIPE.batch_size,
        "precision": options.precision,
        "epochs": epochs,
        "trainer_over_loop": median(row["trainer_over_loop"] for row in rows),
    }


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("latency", "throughput"))
    parser.add_argument("--device", choices=RUNTIMES, default="cuda")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--size", type=int, default=128, help="px of the images")
    parser.add_argument("--images", type=int, default=2000, help="drawn ones")
    parser.add_argument("--seconds", type=float, default=10, help="of a training")
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    device = torch.device(options.device)
    if device.type == "cpu" and torch.cuda.is_available():
        raise SystemExit("The trainer takes the GPU that is here. Give --device cuda.")
    rows = (
        latencies(device, options.networks, options.size)
        if options.part == "latency"
        else throughputs(device, options)
    )
    for row in rows:
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
