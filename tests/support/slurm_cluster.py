"""A real SLURM on this machine, where one is installed: a controller and two nodes of a core."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DAEMONS = {"controller": ("slurmctld", "slurmctld-wlm"), "node": ("slurmd", "slurmd-wlm")}
START_S = 60.0
NODES = {"n1": "fast", "n2": "pi5"}


def daemon(kind: str) -> str:
    """Return the path of a daemon of SLURM; the test is skipped where it is not installed."""
    found = [path for name in DAEMONS[kind] if (path := shutil.which(name, path=search_path()))]
    if not found:
        pytest.skip(f"SLURM's {DAEMONS[kind][0]} is not installed: apt-get install slurm-wlm")
    return found[0]


def search_path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


@contextmanager
def small_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a SLURM of this user, whose commands find it; the test is skipped where it cannot."""
    controller, node = daemon("controller"), daemon("node")
    for name in ("spool.n1", "spool.n2", "state"):
        (folder / name).mkdir(parents=True)
    (folder / "slurm.conf").write_text(configuration(folder, Path(controller)))
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    step = Path(node).with_name(Path(node).name.replace("slurmd", "slurmstepd"))
    steps = ["-d", str(step)] if step.exists() else []
    words = [[controller, "-D", "-i"], *([node, "-D", "-N", name, *steps] for name in NODES)]
    daemons = []
    try:
        for command in words:
            with (folder / f"{len(daemons)}.log").open("w") as log:
                daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
        _wait_for_nodes(folder, daemons)
        yield
    finally:
        for process in daemons:  # asked to end, a controller first waits for its nodes
            process.kill()
        for process in daemons:
            process.wait(START_S)


def _wait_for_nodes(folder: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and all(process.poll() is None for process in daemons):
        asked = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%N %T"], capture_output=True, text=True
        )
        if asked.stdout.count(" idle\n") >= len(NODES):
            return
        time.sleep(0.1)
    logs = "".join(path.read_text()[-300:] for path in sorted(folder.glob("*.log")))
    pytest.skip(f"SLURM is installed and does not start: {logs}")


def configuration(folder: Path, controller: Path) -> str:
    """Return a configuration without accounting, in which nobody else is known."""
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    plugins = sorted(controller.parents[1].glob("lib/*/slurm-wlm"))
    ports = _free_ports(3)
    return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
{f"PluginDir={plugins[0]}" if plugins else ""}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=100000
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
MpiDefault=none
KillWait=2
ReturnToService=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 Feature={NODES["n1"]}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 Feature={NODES["n2"]}
PartitionName=batch Nodes=n1 Default=YES MaxTime=60 PriorityTier=1
PartitionName=device Nodes=n2 MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=n1 MaxTime=60 PriorityTier=9
"""


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
