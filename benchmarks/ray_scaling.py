"""Trainings of two Ray nodes against one, and of one against worker processes.

Each run is a study of scikit-learn's digits through the real command: one architecture, so that
almost all of it is training, each training with one thread. The nodes are network namespaces with
a core each (``ray_netns.py``; root is needed), ``engine=processes`` has one worker on the core of
the last node. Counted is from the begin of the first training to the end of the last one:

- trainings an hour of two nodes over twice those of one: 1 where nothing is lost
- what a slot waits between trainings: what driver and engine cost
- processor seconds of a training, by what the processes of the nodes used: where cores or memory
  are shared with other work the trainings take longer, but no more of these

    python benchmarks/ray_scaling.py [--cores 0 1] [--trainings 4] [--epochs 24]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from ray_netns import NetnsCluster, words_of

from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results

AIM, OVERHEAD_AIM = 0.9, 1.5
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
    *("hardware.max_seconds=1", "budget.minutes=null", "engine.threads=1", "study=scaling"),
)
MARK = "archfront.search.engine.worker"
# Marks the processes of this script, which inherit it.
VARIABLE = "ARCHFRONT_SCALING"


@dataclass(frozen=True)
class Run:
    """What a study took.

    Attributes:
        n: Trainings.
        training_s: Their seconds.
        span_s: From the begin of the first to the end of the last.
        cpu_s: Processor seconds of the workers, with their imports.
        slots: Trainings at a time.
    """

    n: int
    training_s: float
    span_s: float
    cpu_s: float
    slots: int

    @property
    def rate(self) -> float:
        """Return the trainings an hour."""
        return 3600 * self.n / self.span_s

    @property
    def between_s(self) -> float:
        """Return the seconds that a slot waited between two trainings."""
        return (self.slots * self.span_s - self.training_s) / max(1, self.n - self.slots)

    def __str__(self) -> str:
        """Return it in words."""
        return (
            f"{self.n} trainings of {self.training_s / self.n:.1f} s "
            f"({self.cpu_s / self.n:.1f} s of processor), {self.rate:.0f} an hour, "
            f"{1000 * self.between_s:.0f} ms between two"
        )


def begun(evaluation: Evaluation) -> float:
    """Return when a training began, in seconds since the epoch."""
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
        root = Path(name)
        own = [f"tracking.root={root}", f"tracking.device_db={root / 'latency.db'}", *words]
        command = [sys.executable, "-m", "archfront.search.cli", "run", *WORDS, *own, "--plain"]
        with (root / "log").open("wb") as log:
            driver = subprocess.Popen([*prefix, *command], stdout=log, stderr=log)
            used: dict[int, float] = {}
            while driver.poll() is None:
                used |= _used()
                time.sleep(0.5)
        if driver.returncode not in (0, 3):
            sys.exit((root / "log").read_text(encoding="utf-8"))
        paths = StudyPaths(root, "scaling")
        evaluations = Results.read(reading(paths, None), paths).evaluations
    trained = [e for e in evaluations if isinstance(e.outcome, Trained)]
    seconds = [e.outcome.seconds for e in trained if isinstance(e.outcome, Trained)]
    span_s = max(e.started + e.seconds for e in trained) - min(map(begun, trained))
    return Run(len(trained), sum(seconds), span_s, sum(used.values()), slots)


def _used() -> dict[int, float]:
    """Return the processor seconds so far of every worker of this script."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if MARK in words_of(process) and VARIABLE in process.environ():
                times = process.cpu_times()
                found[process.pid] = times.user + times.system
    return found


def main() -> int:
    """Run the studies and print a line for each; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], help="of the two nodes")
    parser.add_argument("--trainings", type=int, default=4, help="of a node")
    parser.add_argument("--epochs", type=int, default=24, help="of a training")
    parser.add_argument("--niceness", type=int, default=0, help="of Ray's own processes")
    asked = parser.parse_args()
    os.environ[VARIABLE] = "1"
    common = [f"task.epochs={asked.epochs}", f"budget.rungs=[{asked.epochs}]"]
    few, many = (f"budget.trials={n * asked.trainings}" for n in (1, 2))
    pinned = ["taskset", "-c", str(asked.cores[1])]
    runs = {
        "worker process": study(
            ["engine=processes", "engine.workers=1", few, *common], slots=1, prefix=pinned
        )
    }
    print(f"one worker process: {runs['worker process']}", flush=True)
    cluster = NetnsCluster(
        "rsc", nodes=2, subnet=79, cores=asked.cores[::-1], niceness=asked.niceness
    )
    try:
        for node in (0, 1):
            cluster.start(node)
        ray = ["engine=ray", f"engine.address={cluster.address}", "engine.labels={pool: nodes}"]
        ray += ["engine.device_label={pool: nodes}", *common]
        runs["node"] = study([*ray, few], slots=1, prefix=cluster.inside(0, []))
        print(f"one node: {runs['node']}", flush=True)
        cluster.start(2)
        runs["nodes"] = study([*ray, many], slots=2, prefix=cluster.inside(0, []))
        print(f"two nodes: {runs['nodes']}", flush=True)
    finally:
        cluster.close()
    each = runs["nodes"].rate / (2 * runs["node"].rate)
    cpu = (runs["node"].cpu_s / runs["node"].n) / (runs["nodes"].cpu_s / runs["nodes"].n)
    over = runs["node"].between_s / runs["worker process"].between_s
    print(f"two nodes over one: {each:.3f} a node (aim {AIM}); by processor seconds {cpu:.3f}")
    print(f"between trainings, a node over a worker process: {over:.2f} (aim {OVERHEAD_AIM})")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    return 0 if each >= AIM and over <= OVERHEAD_AIM else 1


if __name__ == "__main__":
    sys.exit(main())
