"""How well the latency clock repeats beside a neighbor, against a naive clock.

::

    python benchmarks/clock.py                       # 10 models x 10 processes, under 12 minutes
    python benchmarks/clock.py --models resnet18 resnet50 --processes 2 --json found.json

Each model is exported once. Then every process loads one artifact and times it with both clocks,
the naive one first, as it would be met in use: 20 runs, their mean, no warm-up. The processes go
through the models in turn, so that those of one model lie apart. Meanwhile another process loads
one core in bursts of 0.2 to 3 s with pauses as long, drawn from a seed; ``--no-load`` leaves it
out. What the clock knows of the core's fastest pace passes from process to process, as in use.

Given for each clock: the largest figure of a model over its smallest, their relative standard
deviation, and the share of wrong orders: over all pairs of models that truly differ by more than
10 % and all pairs of their processes, how often the slower one came out faster. Truly is the
lowest figure of any process, since a neighbor can only slow a step.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archfront.search.latency.clock import Effort, measure
from archfront.search.latency.device import fingerprint, pinned
from archfront.search.latency.memory import OPENERS
from archfront.search.latency.pace import Pace
from archfront.search.runtimes.exporters import export_onnx

# 2 to 60 ms at 224 px on one thread of a server's core; several pairs differ by 10 to 30 %.
MODELS = (
    "efficientvit_b0",
    "mobilenetv3_large_075",
    "mobilenetv2_100",
    "ghostnet_100",
    "efficientnet_lite0",
    "convnext_atto",
    "resnet10t",
    "resnet18",
    "resnet26d",
    "resnet50",
)
SIZE = 224
NAIVE_RUNS = 20
BURST_S = (0.2, 3.0)
# Models that differ by less may come out in either order.
APART = 1.10
SEED = 0
CLOCKS = {"archfront": "p50_ms", "naive": "naive_ms"}


def main() -> None:
    options = _options()
    if options.child:
        print(json.dumps(measure_once(options.child, options.runtime, options.pace)))
        return
    print(f"device: {fingerprint()}")
    with TemporaryDirectory() as name:
        folder = Path(name)
        exported = {model: export(model, folder) for model in options.models}
        with neighbor(is_there=not options.no_load):
            found = measure_all(options, folder)
    summary = {clock: judge(found, key) for clock, key in CLOCKS.items()}
    report(found, summary, exported)
    if options.json:
        content = {"device": str(fingerprint()), "load": not options.no_load}
        content |= {"runtime": options.runtime, "processes": options.processes}
        content |= {"summary": summary, "export_s": exported, "found": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"written: {options.json}")


def export(model: str, folder: Path) -> float:
    """Write a model's artifact below the folder and return the seconds that took."""
    import timm
    import torch

    class Deployed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = timm.create_model(model, num_classes=10)

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (self.network(images),)

    torch.set_num_threads(1)
    (folder / model).mkdir()
    module = Deployed().eval().requires_grad_(False)
    example = torch.zeros(1, 3, SIZE, SIZE)
    started = time.perf_counter()
    export_onnx(module, example, folder / model, exporter="torchscript", output_names=("logits",))
    print(f"exported {model}", flush=True)
    return time.perf_counter() - started


