"""What dies or is cut off in a Ray cluster takes nothing from a study.

    python benchmarks/ray_faults.py --faults 30 --seed 0 [--clusters 2] [--root DIR]

Tiny studies on digits run with ``engine=ray`` on a head and two nodes, each in a network namespace
of its own on this machine (``ray_netns.py``; root is needed), in two such clusters at a time:
mostly something is waited for. While they run, faults of drawn kinds come at drawn moments:

    worker       a process that trains or measures is killed (kill -9, as all that follow)
    agent        archfront's process at a node
    raylet       Ray's process at a node, which is started again
    node         all that runs at a node, which is started again
    short cut    the cable of a node is taken away for some seconds
    long cut     the same for longer than Ray waits; a node that Ray has ended is started again
    head         Ray at the head, which is started again, and the nodes as well
    gcs          the head's main process alone; then as before
    connection   the driver's process that is connected to the cluster
    driver       the driver; then the same command

After each fault the study has to go on, and the driver has to tell of it in words. When a
study has ended, the checks of ``kills.py`` are made (no record is changed or lost, no rung of a
trial is recorded twice, MLflow is equal to the records), and: no candidate has failed, and no
process of archfront is left at any node. The script prints a line a fault and exits with 1 if
anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import shutil
import string
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import psutil
from kills import Command, check, whole_lines
from ray_netns import NetnsCluster, until, words_of

from archfront.search.engine.interrupts import terminate_like_interrupt
from archfront.search.records.evaluation import Failed
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results

# Faults with their shares.
SHARES = {
    "worker": 0.12,
    "agent": 0.12,
    "raylet": 0.12,
    "node": 0.1,
    "short cut": 0.12,
    "long cut": 0.1,
    "head": 0.1,
    "gcs": 0.06,
    "connection": 0.06,
    "driver": 0.1,
}
# What the driver has to say of a fault; nothing of what costs one job or nothing.
TOLD = {
    **dict.fromkeys(("agent", "raylet", "node"), "was lost:"),
    **dict.fromkeys(("head", "gcs", "connection"), "is there again."),
}
# A dead node is noticed in some 10 s instead of Ray's 60.
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 4,
    "gcs_rpc_server_reconnect_timeout_s": 10,
}
CHECKING = threading.Lock()  # MLflow is asked by one thread at a time
SHORT_S, LONG_S = (2.0, 7.0), (35.0, 50.0)
FAULTS_A_STUDY, TRIALS = 8, 16
# In which a study has to go on after a fault, and to end, on a machine that is busy.
GO_ON_S, END_S, LEFT_S = 1200.0, 3600.0, 90.0
OWN = (
    "space.recipe.lr=0.0003,0.0005,0.0007,0.001,0.0015,0.002,0.003,0.005,0.007,0.01",
    "task.epochs=16",
    "budget.rungs=[4,16]",
    "engine.labels={pool: nodes}",
    "engine.device_label={pool: nodes}",
)


@dataclass(frozen=True)
class OnCluster(Command):
    """One command on a study of a cluster.

    Attributes:
        address: That of the cluster.
    """

    address: str = ""

    @property
    def words(self) -> list[str]:
        """Return the words after ``archfront``."""
        return [*super().words, *OWN, f"engine.address={self.address}"]


class FaultyRun:
    """A study that runs while faults come.

    Args:
        cluster: Where it runs.
        command: What starts it, and goes on with it.
        rng: Draws what and when.
    """

    def __init__(
        self, cluster: NetnsCluster, command: OnCluster, rng: np.random.Generator
    ) -> None:
        self._cluster, self._command, self._rng = cluster, command, rng
        self._log = command.paths.root / f"{command.paths.study}.log"
        self._before = b""
        self.wrong: list[str] = []
        self._driver = self._start()

    def run(self, kinds: list[str]) -> list[str]:
        """Let faults come, then let the study end; return the faults that came."""
        came = []
        for kind in kinds:
            until(lambda: self._workers() or self._has_ended(), GO_ON_S, every=1.0)
            time.sleep(self._rng.uniform(0, 8))
            if self._has_ended():
                break
            begun, said = time.monotonic(), len(self._said())
            FAULTS[kind](self)
            came.append(kind)
            wrong = self._gone_on(kind, said)
            self.wrong += [f"{kind}: {each}" for each in wrong]
            seconds = time.monotonic() - begun
            name = self._command.paths.study
            print(f"{name} {kind}: {'; '.join(wrong) or 'goes on'} ({seconds:.0f} s)", flush=True)
        self._end()
        return came

    def _start(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "archfront.search.cli", *self._command.words]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._cluster.inside(0, words), stdout=log, stderr=log, start_new_session=True
            )

    def _has_ended(self) -> bool:
        return self._driver.poll() is not None

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _events(self) -> int:
        events = self._command.paths.events
        return events.read_bytes().count(b"\n") if events.is_file() else 0

    def _workers(self) -> list[psutil.Process]:
        mark = "archfront.search.engine.worker"
        every = (p for node in self._cluster.nodes for p in self._cluster.ours(node))
        return [p for p in every if mark in words_of(p)]

    def _gone_on(self, kind: str, said: int) -> list[str]:
        """Wait until the study has gone on after a fault; return what is wrong."""
        wrong, events = [], self._events()
        if not until(lambda: self._events() > events or self._has_ended(), GO_ON_S):
            wrong.append("the study does not go on")
        told = TOLD.get(kind)
        if told and not until(lambda: told in self._said()[said:] or self._has_ended(), GO_ON_S):
            wrong.append(f"nothing says {told!r}")
        content = whole_lines(self._command.paths.journal)
        if not content.startswith(self._before):
            wrong.append("a record was changed or lost")
        self._before = content
        status = self._driver.poll()
        if status not in (None, 0, 3, 4):
            wrong.append(f"the driver ended with {status}")
            self._driver = self._start()
        return wrong

    def _end(self) -> None:
        """Wait for the end of the study and check what is left."""
        if not until(self._has_ended, END_S):
            self.wrong.append("the study does not end")
            self._driver.kill()
        status = self._driver.wait()
        if status not in (0, 3, 4):
            self.wrong.append(f"the command ended with {status}")
        nodes = (0, *self._cluster.nodes)
        if not until(lambda: not any(map(self._cluster.ours, nodes)), LEFT_S, every=1.0):
            left = [words_of(p)[:150] for node in nodes for p in self._cluster.ours(node)]
            self.wrong.append(f"{len(left)} processes are left: {left}")
        paths = self._command.paths
        try:
            with CHECKING:
                check(self._command, self._before, [])
        except AssertionError as error:
            self.wrong.append(str(error))
        results = Results.read(reading(paths, None), paths)
        failed = [e for e in results.evaluations if isinstance(e.outcome, Failed)]
        self.wrong += [f"trial {e.trial} failed: {e.outcome}" for e in failed]
        where = Counter(e.trained_on for e in results.evaluations)
        print(f"{paths.study}: {results.state}, trained on {dict(where)}", flush=True)

    def _victim(self, found: list[psutil.Process]) -> None:
        if found:
            found[int(self._rng.integers(len(found)))].kill()

    def _node(self) -> int:
        return int(self._rng.choice(list(self._cluster.nodes)))

    def worker(self) -> None:
        """Kill a process that trains or measures."""
        self._victim(self._workers())

    def agent(self) -> None:
        """Kill archfront's process at a node."""
        every = [p for node in self._cluster.nodes for p in self._cluster.processes(node)]
        self._victim([p for p in every if "ray::NodeAgent" in words_of(p)])

    def raylet(self) -> None:
        """Kill Ray's process at a node; start the node again."""
        node = self._node()
        self._victim([p for p in self._cluster.processes(node) if "/raylet/raylet" in words_of(p)])
        self._start_again(node)

    def node(self) -> None:
        """Kill all that runs at a node; start the node again."""
        node = self._node()
        self._cluster.kill(node)
        self._start_again(node)

    def short_cut(self) -> None:
        """Take the cable of a node away for some seconds."""
        self._cut(*SHORT_S)

    def long_cut(self) -> None:
        """Take the cable of a node away for longer than Ray waits."""
        node = self._cut(*LONG_S)
        if until(lambda: not self._has_raylet(node), 30):  # Ray has given the node up
            self._start_again(node)

    def head(self) -> None:
        """Kill Ray at the head; start the cluster again."""
        self._restart_all()

    def gcs(self) -> None:
        """Kill the main process of the head; start the cluster again some seconds later."""
        self._victim([p for p in self._cluster.processes(0) if "/gcs_server" in words_of(p)])
        time.sleep(self._rng.uniform(0, 8))
        self._restart_all()

    def connection(self) -> None:
        """Kill the driver's process that is connected to the cluster."""
        self._victim([p for p in self._cluster.ours(0) if "cluster_process" in words_of(p)])

    def driver(self) -> None:
        """Kill the driver; give the same command again."""
        drivers = [p for p in self._cluster.ours(0) if "archfront.search.cli" in words_of(p)]
        self._victim(drivers)
        self._driver.wait()
        self._driver = self._start()

    def _cut(self, least: float, most: float) -> int:
        node = self._node()
        self._cluster.cut(node)
        time.sleep(self._rng.uniform(least, most))
        self._cluster.mend(node)
        return node

    def _has_raylet(self, node: int) -> bool:
        return any("/raylet/raylet" in words_of(p) for p in self._cluster.processes(node))

    def _start_again(self, node: int) -> None:
        """Start a node that has died, of which no process of ours may be left."""
        if not until(lambda: not self._cluster.ours(node), LEFT_S):
            left = [words_of(p)[:150] for p in self._cluster.ours(node)]
            self.wrong.append(f"{len(left)} processes are left at a dead node: {left}")
        self._cluster.kill(node)
        self._cluster.start(node)

    def _restart_all(self) -> None:
        self._cluster.kill(0, but_ours=True)
        self._cluster.start(0)
        for node in self._cluster.nodes:
            self._cluster.kill(node, but_ours=True)
            self._start_again(node)


