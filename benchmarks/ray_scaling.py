"""Trainings of two Ray nodes against one, and of one against worker processes.

Each run is a study of scikit-learn's digits through the real command: one architecture, so that
almost all of it is training, each training with one thread. The nodes are network namespaces with
a core each (``ray_netns.py``; root is needed), ``engine=processes`` has one worker on the core of
the first node. Counted is from the begin of the first training to the end of the last one:

- trainings an hour of two nodes over twice those of one: 1 where nothing is lost; and the same by
  processor seconds, which other work on the cores does not change
- processor seconds of the driver for a trial, with its process that is connected to the cluster,
  over those with worker processes
- what a trial takes beside its training on a node that is warm: its proposal, the way there, the
  start, the way back and its record

    python benchmarks/ray_scaling.py [--cores 0 1] [--trainings 5] [--epochs 12]

It takes some 8 minutes on two cores; ``--trainings 3 --epochs 2`` tries it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from ray_netns import NetnsCluster, words_of

from archfront.search.engine.interrupts import terminate_like_interrupt
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results

AIM, CPU_AIM, START_AIM_S = 0.9, 1.5, 0.5
WORDS = (
    *("experiment=digits", "data.train=1000", "data.val=200", "data.test=60", "sampler=random"),
    *(
        "space.backbones=test_resnet",
        "space.exclude=[]",
        "space.heads=avg",
        "space.input_sizes=32",
    ),
    "space.recipe.lr=0.0003,0.0005,0.0007,0.001,0.0015,0.002,0.003,0.004,0.005,0.006,0.008,0.01",
    *("space.recipe.augment=none", "hardware.runtime=eager", "hardware.limits.latency_ms=null"),
    *("hardware.max_seconds=1", "budget.minutes=null", "budget.folds=0", "engine.threads=1"),
    "study=scaling",
)
WORKER, CONNECTED = "archfront.search.engine.worker", "archfront.search.engine.cluster_process"
COMMAND = "archfront.search.cli"
# Marks the processes of this script, which inherit it.
VARIABLE = "ARCHFRONT_SCALING"
EVERY_S = 1.0


@dataclass(frozen=True)
class Run:
    """What a study took.

    Attributes:
        n: Trainings.
        training_s: Their seconds.
        span_s: From the begin of the first to the end of the last.
        worker_s: Processor seconds of the workers, with their imports.
        driver_s: Processor seconds of the driver for a trial, once two of each slot have begun:
            before, it imports what it needs.
        beside_s: What each trial took beside its training, but for the first ones of the slots.
    """

    n: int
    training_s: float
    span_s: float
    worker_s: float
    driver_s: float
    beside_s: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Return the trainings an hour."""
        return 3600 * self.n / self.span_s

    @property
    def start_s(self) -> float:
        """Return the median of what a trial took beside its training."""
        return statistics.median(self.beside_s)

    def __str__(self) -> str:
        """Return it in words."""
        return (
            f"{self.n} trainings of {self.training_s / self.n:.1f} s "
            f"({self.worker_s / self.n:.1f} s of processor), {self.rate:.0f} an hour; a trial "
            f"took the driver {1000 * self.driver_s:.0f} ms of processor, and "
            f"{self.start_s:.2f} s beside its training (at most {max(self.beside_s):.2f})"
        )


