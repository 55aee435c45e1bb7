"""The engine of a queue, with processes of this machine in place of one."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from archfront.search.engine import slurm_commands
from archfront.search.engine.jobs import Broken, Done
from archfront.search.engine.message_file import Mailbox
from archfront.search.engine.node_agent import Item, NodeAgent
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.submitit_engine import SubmititEngine
from archfront.search.engine.submitit_pilot import (
    BEAT_S,
    FROM_PILOT,
    Pilot,
    Pulse,
    _for_memory,
    _Passing,
    oom_kills,
)
from archfront.search.engine.submitit_queue import SlurmQueue, queue_of
from archfront.search.errors import ConfigError
from tests.support import engine_jobs
from tests.support.engine_checks import assert_matches, broken, is_running, train, value
from tests.support.waiting import DEADLINE_S, eventually

OPEN = Callable[[], SubmititEngine]


def eventually_received(inbox: Mailbox) -> list[Item]:
    """Return the first message, once it is there."""
    found: list[bytes] = []

    def is_there() -> bool:
        with suppress(OSError):
            found.extend(inbox.receive())
        return bool(found)

    eventually(is_there)
    items: list[Item] = pickle.loads(found[0])
    return items


def test_a_job_of_the_queue_that_dies_breaks_what_it_ran_and_another_is_asked_for(
    submitit_engine: OPEN,
) -> None:
    engine = submitit_engine()
    pids: list[int] = []
    future = engine.submit(train("hang"), pids.append)
    waiting = [engine.submit(train("echo", n)) for n in range(3)]
    eventually(lambda: pids)
    pilot = psutil.Process(pids[0]).parent()
    assert pilot is not None
    pilot.send_signal(signal.SIGKILL)
    failure = broken(future)
    assert failure.kind == "killed"
    assert_matches(failure.message, r"^The job \d+ on .+ ended\.")
    assert failure.node is not None
    eventually(lambda: not is_running(pids[0]))
    assert [value(each) for each in waiting] == [0, 1, 2]


def test_a_closed_engine_leaves_no_process_and_no_folder(
    submitit_engine: OPEN, tmp_path: Path
) -> None:
    needs = QueueNeeds(shared=str(tmp_path), read=(str(tmp_path),))
    with SubmititEngine(engine_jobs.perform, workers=1, threads=1, needs=needs) as engine:
        pids: list[int] = []
        future = engine.submit(train("hang with child", str(tmp_path / "pids")), pids.append)
        (folder,) = (tmp_path / "queue").iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        eventually((tmp_path / "pids").exists)
        found = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert broken(future).message == "The engine was closed before the job came to its end."
    eventually(lambda: not any(is_running(pid) for pid in found))
    assert list((tmp_path / "queue").iterdir()) == []


def test_without_submitit_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    needs = QueueNeeds(shared=str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"submitit is not installed.* pip install 'archfront\[slurm\]'"
    ):
        SubmititEngine(engine_jobs.perform, workers=1, threads=1, needs=needs)
    assert list((tmp_path / "queue").iterdir()) == []


def test_a_root_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    needs = QueueNeeds(shared=str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"^tracking\.root: .*/file: Not a directory\.$"):
        SubmititEngine(engine_jobs.perform, workers=1, threads=1, needs=needs)


def test_the_end_does_not_wait_for_a_slurm_without_an_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "scancel").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "scancel").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm_commands, "ANSWER_S", 0.1)
    needs = QueueNeeds(cluster="slurm", shared=str(tmp_path))
    submitit = ModuleType("submitit")  # which nothing is asked of
    queue = SlurmQueue(submitit, needs, tmp_path, name="flowers", cores=1, slots=1)
    queue.close()
    assert queue._canceller.poll() is None
    queue._canceller.kill()
    queue._canceller.wait()


class TestAskedOfSlurm:
    @pytest.fixture
    def parameters(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> Callable[..., dict[str, Any]]:
        pytest.importorskip("submitit", reason="pip install 'archfront[slurm]'")
        for name in ("sbatch", "squeue", "scancel", "sinfo", "srun"):
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

        def of(*, measures: bool, excluded: tuple[str, ...] = (), **needs: Any) -> dict[str, Any]:
            asked = QueueNeeds(cluster="slurm", **needs)
            queue = queue_of(asked, tmp_path, name="archfront-x", cores=3, slots=7)
            assert isinstance(queue, SlurmQueue)
            queue.close()
            found = queue.parameters(measures=measures, excluded=excluded)
            return {name: given for name, given in found.items() if given is not None}

        return of

    def test_a_training_asks_for_its_cores_its_memory_and_its_gpus(
        self, parameters: Callable[..., dict[str, Any]]
    ) -> None:
        found = parameters(
            measures=False, partition="batch", memory_gb=1.5, gpus=2, device_partition="device"
        )
        assert (found["partition"], found["cpus_per_task"]) == ("batch", 3)
        assert (found["mem"], found["gres"], found["array_parallelism"]) == ("1536M", "gpu:2", 7)
        assert "exclusive" not in found

    def test_trainings_that_share_a_gpu_have_one_job(
        self, parameters: Callable[..., dict[str, Any]]
    ) -> None:
        found = parameters(measures=False, memory_gb=1.5, gpus=0.25)
        assert (found["cpus_per_task"], found["mem"], found["gres"]) == (12, "6144M", "gpu:1")
        assert found["array_parallelism"] == 2  # seven trainings at a time

    def test_a_measurement_has_a_node_of_the_device_for_itself(
        self, parameters: Callable[..., dict[str, Any]]
    ) -> None:
        found = parameters(
            measures=True,
            excluded=("n3", "n1"),
            partition="batch",
            constraint="fast",
            device_partition="device",
            device_constraint="pi5",
            memory_gb=1.5,
        )
        assert (found["exclusive"], found["mem"], found["exclude"]) == (True, "0", "n1,n3")
        assert (found["partition"], found["constraint"]) == ("device", "pi5")
        assert "cpus_per_task" not in found
        assert parameters(measures=True, partition="batch")["partition"] == "batch"

    def test_options_of_the_site_go_along_and_slurm_repeats_nothing(
        self, parameters: Callable[..., dict[str, Any]]
    ) -> None:
        found = parameters(
            measures=False, account="lab", qos="long", sbatch={"nice": "5", "spread-job": "true"}
        )
        assert (found["account"], found["qos"]) == ("lab", "long")
        assert found["additional_parameters"] == {
            "no-requeue": True,
            "nice": "5",
            "spread-job": True,
        }


class TestPilot:
    def test_one_that_the_queue_starts_again_does_nothing(self, tmp_path: Path) -> None:
        (tmp_path / FROM_PILOT).write_bytes(b"a message of the first time")
        pilot = Pilot(str(tmp_path), "", start=b"", question=b"", minutes=1, pauses_s=(0.1, 0.1))
        assert pilot() == "The queue started it a second time, when its driver had given it up."
        assert (tmp_path / FROM_PILOT).read_bytes() == b"a message of the first time"

    def test_a_driver_that_writes_is_not_silent(self, tmp_path: Path) -> None:
        now = 0.0
        pulse = Pulse(tmp_path / "driver", clock=lambda: now)
        for n in range(3):
            (tmp_path / "driver").write_text(f"{n}")
            now += BEAT_S
            assert pulse.silent_s() == 0
        (tmp_path / "driver").unlink()  # a folder that is not seen for a while
        now += 2 * BEAT_S
        assert pulse.silent_s() == 2 * BEAT_S
        (tmp_path / "driver").write_text("3")
        now += BEAT_S
        assert pulse.silent_s() == 0

    def test_a_message_that_cannot_be_written_is_tried_again(self, tmp_path: Path) -> None:
        """A job of the queue ended, with all that it ran, when its file server was away."""
        agent, sent = NodeAgent(), tmp_path / "sent"
        sent.mkdir()
        passing = _Passing(agent, Mailbox(sent), pause_s=0.001, patience_s=DEADLINE_S)
        passing.start()
        agent.submit(1, b"nothing that can be read")
        sent.rmdir()
        (item,) = eventually_received(Mailbox(sent))
        assert (item.tag, item.job) == ("result", 1)
        passing.stop()
        assert passing.problem == ""
        sent.unlink()
        sent.mkdir()
        agent.submit(2, b"nothing that can be read")
        ending = _Passing(agent, Mailbox(sent), pause_s=0.001, patience_s=0.0)
        ending.start()
        eventually(lambda: "It cannot write its messages" in ending.problem)

    def test_a_worker_that_the_group_killed_for_memory_was_out_of_it(self) -> None:
        killed = Broken("killed", "The worker was killed (SIGKILL)", 1.0)
        (item, done, event) = (
            _for_memory(Item(1, tag, 2, pickle.dumps(content)))
            for tag, content in (("result", killed), ("result", Done(1, 1.0)), ("event", 3))
        )
        failure = pickle.loads(item.content)
        assert failure.kind == "out of memory"
        assert failure.message.endswith("Give engine.memory_gb more.")
        assert pickle.loads(done.content) == Done(1, 1.0)
        assert pickle.loads(event.content) == 3

    @pytest.mark.parametrize(
        ("group", "file", "n"),
        [
            ("0::/job_1/step\n", "job_1/step/memory.events", 2),
            ("3:cpu,cpuacct:/\n4:memory:/uid/job\n", "memory/uid/job/memory.oom_control", 2),
            ("0::/other\n", "job_1/step/memory.events", 0),
        ],
    )
    def test_kills_for_memory_are_counted_in_both_kinds_of_control_groups(
        self, tmp_path: Path, group: str, file: str, n: int
    ) -> None:
        (tmp_path / "cgroup").write_text(group)
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("max 7\noom 3\noom_kill 2\n")
        assert oom_kills(tmp_path / "cgroup", tmp_path) == n
        assert oom_kills(tmp_path / "nothing", tmp_path) == 0
