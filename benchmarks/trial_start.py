"""How soon a training begins on a warm worker, and what it costs besides its epochs.

Trainings of one epoch run one after the other through the real engine, in one worker. From when a
job is handed to the engine until its first step: the way to the worker, the network, its images,
Lightning's set-up. After the last epoch: predictions, weights, the interval of the metric, the way
back. The first training warms the worker (imports, images) and is told apart. Each of the others
trains another network or size than the one before, so that nothing of it is remembered.

    python benchmarks/trial_start.py [--rounds 3]

The aim is a median start of at most 0.3 s.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from archfront.search.engine.jobs import Done, Job
from archfront.search.engine.processes import ProcessEngine
from archfront.search.jobs.perform import TrainRequest, perform
from archfront.search.records.candidate import Candidate
from archfront.trainers.data import DataRef
from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights

AIM_S = 0.3
DIGITS = DataRef("digits", None, None, False, 600, 600, 597, 0, None, "stop", 500)
RECIPE = Recipe(lr=1e-3, weight_decay=0.05, batch_size=32, augment="light", dropout=0.0)
BACKBONES = ("test_resnet", "resnet10t", "mobilenetv3_small_050", "lcnet_050", "regnetx_002")
SIZES = (16, 32)


@dataclass(frozen=True)
class Times:
    """Seconds of one training: until its first step, of its epoch, after it."""

    start: float
    epoch: float
    end: float


def timed(engine: ProcessEngine, architecture: Architecture, threads: int) -> Times:
    """Train one epoch and return where the time went."""
    settings = TrainSettings("accuracy", 1, 1, 0, 0.1, "one_cycle", "fp32", threads)
    candidate = Candidate(architecture, Weights(), RECIPE)
    told: list[float] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        request = TrainRequest(0, candidate, DIGITS, settings, folder, folder / "trial")
        submitted = time.perf_counter()
        future = engine.submit(Job("train", request), lambda _: told.append(time.perf_counter()))
        result = future.result()
        ended = time.perf_counter()
    if not isinstance(result, Done):
        raise SystemExit(f"{architecture.backbone} was not trained: {result.message}")
    epoch = result.value.curve[0]["seconds"]
    return Times(told[0] - submitted - epoch, epoch, ended - told[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    architectures = [
        Architecture("classification", backbone, "avg", size, 10, 1)
        for size in SIZES
        for backbone in BACKBONES
    ]
    found = []
    with ProcessEngine(perform, workers=1, threads=options.threads) as engine:
        cold = timed(engine, architectures[0], options.threads)
        print(f"cold worker: start {cold.start:.2f} s", flush=True)
        for round_ in range(options.rounds):
            for architecture in architectures[1:] + architectures[:1]:
                times = timed(engine, architecture, options.threads)
                if round_ == 0:  # the first of its kind in this worker
                    name = f"{architecture.backbone}@{architecture.input_size}"
                    print(
                        f"{name}: start {times.start:.3f} s, epoch {times.epoch:.2f} s, "
                        f"end {times.end:.3f} s",
                        flush=True,
                    )
                found.append(times)
    starts, ends = [t.start for t in found], [t.end for t in found]
    verdict = "" if median(starts) <= AIM_S else f", over {AIM_S}"
    print(
        f"{len(found)} trainings on a warm worker: start {median(starts):.3f} s "
        f"(max {max(starts):.3f}){verdict}; end {median(ends):.3f} s (max {max(ends):.3f})"
    )


if __name__ == "__main__":
    main()
