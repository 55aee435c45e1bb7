"""The jobs of SLURM's queue: asked for in arrays, lost in every way, cancelled at the end.

SLURM is a stand-in of processes of this machine; ``test_real_slurm.py`` starts a real one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archfront.search.engine import submitit_pilots
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.submitit_check import check_queue, partition_problems
from archfront.search.engine.submitit_engine import SubmititEngine
from archfront.search.engine.submitit_queue import SlurmQueue
from archfront.search.errors import ConfigError
from tests.support import engine_jobs
from tests.support.engine_checks import broken, is_running, measure, train, value
from tests.support.killed_driver import killed_driver
from tests.support.slurm_stand_in import StandIn
from tests.support.waiting import DEADLINE_S, eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]
LIVING = {"PENDING", "RUNNING"}


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    pytest.importorskip("submitit", reason="pip install 'archfront[slurm]'")
    stand_in = StandIn(tmp_path / "slurm", monkeypatch)
    for name, seconds in (("pauses_s", (0.01, 0.1)), ("look_s", 0.5), ("gather_s", 0.1)):
        monkeypatch.setattr(SlurmQueue, name, seconds)
    yield stand_in
    stand_in.close()


def asked(folder: Path, **needs: Any) -> QueueNeeds:
    given: dict[str, Any] = {
        "shared": str(folder / "root"),
        "device_partition": "device",
        "describe": engine_jobs.device_of_node,
    }
    return QueueNeeds(cluster="slurm", study="flowers", **(given | needs))


def opened(folder: Path, *, workers: int = 1, **needs: Any) -> SubmititEngine:
    return SubmititEngine(
        engine_jobs.perform, workers=workers, threads=1, needs=asked(folder, **needs)
    )


def ended(slurm: StandIn) -> bool:
    return not LIVING & set(slurm.states().values())


def test_a_study_has_an_array_that_trains_and_a_node_of_the_device_that_measures(
    slurm: StandIn, tmp_path: Path
) -> None:
    with opened(tmp_path, workers=2, device_constraint="pi5") as engine:
        assert engine.device == "device of n2"
        assert list(slurm.states()) == ["1", "2_0", "2_1"]
        assert "--exclusive" in slurm.script("1")
        assert "#SBATCH --array=0-1%2" in slurm.script("2_0")
        done = engine.submit(train("environment")).result(DEADLINE_S)
        assert (done.node, value_of(done)["SLURMD_NODENAME"]) == ("n1", "n1")
        assert engine.submit(measure("echo", 1)).result(DEADLINE_S).node == "n2"
        assert [value(engine.submit(train("echo", n))) for n in range(10)] == list(range(10))
        assert list(slurm.states()) == ["1", "2_0", "2_1"]  # a job does one after the other
    assert ended(slurm)


def value_of(result: Any) -> dict[str, str]:
    found: dict[str, str] = result.value
    return found


def test_what_a_job_ran_that_is_taken_away_breaks_and_the_next_job_goes_on(
    slurm: StandIn, tmp_path: Path
) -> None:
    with opened(tmp_path, measures=False) as engine:
        pids: list[int] = []
        future = engine.submit(train("hang"), pids.append)
        waiting = engine.submit(train("echo", 1))
        eventually(lambda: pids)
        slurm.end("1", "PREEMPTED")
        failure = broken(future)
        assert (failure.kind, failure.node) == ("killed", "n1")
        said = "The job 1 on n1 lost its node to another job, which comes first."
        assert failure.message == said
        eventually(lambda: not is_running(pids[0]))
        assert value(waiting) == 1
        assert slurm.states()["2"] == "RUNNING"


def test_a_job_that_is_lost_with_a_node_that_lives_ends_itself(
    slurm: StandIn, tmp_path: Path
) -> None:
    """It went on beside the second try, into one folder, until SLURM saw its node again."""
    with opened(tmp_path, measures=False) as engine:
        pids: list[int] = []
        future = engine.submit(train("hang"), pids.append)
        eventually(lambda: pids)
        slurm.lose("1")
        assert broken(future).message == "The job 1 on n1 was lost with its node."
        eventually(lambda: not is_running(pids[0]))


def test_jobs_that_wait_say_why_and_a_driver_that_gives_up_takes_them_back(
    slurm: StandIn,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(submitit_pilots, "_LONG_S", 0.0)
    slurm.hold("QOSMaxJobsPerUserLimit")
    with opened(tmp_path, measures=False, partition="batch"):
        eventually(lambda: "The jobs that train wait in the queue (1). QOSM" in caplog.text)
        assert caplog.text.count("a limit of the user, account or QOS is reached") == 1
    eventually(lambda: slurm.states() == {"1": "CANCELLED"})


def test_jobs_that_slurm_would_never_begin_end_the_study_before_it_starts(
    slurm: StandIn, tmp_path: Path
) -> None:
    slurm.hold("PartitionTimeLimit")
    said = r"^engine\.job_minutes: the job \d never begins: .* more than the partition allows\.$"
    with pytest.raises(ConfigError, match=said):
        opened(tmp_path, trains=False)
    eventually(lambda: ended(slurm))


def test_a_driver_that_is_killed_leaves_no_job(slurm: StandIn, tmp_path: Path) -> None:
    made = f"""
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.submitit_engine import SubmititEngine
needs = QueueNeeds(cluster="slurm", shared={str(tmp_path / "root")!r}, measures=False)
engine = SubmititEngine(engine_jobs.perform, workers=3, threads=1, needs=needs)
"""
    found = killed_driver(made, tmp_path)
    eventually(lambda: not any(is_running(pid) for pid in found))
    eventually(lambda: ended(slurm))
    assert sorted(slurm.states()) == ["1_0", "1_1", "1_2"]


def test_a_study_that_begins_in_the_same_root_disturbs_no_job_that_waits(
    slurm: StandIn, tmp_path: Path
) -> None:
    """It gave the root a new mark, by which the jobs took it for another folder."""
    slurm.hold("Priority")
    with opened(tmp_path, measures=False) as first, opened(tmp_path, measures=False) as second:
        eventually(lambda: set(slurm.states().values()) == {"PENDING"})
        slurm.hold("")
        assert [value(each.submit(train("echo", 1))) for each in (first, second)] == [1, 1]
        assert list(slurm.states()) == ["1", "2"]


def test_a_partition_that_there_is_not_is_told_before_anything_starts(
    slurm: StandIn, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"specified: bacth\. .*Known: batch, device\."):
        opened(tmp_path, partition="bacth")
    eventually(lambda: ended(slurm))


@pytest.mark.parametrize("measures", [True, False])
def test_jobs_that_never_begin_are_told_with_what_they_printed(
    slurm: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measures: bool
) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/not-on-the-nodes/python")
    said = r"It ended before it could take any work.*(tracking\.root).*What it printed is in"
    if measures:
        with pytest.raises(ConfigError, match=said) as error:
            opened(tmp_path, trains=False)
        message = str(error.value)
    else:
        with opened(tmp_path, measures=False) as engine:
            failure = broken(engine.submit(train("echo", 1)))
            assert failure.kind == "machine"
            message = failure.message
    assert "not-on-the-nodes/python" in message
    (folder,) = (tmp_path / "root" / "queue").iterdir()
    assert str(folder) in message


class TestCheck:
    def test_a_job_of_each_kind_says_what_its_node_is(
        self, slurm: StandIn, tmp_path: Path
    ) -> None:
        (tmp_path / "photos").mkdir()
        needs = asked(tmp_path, read=(str(tmp_path / "photos"),), job_minutes=30)
        report = check_queue(needs, threads=1)
        assert report.version == "slurm 0.0.0"
        assert [p.name for p in report.partitions] == ["batch", "device", "device"]
        found = {each.purpose: each for each in report.answers}
        assert {name: each.node for name, each in found.items()} == {
            "measure": "n2",
            "train": "n1",
        }
        assert all(each.facts is not None and not each.facts.unseen for each in report.answers)
        assert [each.problems for each in report.answers] == [(), ()]
        assert list((tmp_path / "root" / "queue").iterdir()) == []

    def test_jobs_that_do_not_begin_are_taken_back(self, slurm: StandIn, tmp_path: Path) -> None:
        slurm.hold("QOSMaxJobsPerUserLimit")
        ticks = iter(range(0, 10_000, 1))
        needs = asked(tmp_path, trains=False)
        report = check_queue(needs, threads=1, wait_s=10, clock=lambda: float(next(ticks)))
        ((problem,),) = [each.problems for each in report.answers]
        assert problem.startswith("the job 1 did not begin within 10 s. QOSMaxJobsPerUserLimit: a")
        eventually(lambda: slurm.states() == {"1": "CANCELLED"})

    @pytest.mark.parametrize(
        ("needs", "said"),
        [
            ({"partition": "x"}, "engine.partition: Unknown partition 'x'. Known: batch, device."),
            (
                {"job_minutes": 90},
                "engine.partition: batch gives a job 1:00:00; engine.job_minutes=90 is more.",
            ),
            ({"gpus": 0.5}, "engine.partition: batch has no node with GPUs; engine.gpus is 0.5."),
            (
                {"device_constraint": "pi4"},
                "engine.device_partition: device has no node with the feature pi4.",
            ),
            ({}, "engine.partition: batch has nodes of 2 CPUs; engine.threads=4 is more."),
        ],
    )
    def test_what_no_partition_gives_is_told(
        self, slurm: StandIn, tmp_path: Path, needs: dict[str, Any], said: str
    ) -> None:
        report = check_queue(asked(tmp_path, **needs), threads=1 if needs else 4)
        assert said in report.problems
        assert report.answers == ()
        assert slurm.states() == {}


def test_a_queue_without_a_default_partition_needs_a_name() -> None:
    needs = QueueNeeds(measures=False)
    assert partition_problems(needs, [], threads=1) == [
        "engine.partition: SLURM has no default. Known: none."
    ]
