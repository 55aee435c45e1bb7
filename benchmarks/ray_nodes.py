"""What a Ray cluster costs beside worker processes: a job, a start, and a second node.

python benchmarks/ray_nodes.py [--seconds 10] [--jobs 4]

Needs Ray. Starts a head and a second node of one core each on this machine and ends them. Three
questions, one line each:

- the median of a job that does nothing, from its submission to its result, by worker processes and
  by a node, through the engine of a study (``ClusterEngine``);
- the median from a submission to the first event of the job, on a node that has run one before;
- jobs of some seconds on two nodes against one: 1 where two do twice as many. The jobs wait and
  compute nothing, so it tells what the engine loses between jobs and not how many cores are free.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from archfront.search.engine.cluster_engine import ClusterEngine
from archfront.search.engine.jobs import Done, Engine, Job
from archfront.search.engine.placement import ClusterNeeds
from archfront.search.engine.processes import ProcessEngine
from archfront.search.engine.worker import emit

STORE_BYTES = 80 * 2**20
N_SHORT = 100


def perform(job: Job) -> float:
    """Emit the time at which a job begins, wait for its seconds and return them."""
    emit(time.time())
    time.sleep(job.payload)
    return float(job.payload)


def main() -> None:
    """Measure, and print a line for each question."""
    import ray_nodes  # as workers import it: what they call is not of the main module

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a long job")
    parser.add_argument("--jobs", type=int, default=4, help="long jobs for one node")
    arguments = parser.parse_args()
    with ProcessEngine(ray_nodes.perform, workers=1, threads=1) as engine:
        by_processes, _ = _short(engine)
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        os.environ |= {"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
        Path(folder, "ray").mkdir()
        cluster = _cluster()
        try:
            started = time.perf_counter()
            with _engine(ray_nodes.perform, cluster.address, "first") as engine:
                start_s = time.perf_counter() - started
                by_node, begun = _short(engine)
                one_s = _long(engine, arguments.jobs, arguments.seconds)
            with _engine(ray_nodes.perform, cluster.address, None) as engine:
                _short(engine)
                two_s = _long(engine, 2 * arguments.jobs, arguments.seconds)
        finally:
            cluster.shutdown()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"an engine on one node starts in {start_s:.1f} s, once the cluster runs")
    print(f"a job: {1000 * by_processes:.1f} ms by processes, {1000 * by_node:.1f} ms by a node")
    print(f"a job begins {1000 * begun:.1f} ms after its submission to a warm node")
    print(
        f"jobs of {arguments.seconds:g} s: {arguments.jobs} on one node {one_s:.1f} s, "
        f"{2 * arguments.jobs} on two {two_s:.1f} s: {one_s / two_s:.3f} of a node each"
    )


def _cluster() -> Any:
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for name in ("first", "second"):
        cluster.add_node(
            num_cpus=1,
            object_store_memory=STORE_BYTES,
            include_dashboard=False,
            labels={"node": name},
        )
    return cluster


def _engine(perform: Any, address: str, node: str | None) -> ClusterEngine:
    needs = ClusterNeeds(address=address, labels={} if node is None else {"node": node})
    return ClusterEngine(perform, workers=1, threads=1, needs=needs)


def _short(engine: Engine) -> tuple[float, float]:
    """Return the median seconds of a job that does nothing, and those until it begins."""
    _wait([engine.submit(Job("train", 0.0)) for _ in range(2 * engine.n_slots)])
    whole, begun = [], []
    for _ in range(N_SHORT):
        events: list[float] = []
        submitted, started = time.time(), time.perf_counter()
        _wait([engine.submit(Job("train", 0.0), events.append)])
        whole.append(time.perf_counter() - started)
        begun.append(events[0] - submitted)
    return statistics.median(whole), statistics.median(begun)


def _long(engine: Engine, n: int, seconds: float) -> float:
    """Return the seconds that a number of jobs took, as many at a time as there is room for."""
    started = time.perf_counter()
    _wait([engine.submit(Job("train", seconds)) for _ in range(n)])
    return time.perf_counter() - started


def _wait(futures: list[Any]) -> None:
    for future in futures:
        result = future.result()
        assert isinstance(result, Done), result


if __name__ == "__main__":
    main()
