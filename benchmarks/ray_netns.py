"""A Ray cluster on one machine whose nodes have a network each, for the scripts that need one.

A node is a network namespace with a cable (veth) to a bridge, and what ``ray start`` starts in it.
Needs root, ``ip`` and Ray.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

import psutil

# The least object store that Ray takes, and a little.
STORE_BYTES = 80 * 2**20
PORT = 6379
# In which a process that was started is there, on a busy machine.
START_S = 600.0
RAY = (sys.executable, "-m", "ray.scripts.scripts")


def until(condition: Callable[[], object], seconds: float, *, every: float = 0.2) -> bool:
    """Return whether something comes true within some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def words_of(process: psutil.Process) -> str:
    """Return the command of a process; empty if it has ended."""
    with suppress(psutil.Error):
        if process.status() != psutil.STATUS_ZOMBIE:
            return " ".join(process.cmdline())
    return ""


class NetnsCluster:
    """A head, which has no cores, and nodes of one core each.

    Args:
        name: Begins the names of the namespaces, at most 6 letters.
        nodes: Nodes beside the head.
        subnet: Second number of the addresses.
        cores: The core of each node; none leaves them as they are.
        config: Ray's own settings, as of its health check.
        niceness: Priority of Ray's own processes, which do not start in time on a busy machine.
            The workers have the usual one.
    """

    def __init__(
        self,
        name: str,
        *,
        nodes: int,
        subnet: int,
        cores: Sequence[int] = (),
        config: Mapping[str, object] | None = None,
        niceness: int = 0,
    ) -> None:
        self._name, self.nodes, self._subnet = name, range(1, nodes + 1), subnet
        self._cores, self._config, self._niceness = cores, dict(config or {}), niceness
        self.folder = Path(mkdtemp(prefix="rn", dir="/tmp"))
        self._log = self.folder / "ray.log"
        self._run("ip", "link", "add", f"{name}b", "type", "bridge")
        self._run("ip", "link", "set", f"{name}b", "up")
        for node in (0, *self.nodes):
            self._make(node)

    @property
    def address(self) -> str:
        """Return the address of the head."""
        return f"{self._host(0)}:{PORT}"

    def space(self, node: int) -> str:
        """Return the name of a node's namespace; the head is node 0."""
        return f"{self._name}{node}"

    def inside(self, node: int, words: Sequence[str]) -> list[str]:
        """Return a command that runs at a node."""
        return ["ip", "netns", "exec", self.space(node), *words]

    def start(self, node: int) -> None:
        """Do what a person does to have a node in the cluster: ``ray start`` there."""
        common = [
            f"--node-ip-address={self._host(node)}",
            f"--node-name={self.space(node)}",
            f"--object-store-memory={STORE_BYTES}",
            f"--temp-dir={self.folder / str(node)}",
            "--disable-usage-stats",
        ]
        if node:
            own = [f"--address={self.address}", "--num-cpus=1", "--labels=pool=nodes"]
        else:
            config = f"--system-config={json.dumps(self._config)}"
            own = ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false", config]
        pinned = ["taskset", "-c", str(self._cores[node - 1])] if node and self._cores else []
        environment = os.environ | {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        ray = ["nice", "-n", str(self._niceness), *pinned, *RAY, "start", *own, *common]
        while True:
            try:
                self._run(*self.inside(node, ray), env=environment)
                return
            except subprocess.CalledProcessError:  # Ray waits 30 s for its own processes
                self.kill(node, but_ours=True)

    def start_all(self) -> None:
        """Start the head, then the nodes."""
        for node in (0, *self.nodes):
            self.start(node)

    def processes(self, node: int) -> list[psutil.Process]:
        """Return what runs at a node, with the workers and, at the head, the driver."""
        ended = subprocess.run(
            ["ip", "netns", "pids", self.space(node)], capture_output=True, text=True, check=True
        )
        found = []
        for pid in ended.stdout.split():
            with suppress(psutil.Error):
                found.append(psutil.Process(int(pid)))
        return found

    def ours(self, node: int) -> list[psutil.Process]:
        """Return the processes of archfront at a node: agents, workers, reapers, drivers."""
        marks = ("archfront", "ray::NodeAgent", "reaper.py")
        return [p for p in self.processes(node) if any(mark in words_of(p) for mark in marks)]

    def kill(self, node: int, *, but_ours: bool = False) -> None:
        """Kill all that runs at a node at once, or all but the processes of archfront."""
        spared = {p.pid for p in self.ours(node)} if but_ours else set()
        for process in self.processes(node):
            if process.pid not in spared:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)

    def cut(self, node: int) -> None:
        """Take the cable of a node away."""
        self._run("ip", "link", "set", f"{self.space(node)}v", "down")

    def mend(self, node: int) -> None:
        """Put the cable of a node in again."""
        self._run("ip", "link", "set", f"{self.space(node)}v", "up")

    def close(self) -> None:
        """End everything, and remove the networks."""
        for node in (0, *self.nodes):
            while self.processes(node):
                self.kill(node)
                time.sleep(0.1)
            self._run("ip", "netns", "del", self.space(node))
        self._run("ip", "link", "del", f"{self._name}b")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _host(self, node: int) -> str:
        return f"10.{self._subnet}.0.{node + 1}"

    def _make(self, node: int) -> None:
        space, cable = self.space(node), f"{self.space(node)}v"
        self._run("ip", "netns", "add", space)
        self._run(
            *("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        )
        self._run("ip", "link", "set", cable, "master", f"{self._name}b", "up")
        self._run("ip", "-n", space, "addr", "add", f"{self._host(node)}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            self._run("ip", "-n", space, "link", "set", device, "up")

    def _run(self, *words: str, env: Mapping[str, str] | None = None) -> None:
        with self._log.open("ab") as log:
            subprocess.run(words, env=env, stdout=log, stderr=log, timeout=START_S, check=True)
