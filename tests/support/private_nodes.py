"""A node of a cluster with a home of its own that does not see the driver's folders."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.ray_cluster import STORE_BYTES
from tests.support.waiting import eventually

LABELS = {"pool": "private"}


@dataclass(frozen=True)
class PrivateNode:
    """The node, and what it does not see.

    Attributes:
        home: Its home.
        data: A folder of the driver's with one file, ``image``.
        root: A folder into which jobs write.
        address: Of its cluster.
    """

    home: Path
    data: Path
    root: Path
    address: str

    def work(self) -> list[Path]:
        """Return what is kept there for jobs."""
        work = self.home / "cache" / "archfront" / "sent" / "work"
        return list(work.glob("*/job-*"))


@contextmanager
def private_node(cluster: Any, folder: Path) -> Iterator[PrivateNode]:
    """Run a node in a mount namespace of its own, with an empty file system over two folders.

    Where that is not allowed the test is skipped.

    Args:
        cluster: The cluster that the node joins.
        folder: For its home, and for the two folders.
    """
    import ray

    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], check=False).returncode:
        pytest.skip("Mount namespaces are not allowed here.")
    node = PrivateNode(folder / "home", folder / "data", folder / "root", cluster.address)
    for each in (node.home, node.data, node.root):
        each.mkdir()
    (node.data / "image").write_text("the image")
    (node.home / "labels.yaml").write_text(json.dumps(LABELS))
    start = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"]
    start += [f"--address={cluster.address}", "--num-cpus=1", "--block", "--disable-usage-stats"]
    start += [f"--object-store-memory={STORE_BYTES}", f"--labels-file={node.home / 'labels.yaml'}"]
    mounts = [f"mount -t tmpfs none {shlex.quote(str(path))}" for path in (node.data, node.root)]
    script = " && ".join([*mounts, f"exec {shlex.join(start)}"])
    environment = os.environ | {"HOME": str(node.home), "XDG_CACHE_HOME": str(node.home / "cache")}
    with (node.home / "log").open("wb") as log:
        process = subprocess.Popen(
            [unshare, "-m", "sh", "-c", script], env=environment, stdout=log, stderr=log
        )

    def is_there() -> bool:
        assert process.poll() is None, (node.home / "log").read_text()
        return any(row["Alive"] and row["Labels"].get("pool") for row in ray.nodes())

    try:
        eventually(is_there)
        yield node
    finally:
        # By a signal that it takes, Ray would wait half a minute for its own processes.
        for each in (*psutil.Process(process.pid).children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