FAULTS: dict[str, Callable[[FaultyRun], None]] = {
    "worker": FaultyRun.worker,
    "agent": FaultyRun.agent,
    "raylet": FaultyRun.raylet,
    "node": FaultyRun.node,
    "short cut": FaultyRun.short_cut,
    "long cut": FaultyRun.long_cut,
    "head": FaultyRun.head,
    "gcs": FaultyRun.gcs,
    "connection": FaultyRun.connection,
    "driver": FaultyRun.driver,
}


def drawn(rng: np.random.Generator, n: int, asked: list[str]) -> list[str]:
    """Return so many faults, of the kinds that are asked for."""
    shares = np.array([SHARES[kind] for kind in asked])
    return [str(kind) for kind in rng.choice(asked, n, p=shares / shares.sum())]


def faulted(
    kinds_asked: list[str],
    cluster: NetnsCluster,
    root: Path,
    n_faults: int,
    rng: np.random.Generator,
) -> tuple[Counter[str], int, list[str]]:
    """Let faults come in a cluster; return their kinds, how many studies ran, and what is wrong.

    Args:
        kinds_asked: The kinds that may come.
        cluster: The cluster, which is started.
        root: Where its studies are recorded.
        n_faults: The faults.
        rng: Draws them.
    """
    kinds, n_studies, wrong = Counter[str](), 0, list[str]()
    root.mkdir(exist_ok=True)
    cluster.start_all()
    while kinds.total() < n_faults:
        n_studies += 1
        paths = StudyPaths(root, f"study-{root.name}{n_studies}")
        run = FaultyRun(cluster, OnCluster(paths, TRIALS, "ray", cluster.address), rng)
        n = min(FAULTS_A_STUDY, n_faults - kinds.total())
        kinds.update(run.run(drawn(rng, n, kinds_asked)))
        wrong += [f"{paths.study}: {each}" for each in run.wrong]
    return kinds, n_studies, wrong


