"""The engine of a cluster outlives its connection, and a node its driver only for a while."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from archfront.search.engine import cluster_engine, cluster_process, node_agent
from archfront.search.engine.cluster_engine import ClusterEngine
from archfront.search.engine.cluster_process import BEGUN, REFUSED, ClusterSetup
from archfront.search.engine.jobs import Done, Result
from archfront.search.engine.node_agent import NodeAgent
from archfront.search.engine.placement import ClusterNeeds, FilesMode
from archfront.search.engine.ray_node import LEASE_END_S
from archfront.search.engine.worker import READY
from archfront.search.errors import ConfigError
from tests.support import engine_jobs
from tests.support.engine_checks import broken, is_running, train, value
from tests.support.waiting import DEADLINE_S, eventually

ROOT = Path(engine_jobs.__file__).parents[2]
OPEN = Callable[[], ClusterEngine]
pytestmark = pytest.mark.xdist_group("ray")


class Connection:
    """Stands for the process that is connected; it ends when its first job has begun."""

    last_output = ""
    answer: tuple[bytes, Any] = (READY, (None, 1))

    def __init__(self, **_: Any) -> None:
        self._said: SimpleQueue[tuple[bytes, Any] | None] = SimpleQueue()

    def send(self, message: bytes) -> None:
        order = pickle.loads(message)
        if isinstance(order, ClusterSetup):
            self._said.put(self.answer)
        elif order[0] == "job":
            self._said.put((BEGUN, order[1]))
            self._said.put(None)

    def receive(self) -> tuple[bytes, bytes]:
        if (said := self._said.get()) is None:
            raise EOFError
        return said[0], pickle.dumps(said[1])

    def end(self, *, grace_s: float) -> None:
        self._said.put(None)


@pytest.mark.parametrize(("files", "waits"), [("auto", True), ("sent", False)])
def test_what_a_lost_connection_ran_is_done_again_when_the_nodes_have_ended_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: FilesMode, waits: bool
) -> None:
    """It ran on while its second try wrote into the same folder."""
    monkeypatch.setattr(cluster_engine, "WorkerProcess", Connection)
    needs = ClusterNeeds(shared=str(tmp_path), files=files)
    with ClusterEngine(engine_jobs.perform, workers=1, needs=needs) as engine:
        futures: list[Future[Result]] = []
        waited: list[tuple[float, bool]] = []

        def wait(seconds: float) -> bool:
            eventually(lambda: futures)
            waited.append((seconds, futures[0].done()))
            return False

        monkeypatch.setattr(engine._stopped, "wait", wait)
        futures.append(engine.submit(train("echo", 1)))
        assert broken(futures[0]).is_lost
        assert ((LEASE_END_S, False) in waited) == waits


@pytest.mark.slow
def test_a_lost_connection_breaks_what_ran_and_the_rest_goes_on(
    ray_engine: OPEN, caplog: pytest.LogCaptureFixture
) -> None:
    """Ray ended the whole driver when the head of its cluster died."""
    engine, pids = ray_engine(), list[int]()
    running = engine.submit(train("hang"), pids.append)
    eventually(lambda: pids)
    waiting = engine.submit(train("echo", 1))
    dropped = engine.submit(train("echo", 2))
    assert dropped.cancel()
    process = engine._process
    assert process is not None
    os.kill(process.group, signal.SIGKILL)
    failure = broken(running)
    assert (failure.kind, failure.is_lost) == ("killed", True)
    assert value(waiting) == 1
    assert not is_running(pids[0])
    assert "It ran 1 job. The study waits and goes on when the cluster is there" in caplog.text
    assert f"The cluster at {engine._needs.address} is there again." in caplog.text


@pytest.mark.slow
def test_the_connection_sleeps_while_nothing_comes(ray_engine: OPEN) -> None:
    """Half of the driver's processor time was that of threads that looked for messages."""
    process = ray_engine()._process
    assert process is not None
    slack = Path(f"/proc/{process.group}/timerslack_ns")
    if not slack.exists() or not os.access(slack, os.R_OK):
        pytest.skip("This system does not tell the slack of timers.")
    assert int(slack.read_text()) == cluster_process._SLACK_NS


def test_later_events_of_a_job_are_told_with_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each epoch of each training had woken the driver."""
    agent, waited = NodeAgent(), list[float]()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        agent._add_result(1, Done("second", 1.0))

    monkeypatch.setattr(agent._changed, "wait", wait)
    agent._add_event(1, "first")
    assert [item.tag for item in agent.poll(0, 60.0)] == ["event"]
    assert not waited
    agent._add_event(1, "second")
    assert [item.tag for item in agent.poll(1, 60.0)] == ["event", "result"]
    assert [seconds <= node_agent._TOGETHER_S for seconds in waited] == [True]


@pytest.mark.slow
def test_a_job_that_waits_can_be_cancelled(ray_engine: OPEN, tmp_path: Path) -> None:
    engine = ray_engine()
    file, other = tmp_path / "go", tmp_path / "other"
    running = engine.submit(train("wait", str(file)))
    eventually(running.running)
    waiting = engine.submit(train("write", str(other), ""))
    assert waiting.cancel()
    file.touch()
    value(running)
    assert value(engine.submit(train("echo", 1))) == 1
    assert not other.exists()


def test_what_the_cluster_lacks_is_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Connection, "answer", (REFUSED, ("No node can train.", "None measures.")))
    monkeypatch.setattr(cluster_engine, "WorkerProcess", Connection)
    with pytest.raises(ConfigError, match=r"^No node can train\.\nNone measures\.$"):
        ClusterEngine(engine_jobs.perform, workers=1, threads=1)


def test_a_node_whose_answers_do_not_arrive_ends_its_workers(tmp_path: Path) -> None:
    """Its jobs run elsewhere by then, and both would write into one folder.

    A question that was on its way for long had kept it alive.
    """
    pids = tmp_path / "pids"
    script = f"""
import pathlib, pickle
from archfront.search.engine.jobs import Job
from archfront.search.engine.node_agent import NodeAgent, Start
from tests.support import engine_jobs
agent = NodeAgent()
agent.start(pickle.dumps(Start(engine_jobs.perform, 1, 1, (), (), lease_s=1.0)))
agent.submit(1, pickle.dumps(Job("train", ("hang with child", {str(pids)!r}))))
n = 1
while True:
    arrived = 0 if pathlib.Path({str(pids)!r}).exists() else n - 1
    agent.poll(0, 0.1, n, arrived)
    n += 1
"""
    agent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    assert agent.wait(DEADLINE_S) == 1
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 2
    eventually(lambda: not any(is_running(pid) for pid in found))
