"""The jobs of a real SLURM, which is started here where it is installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.submitit_check import check_queue
from archfront.search.engine.submitit_engine import SubmititEngine
from archfront.search.engine.submitit_queue import SlurmQueue
from archfront.search.errors import ConfigError
from tests.support import engine_jobs
from tests.support.engine_checks import broken, is_running, measure, train, value
from tests.support.slurm_cluster import small_slurm
from tests.support.waiting import DEADLINE_S, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    pytest.importorskip("submitit", reason="pip install 'archfront[slurm]'")
    for name, seconds in (("pauses_s", (0.02, 0.2)), ("look_s", 0.5), ("gather_s", 0.1)):
        monkeypatch.setattr(SlurmQueue, name, seconds)
    with small_slurm(tmp_path / "slurm", monkeypatch):
        yield


def queued(*fields: str) -> list[str]:
    """Return what squeue says of the jobs that wait or run."""
    form = "|".join(f"%{field}" for field in fields)
    asked = ["squeue", "--noheader", "--array", f"--format={form}"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_real_slurm_trains_measures_preempts_and_is_left_empty(
    slurm: None, tmp_path: Path
) -> None:
    needs = QueueNeeds(
        cluster="slurm",
        study="flowers",
        shared=str(tmp_path / "root"),
        partition="batch",
        device_partition="device",
        device_constraint="pi5",
        job_minutes=10,
        describe=engine_jobs.device_of_node,
    )
    report = check_queue(needs, threads=1)
    assert {each.purpose: each.node for each in report.answers} == {"measure": "n2", "train": "n1"}
    assert not report.problems
    with pytest.raises(ConfigError, match=r"nix\. .*Known: batch, device, urgent\."):
        check_with("nix", tmp_path)
    with SubmititEngine(engine_jobs.perform, workers=1, threads=1, needs=needs) as engine:
        assert engine.device == "device of n2"
        assert sorted(queued("P", "N", "h")) == ["batch|n1|OK", "device|n2|NO"]
        assert engine.submit(train("echo", 1)).result(DEADLINE_S).node == "n1"
        assert engine.submit(measure("echo", 2)).result(DEADLINE_S).node == "n2"
        pids: list[int] = []
        future = engine.submit(train("hang"), pids.append)
        waiting = engine.submit(train("echo", 3))
        eventually(lambda: pids)
        urgent = ["sbatch", "--partition=urgent", "--output=/dev/null", "--wrap=true"]
        subprocess.run(urgent, check=True, capture_output=True)
        failure = broken(future)
        assert failure.kind == "killed"
        assert "on n1 lost its node to another job, which comes first." in failure.message
        eventually(lambda: not is_running(pids[0]))
        assert value(waiting) == 3
    eventually(lambda: queued("i") == [])


def check_with(partition: str, folder: Path) -> None:
    needs = QueueNeeds(cluster="slurm", shared=str(folder / "root"), partition=partition)
    SubmititEngine(engine_jobs.perform, workers=1, threads=1, needs=needs)
