"""What becomes of jobs on a Ray cluster when something dies: nothing is lost, nothing is doubled.

All of it on one machine, whose nodes are as small as Ray makes them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from archfront.search.engine.cluster_engine import ClusterEngine
from archfront.search.engine.jobs import Engine
from archfront.search.engine.placement import ClusterNeeds
from archfront.search.engine.ray_engine import RayEngine
from archfront.search.errors import ConfigError
from tests.support import engine_jobs
from tests.support.engine_checks import (
    assert_matches,
    broken,
    is_running,
    measure,
    pauses,
    train,
    value,
)
from tests.support.killed_driver import killed_driver
from tests.support.ray_cluster import LOOK_S, node_options
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

OPEN = Callable[[], ClusterEngine]


def started(engine: Engine, *payload: Any) -> tuple[Any, int]:
    """Return the future of a job that says its process id, and this id."""
    pids: list[int] = []
    future = engine.submit(train(*payload), pids.append)
    eventually(lambda: pids)
    return future, pids[0]


@pytest.fixture(scope="module")
def second_node(ray_cluster: Any) -> Iterator[Callable[[], Any]]:
    """Return what gives a node with the label pool=second, added where there is none."""
    added: set[Any] = set()
    # Ray takes everybody's word for a GPU.
    options = node_options() | {"labels": {"pool": "second"}, "num_cpus": 2, "num_gpus": 1}

    def there() -> Any:
        if not added & ray_cluster.worker_nodes:
            added.add(ray_cluster.add_node(**options))
        (node,) = added & ray_cluster.worker_nodes
        return node

    yield there
    for node in added & ray_cluster.worker_nodes:
        ray_cluster.remove_node(node)


def test_a_killed_worker_costs_its_job_only(ray_engine: OPEN) -> None:
    engine = ray_engine()
    future, pid = started(engine, "hang")
    os.kill(pid, signal.SIGKILL)
    failure = broken(future)
    assert failure.kind == "killed"
    assert failure.message.startswith("The worker was killed (SIGKILL)")
    assert failure.node is not None
    assert value(engine.submit(train("echo", 1))) == 1


def test_a_job_that_takes_too_long_is_ended(ray_engine: OPEN) -> None:
    failure = broken(ray_engine().submit(train("hang", timeout_s=0.5)))
    assert failure.kind == "timeout"
    assert failure.message.startswith("The job was ended after 0.5 s of running")


@pauses
def test_a_measurement_pauses_the_trainings_of_its_node(ray_engine: OPEN, tmp_path: Path) -> None:
    engine = ray_engine()
    stop, counts, seen = tmp_path / "stop", [], []
    counting = engine.submit(train("count", str(stop)), counts.append)
    eventually(lambda: counts)
    measuring = engine.submit(measure("rest", str(tmp_path)), seen.append)
    (tmp_path / "first").touch()
    eventually(lambda: "exclusive" in seen)
    worker = [p for p in psutil.process_iter() if p.status() == psutil.STATUS_STOPPED]
    assert worker
    for name in ("second", "third", "fourth"):
        (tmp_path / name).touch()
    value(measuring)
    stop.touch()
    assert value(counting) == len(counts) == counts[-1]


def test_a_killed_agent_breaks_its_jobs_and_its_node_comes_back(
    ray_engine: OPEN, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ray_engine()
    future, pid = started(engine, "hang")
    waiting = [engine.submit(train("echo", n)) for n in range(20)]
    agent = psutil.Process(pid).ppid()
    os.kill(agent, signal.SIGKILL)
    failure = broken(future)
    assert failure.kind == "killed"
    assert_matches(failure.message, r"^The node .+ was lost: ")
    eventually(lambda: not is_running(pid))
    assert [value(each) for each in waiting] == list(range(20))
    assert "It ran 1 job." in caplog.text


def test_a_label_that_no_node_has_is_told_before_anything_starts(ray_cluster: Any) -> None:
    needs = ClusterNeeds(labels={"device": "pi5"})
    with pytest.raises(ConfigError, match=r"can train(.|\n)*it has device=test, not device=pi5"):
        RayEngine(engine_jobs.perform, workers=1, threads=1, needs=needs)


def test_a_driver_that_is_killed_leaves_no_worker(ray_cluster: Any, tmp_path: Path) -> None:
    made = f"""
from archfront.search.engine.cluster_engine import ClusterEngine
from archfront.search.engine.placement import ClusterNeeds
needs = ClusterNeeds(address={ray_cluster.address!r})
engine = ClusterEngine(engine_jobs.perform, workers=1, threads=1, needs=needs)
"""
    found = killed_driver(made, tmp_path)
    eventually(lambda: not any(is_running(pid) for pid in found))


def test_trainings_share_the_gpu_of_a_node(
    ray_cluster: Any, second_node: Callable[[], Any]
) -> None:
    second_node()
    needs = ClusterNeeds(labels={"pool": "second"}, gpus=0.5, measures=False)
    with RayEngine(engine_jobs.perform, workers=256, threads=1, needs=needs) as engine:
        assert engine.n_slots == 2
        workers = [psutil.Process(started(engine, "hang")[1]).environ() for _ in range(2)]
        assert [each["CUDA_VISIBLE_DEVICES"] for each in workers] == ["0", "0"]
        shares = {each["PYTORCH_ALLOC_CONF"] for each in workers}
        assert shares == {"per_process_memory_fraction:0.4500"}


def test_jobs_of_a_dead_node_break_and_others_wait_for_the_next_node(
    ray_cluster: Any, second_node: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    node = second_node()
    needs = ClusterNeeds(labels={"pool": "second"}, look_s=LOOK_S)
    with RayEngine(engine_jobs.perform, workers=1, threads=1, needs=needs) as engine:
        future, pid = started(engine, "hang")
        ray_cluster.remove_node(node, allow_graceful=False)
        assert broken(future).kind == "killed"
        eventually(lambda: not is_running(pid))
        # Its workers may end before it is lost, and it is given another job meanwhile.
        eventually(lambda: not any(x.fit.slots for x in list(engine._members.links.values())))
        after = engine.submit(train("echo", 1))
        eventually(lambda: "No node of the cluster can train" in caplog.text)
        assert "It needs pool=second." in caplog.text
        assert value(engine.submit(measure("echo", 2))) == 2  # at the first node
        second_node()
        assert value(after) == 1
        assert "A node of the cluster can train again" in caplog.text
