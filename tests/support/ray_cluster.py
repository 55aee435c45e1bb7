"""A small Ray cluster on this machine, for all tests of a process that need one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STORE_BYTES = 80 * 2**20  # the least that Ray takes, and a little
# A dead node is noticed within seconds (one that lives has as long as ever to answer), and no
# process of Ray runs behind other work.
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
    "worker_niceness": 0,
}
# Processes of a head that cost a second of a processor, and that no test asks anything.
NOBODY_READS = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
DEVICE = {"device": "test"}
LOOK_S = 0.3  # between looks of an engine at the nodes


@contextmanager
def small_cluster() -> Iterator[Any]:
    """Run a head with one core, which this process has joined; the tests add what they kill."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'archfront[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    # Short, since the paths of Unix's sockets end at 107 bytes.
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder}
        Path(folder, "ray").mkdir()
        cluster = Cluster()
        cluster.add_node(_system_config=QUICK, **node_options())
        try:
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()
            os.environ.clear()
            os.environ.update(before)


def node_options() -> dict[str, Any]:
    """Return the options of a node as small as nodes get."""
    return {
        "num_cpus": 1,
        "object_store_memory": STORE_BYTES,
        **NOBODY_READS,
        "labels": DEVICE,
    }