class Used:
    """The processor seconds of this script's processes, looked at now and then."""

    def __init__(self) -> None:
        self._workers: dict[int, float] = {}
        self._drivers: dict[int, float] = {}
        self._series: list[tuple[float, float]] = []

    @property
    def worker_s(self) -> float:
        """Return those of all workers."""
        return sum(self._workers.values())

    def look(self) -> None:
        """Take down what every process has used by now."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = words_of(process)
                is_worker = WORKER in words
                if not is_worker and COMMAND not in words and CONNECTED not in words:
                    continue
                if VARIABLE in process.environ():
                    times = process.cpu_times()
                    kind = self._workers if is_worker else self._drivers
                    kind[process.pid] = times.user + times.system
        self._series.append((time.time(), sum(self._drivers.values())))

    def driver_s(self, begin: float, end: float) -> float:
        """Return those of the driver between two moments, in seconds since the epoch."""
        moments, used = zip(*self._series, strict=True)
        first, last = np.interp([begin, end], moments, used)
        return float(last - first)


def begun(evaluation: Evaluation) -> float:
    """Return when a training began, at the latest, in seconds since the epoch."""
    assert isinstance(evaluation.outcome, Trained)
    return evaluation.started + evaluation.seconds - evaluation.outcome.seconds


def study(words: Sequence[str], *, slots: int, prefix: Sequence[str]) -> Run:
    """Run a study and return what it took.

    Args:
        words: Words of the command beside the common ones.
        slots: Trainings at a time.
        prefix: What the command runs under.
    """
    with TemporaryDirectory() as name:
        root, used = Path(name), Used()
        own = [f"tracking.root={root}", f"tracking.device_db={root / 'latency.db'}", *words]
        command = [sys.executable, "-m", COMMAND, "run", *WORDS, *own, "--plain"]
        with (root / "log").open("wb") as log:
            driver = subprocess.Popen([*prefix, *command], stdout=log, stderr=log)
            while driver.poll() is None:
                used.look()
                time.sleep(EVERY_S)
        if driver.returncode not in (0, 3):
            sys.exit((root / "log").read_text(encoding="utf-8"))
        paths = StudyPaths(root, "scaling")
        evaluations = Results.read(reading(paths, None), paths).evaluations
    trained = sorted((e for e in evaluations if isinstance(e.outcome, Trained)), key=begun)
    seconds = [e.outcome.seconds for e in trained if isinstance(e.outcome, Trained)]
    n, begin, end = len(trained), begun(trained[0]), max(e.started + e.seconds for e in trained)
    beside = [e.seconds - s for e, s in zip(trained, seconds, strict=True)][slots:]
    warm = min(2 * slots, n - 1)
    driver_s = used.driver_s(begun(trained[warm]), end) / (n - warm)
    return Run(n, sum(seconds), end - begin, used.worker_s, driver_s, tuple(beside))


def main() -> int:
    """Run the studies and print a line for each; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], help="of the two nodes")
    parser.add_argument("--trainings", type=int, default=5, help="of a node, at most 6")
    parser.add_argument("--epochs", type=int, default=12, help="of a training")
    parser.add_argument("--niceness", type=int, default=0, help="of Ray's own processes")
    asked = parser.parse_args()
    os.environ[VARIABLE] = "1"
    terminate_like_interrupt()
    began = time.monotonic()
    common = [f"task.epochs={asked.epochs}", f"budget.rungs=[{asked.epochs}]"]
    few, many = (f"budget.trials={n * asked.trainings}" for n in (1, 2))
    pinned = ["taskset", "-c", str(asked.cores[1])]
    one = ["engine=processes", "engine.workers=1", few, *common]
    process = study(one, slots=1, prefix=pinned)
    print(f"one worker process: {process}", flush=True)
    cluster = NetnsCluster(
        "rsc", nodes=2, subnet=79, cores=asked.cores[::-1], niceness=asked.niceness
    )
    try:
        for number in (0, 1):
            cluster.start(number)
        ray = ["engine=ray", f"engine.address={cluster.address}", "engine.labels={pool: nodes}"]
        ray += ["engine.device_label={pool: nodes}", *common]
        node = study([*ray, few], slots=1, prefix=cluster.inside(0, []))
        print(f"one node: {node}", flush=True)
        cluster.start(2)
        nodes = study([*ray, many], slots=2, prefix=cluster.inside(0, []))
        print(f"two nodes: {nodes}", flush=True)
    finally:
        cluster.close()
    each = nodes.rate / (2 * node.rate)
    by_cpu = (node.worker_s / node.n) / (nodes.worker_s / nodes.n)
    cpu = node.driver_s / process.driver_s
    print(f"two nodes over one: {each:.3f} a node (aim {AIM}); by processor seconds {by_cpu:.3f}")
    print(f"the driver's processor for a trial, over that with processes: {cpu:.2f} ({CPU_AIM})")
    print(f"a trial on a warm node beside its training: {node.start_s:.2f} s ({START_AIM_S})")
    load = os.getloadavg()[0]
    print(f"load of the machine: {load:.1f}; {time.monotonic() - began:.0f} s")
    is_met = each >= AIM and cpu <= CPU_AIM and node.start_s <= START_AIM_S
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
