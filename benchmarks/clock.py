"""How well the latency clock repeats: one model measured in separate processes.

::

    python benchmarks/clock.py --model resnet18@32 --model mobilenetv3_small_050@32 --runs 10

Every run is a process of its own that builds, exports and measures the model with
``measure_architecture``, and, on a session made the same way, with a naive clock: 20 runs, their
mean, no warm-up. Given for each clock: the p50 (or mean) of every run, and the largest over the
smallest. The aim is at most 1.10 on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from search.latency.device import fingerprint
from search.latency.measure import MeasureSettings, measure_architecture
from search.latency.runtimes import RUNTIMES, LoadSettings, torch_threads
from trainers.spec import Architecture, Weights

AIM = 1.10
NAIVE_RUNS = 20


def main() -> None:
    options = _options()
    if options.child:
        print(json.dumps(measure_once(options, options.child)))
        return
    print(f"device: {fingerprint()}")
    print(f"runtime: {options.runtime} {RUNTIMES[options.runtime].version()}, ", end="")
    print(f"threads {options.threads}, batch {options.batch_size}, {options.runs} processes each")
    for model in options.model:
        found = [run_in_process(model) for _ in range(options.runs)]
        report(model, found)


def measure_once(options: argparse.Namespace, model: str) -> dict[str, float]:
    """Return what both clocks say of a model, in ms."""
    name, _, size = model.partition("@")
    architecture = Architecture("classification", name, options.head, int(size), 10, 3)
    settings = MeasureSettings(
        options.runtime, options.threads, options.batch_size, options.warmup, options.repeats
    )
    with TemporaryDirectory() as folder:
        # First, so that the naive clock meets the cold machine that it would meet in use.
        naive_ms = naive(architecture, settings, Path(folder))
        measurement = measure_architecture(architecture, settings, folder=Path(folder))
    latency = measurement.latency
    return {
        "p50_ms": latency.p50_ms,
        "naive_ms": naive_ms,
        "is_stable": latency.is_stable,
        "seconds": measurement.seconds,
        "load": os.getloadavg()[0],
    }


def naive(architecture: Architecture, settings: MeasureSettings, folder: Path) -> float:
    """Return the mean of 20 runs without any warm-up, in ms."""
    from trainers.tasks import task_named

    task = task_named(architecture.task)
    module = task.deploy_module(task.build(architecture, Weights()))
    module.eval().requires_grad_(False)
    runtime = RUNTIMES[settings.runtime]
    load = LoadSettings(folder, runtime.exporters[0], task.output_names, settings.threads)
    example = task.example(architecture, settings.batch_size, 0)
    with torch_threads(settings.threads), runtime.load(module, example, load) as session:
        started = time.perf_counter()
        for _ in range(NAIVE_RUNS):
            session.run()
        return (time.perf_counter() - started) / NAIVE_RUNS * 1e3


def run_in_process(model: str) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--child", model]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(model: str, found: list[dict[str, float]]) -> None:
    stable = sum(bool(one["is_stable"]) for one in found)
    seconds = sorted(one["seconds"] for one in found)
    print(f"\n{model}: {stable} of {len(found)} stable, ", end="")
    print(f"median {seconds[len(seconds) // 2]:.2f} s to build, export and measure, ", end="")
    print(f"load average {min(o['load'] for o in found)} to {max(o['load'] for o in found)}")
    for title, key in (("archfront p50", "p50_ms"), ("naive mean", "naive_ms")):
        values = [one[key] for one in found]
        ratio = max(values) / min(values)
        verdict = "" if key == "naive_ms" else f" (aim {AIM}: {'yes' if ratio <= AIM else 'no'})"
        print(f"  {title:14} max/min {ratio:.3f}{verdict}  ms: ", end="")
        print(" ".join(f"{value:.3f}" for value in values))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", action="append", help="timm name and input size, as resnet18@32; repeatable"
    )
    parser.add_argument("--runs", type=int, default=10, help="processes per model")
    parser.add_argument("--runtime", choices=list(RUNTIMES), default="onnxruntime")
    parser.add_argument("--head", default="timm")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.model = options.model or ["test_resnet@32", "mobilenetv3_small_050@32", "resnet18@64"]
    return options


if __name__ == "__main__":
    main()