def measure_all(options: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what each process found, by model, the processes in turn."""
    found: dict[str, list[dict[str, Any]]] = {model: [] for model in options.models}
    total, started = options.processes * len(found), time.perf_counter()
    for number, model in itertools.product(range(options.processes), found):
        artifact = folder / model / "torchscript" / "model.onnx"
        command = [sys.executable, __file__, "--child", str(artifact)]
        command += ["--runtime", options.runtime, "--pace", str(folder / "pace.json")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        one = json.loads(done.stdout.splitlines()[-1])
        found[model].append(one)
        n_done = number * len(found) + list(found).index(model) + 1
        print(
            f"{n_done}/{total} {time.perf_counter() - started:4.0f} s  {model}: p50 "
            f"{one['p50_ms']:.3f} ms (naive {one['naive_ms']:.3f}) in {one['seconds']:.1f} s"
            f"{'' if one['is_stable'] else ', not stable'}",
            flush=True,
        )
    return found


def measure_once(artifact: Path, runtime: str, pace_file: Path) -> dict[str, Any]:
    """Return what both clocks say of an artifact, in ms."""
    open_artifact = OPENERS[runtime]()
    pace = Pace(file=pace_file)
    pace.read()
    run = open_artifact(artifact, 1, "fp32")
    started = time.perf_counter()
    for _ in range(NAIVE_RUNS):
        run()
    naive_ms = (time.perf_counter() - started) / NAIVE_RUNS * 1e3
    started = time.perf_counter()
    timing = measure(run, Effort(), pace=pace)
    return {
        "p50_ms": timing.p50_ms,
        "naive_ms": naive_ms,
        "is_stable": timing.is_stable,
        "interval": timing.interval,
        "attempts": timing.attempts,
        "seconds": time.perf_counter() - started,
    }


@contextmanager
def neighbor(*, is_there: bool) -> Iterator[None]:
    """Load one core now and then within the block."""
    if not is_there:
        yield
        return
    process = subprocess.Popen([sys.executable, __file__, "--neighbor"])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def load_now_and_then() -> None:
    """Work and rest in turn, for ever, on the first core where the system lets it choose."""
    import numpy as np

    rng = random.Random(SEED)
    values = np.linspace(0.1, 1.0, 65_536)
    with pinned((0,) if hasattr(os, "sched_setaffinity") else None):
        while True:
            until = time.perf_counter() + rng.uniform(*BURST_S)
            while time.perf_counter() < until:
                np.sin(values)
            time.sleep(rng.uniform(*BURST_S))


def judge(found: dict[str, list[dict[str, Any]]], key: str) -> dict[str, float]:
    """Return how one clock repeats, and how often it orders two models wrongly."""
    values = {model: [one[key] for one in several] for model, several in found.items()}
    true = {
        model: min(min(one[k] for k in CLOCKS.values()) for one in several)
        for model, several in found.items()
    }
    wrong = total = 0
    for slow, fast in itertools.permutations(found, 2):
        if true[slow] / true[fast] > APART:
            pairs = list(itertools.product(values[slow], values[fast]))
            wrong += sum(one <= other for one, other in pairs)
            total += len(pairs)
    return {
        "max_over_min": statistics.median(max(v) / min(v) for v in values.values()),
        "worst_max_over_min": max(max(v) / min(v) for v in values.values()),
        "relative_std": statistics.median(_deviation(v) for v in values.values()),
        "wrong_orders": wrong / total if total else 0.0,
        "pairs": total,
    }


def report(
    found: dict[str, list[dict[str, Any]]],
    summary: dict[str, dict[str, float]],
    exported: dict[str, float],
) -> None:
    """Print a line a model and a line a clock."""
    print(f"\n{'model':24}{'lowest ms':>10}{'max/min':>9}{'naive':>7}{'stable':>8}{'s':>6}")
    for model, several in found.items():
        lows = [one["p50_ms"] for one in several]
        naive = [one["naive_ms"] for one in several]
        seconds = statistics.median(one["seconds"] for one in several)
        stable = f"{sum(one['is_stable'] for one in several)}/{len(several)}"
        print(f"{model:24}{min(lows):10.3f}{max(lows) / min(lows):9.3f}", end="")
        print(f"{max(naive) / min(naive):7.3f}{stable:>8}{seconds:6.2f}")
    for clock, one in summary.items():
        print(
            f"{clock:10} median max/min {one['max_over_min']:.3f} (worst "
            f"{one['worst_max_over_min']:.3f}), relative std {one['relative_std']:.4f}, wrong "
            f"orders {one['wrong_orders']:.2%} of {one['pairs']}"
        )
    timed = statistics.median(one["seconds"] for several in found.values() for one in several)
    print(f"median seconds: export {statistics.median(exported.values()):.2f}, timing {timed:.2f}")


def _deviation(values: list[float]) -> float:
    return statistics.pstdev(values) / statistics.fmean(values)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="timm names")
    parser.add_argument("--processes", type=int, default=10, help="of each model")
    parser.add_argument("--runtime", choices=list(OPENERS), default="onnxruntime")
    parser.add_argument("--no-load", action="store_true", help="without the neighbor")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pace", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--neighbor", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.neighbor:
        load_now_and_then()
    return options


if __name__ == "__main__":
    main()