def main() -> int:
    """Let faults come and check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--nodes", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--kinds", nargs="*", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--clusters", type=int, default=2, help="at a time (%(default)s)")
    parser.add_argument("--name", default="rf", help="of the namespaces (default: %(default)s)")
    parser.add_argument("--subnet", type=int, default=77, help="of the first one: 10.SUBNET.0.1")
    parser.add_argument("--niceness", type=int, default=0, help="of Ray's own processes")
    parser.add_argument("--root", type=Path, help="where the root is kept (default: removed)")
    asked = parser.parse_args()
    root = Path(mkdtemp()) if asked.root is None else asked.root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    terminate_like_interrupt()
    begun, n = time.monotonic(), asked.clusters
    letters = string.ascii_lowercase[:n]
    parts = [asked.faults // n + (i < asked.faults % n) for i in range(n)]
    rngs = np.random.default_rng(asked.seed).spawn(n)
    roots = [root / letter for letter in letters]
    pool, clusters = ThreadPoolExecutor(n), list[NetnsCluster]()
    try:
        for i, letter in enumerate(letters):
            options = {"nodes": asked.nodes, "subnet": asked.subnet + i, "config": HEALTH}
            clusters.append(NetnsCluster(asked.name + letter, niceness=asked.niceness, **options))
        found = list(pool.map(partial(faulted, asked.kinds), clusters, roots, parts, rngs))
    finally:
        for cluster in clusters:
            cluster.close()
        pool.shutdown(wait=False, cancel_futures=True)
    kinds = sum((each for each, _, _ in found), Counter[str]())
    n_studies = sum(each for _, each, _ in found)
    wrong = [line for _, _, each in found for line in each]
    for line in wrong:
        print(line)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(
        f"{kinds.total()} faults ({counts}) over {n_studies} studies, seed {asked.seed}: "
        f"{len(wrong) or 'nothing'} wrong ({time.monotonic() - begun:.0f} s, load "
        f"{os.getloadavg()[0]:.1f})"
    )
    if asked.root is None and not wrong:
        shutil.rmtree(root)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
