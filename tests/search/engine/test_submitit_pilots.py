"""What becomes of the jobs of a queue, whose states and words are made up here: no process runs.

``test_slurm_engine.py`` and ``test_real_slurm.py`` have jobs that run.
"""

from __future__ import annotations

import pickle
import platform
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.engine import submitit_engine, submitit_pilots
from archfront.search.engine.jobs import Done, Result
from archfront.search.engine.message_file import Mailbox
from archfront.search.engine.node_agent import Item
from archfront.search.engine.node_facts import Question, facts_of
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.slurm_commands import JobState, SlurmError, phase_of
from archfront.search.engine.submitit_engine import SubmititEngine
from archfront.search.engine.submitit_pilot import (
    FROM_PILOT,
    TO_PILOT,
    Hello,
    Pilot,
    Stop,
    ToDo,
)
from tests.support import engine_jobs
from tests.support.engine_checks import broken, measure, train, value
from tests.support.waiting import eventually

FACTS = facts_of(Question())


class Queue:
    """A queue that does what a test says.

    Attributes:
        nodes: Nodes on which the next jobs begin as soon as they are asked for.
        ends: The ends of the next jobs, before they begin.
        refusal: What is raised when a job is asked for; None where it is taken.
        n_refused: How often that was.
        excluded: The nodes that each job must not get.
        cancelled: The jobs that were cancelled.
    """

    pauses_s = (0.001, 0.01)
    look_s = 0.0
    gather_s = 0.0

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.ends: list[str] = []
        self.refusal: Exception | None = None
        self.n_refused = 0
        self.excluded: dict[str, list[str]] = {}
        self.cancelled: list[str] = []
        self._folders: dict[str, Path] = {}
        self._states: dict[str, JobState] = {}
        self._boxes: dict[str, Mailbox] = {}

    def submit(
        self, pilots: Sequence[Pilot], *, measures: bool, excluded: Iterable[str] = ()
    ) -> list[str]:
        if self.refusal is not None:
            self.n_refused += 1
            raise self.refusal
        names = [str(len(self._states) + n) for n in range(1, len(pilots) + 1)]
        for name, pilot in zip(names, pilots, strict=True):
            self.excluded[name] = sorted(excluded)
            self._folders[name] = Path(pilot.folder)
            self._states[name] = JobState("queued", "PENDING", "Resources")
            if self.ends:
                self.end(name, self.ends.pop(0))
            elif self.nodes:
                self.begin(name, self.nodes.pop(0))
        return names

    def states(self, ids: Sequence[str]) -> dict[str, JobState]:
        return {name: self._states[name] for name in ids}

    def cancel(self, ids: Sequence[str]) -> None:
        self.cancelled += ids

    def output_of(self, name: str) -> str:
        return ""

    def close(self) -> None:
        return

    def names(self) -> list[str]:
        """Return all jobs."""
        return list(self._states)

    def begin(self, name: str, node: str, **facts: Any) -> None:
        """Let a job begin on a node, of which it says something else."""
        self._states[name] = JobState("running", "RUNNING", node=node)
        self._boxes[name] = Mailbox(self._folders[name] / FROM_PILOT)
        said = replace(FACTS, **({"device": f"device of {node}"} | facts))
        self._boxes[name].send(pickle.dumps(Hello(node, said, 3600.0)))

    def end(self, name: str, word: str) -> None:
        """Let a job end."""
        self._states[name] = JobState(phase_of(word), word, node=self._states[name].node)

    def inbox(self, name: str) -> Path:
        """Return the file of messages to a job."""
        return self._folders[name] / TO_PILOT

    def told(self, name: str) -> list[Any]:
        """Return what a job was told."""
        return [pickle.loads(message) for message in Mailbox(self.inbox(name)).receive()]

    def answer(self, name: str, result: Result) -> None:
        """Let a job give the result of what it was told to do last."""
        number = [each.number for each in self.told(name) if isinstance(each, ToDo)][-1]
        items = [Item(number, "result", number, pickle.dumps(result))]
        self._boxes[name].send(pickle.dumps(items))


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Queue:
    found = Queue()
    # An engine whose jobs did not begin keeps its folder, with what they printed.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(submitit_engine, "queue_of", lambda *_, **__: found)
    return found


@pytest.fixture
def engine(queue: Queue) -> Iterator[SubmititEngine]:
    """Return an engine whose one job trains on n1."""
    queue.nodes = ["n1"]
    with opened(measures=False) as engine:
        yield engine


def opened(*, workers: int = 1, **given: Any) -> SubmititEngine:
    needs: dict[str, Any] = {"cluster": "slurm", "describe": engine_jobs.device_of_node} | given
    return SubmititEngine(
        engine_jobs.perform, workers=workers, threads=1, needs=QueueNeeds(**needs)
    )


@pytest.mark.parametrize(
    ("word", "kind", "is_lost", "said"),
    [
        ("PREEMPTED", "killed", True, "lost its node to another job, which comes first."),
        ("NODE_FAIL", "killed", True, "was lost with its node."),
        ("OUT_OF_MEMORY", "out of memory", False, "used more memory than SLURM gave it."),
    ],
)
def test_what_a_job_ran_that_is_taken_away_breaks(
    queue: Queue, engine: SubmititEngine, word: str, kind: str, is_lost: bool, said: str
) -> None:
    future = engine.submit(train("echo", 1))
    eventually(future.running)
    queue.end("1", word)
    failure = broken(future)
    assert (failure.kind, failure.is_lost, failure.node) == (kind, is_lost, "n1")
    assert failure.message.startswith(f"The job 1 on n1 {said}")


@pytest.mark.parametrize(("share", "is_lost"), [(0.75, True), (0.0, False)])
def test_a_training_that_had_too_little_of_its_jobs_time_is_not_too_long(
    queue: Queue,
    engine: SubmititEngine,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    is_lost: bool,
) -> None:
    """The second time it was held against its candidate, however late in a job it had begun."""
    monkeypatch.setattr(submitit_pilots, "_MOST", share)
    future = engine.submit(train("echo", 1))
    eventually(future.running)
    queue.end("1", "TIMEOUT")
    failure = broken(future)
    assert (failure.kind, failure.is_lost) == ("killed", is_lost)
    assert "What takes longer needs a larger engine.job_minutes" in failure.message


def test_of_trainings_that_share_a_job_only_the_long_one_is_too_long(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was given last decided for all of them."""
    queue.nodes = ["n1"]
    with opened(workers=2, measures=False, gpus=0.5) as engine:
        (link,) = engine._pilots.links
        now = [link.asked]
        monkeypatch.setattr(link, "_clock", lambda: now[0])
        long = engine.submit(train("echo", 1))
        eventually(lambda: len(link.given) == 1)
        now[0] += 50 * 60.0
        short = engine.submit(train("echo", 2))
        eventually(lambda: len(link.given) == 2)
        now[0] += 10 * 60.0
        queue.end("1", "TIMEOUT")
        assert not broken(long).is_lost
        assert broken(short).is_lost


def test_a_suspended_job_is_cancelled_since_its_work_is_done_elsewhere(
    queue: Queue, engine: SubmititEngine
) -> None:
    future = engine.submit(train("echo", 1))
    eventually(future.running)
    queue.end("1", "SUSPENDED")
    said = "The job 1 on n1 was suspended for another job, and was given up."
    assert broken(future).message == said
    assert queue.cancelled == ["1"]
    assert isinstance(queue.told("1")[-1], Stop)  # its node may live: it has to end itself


def test_a_job_to_which_nothing_can_be_written_ends_and_another_does_the_work(
    queue: Queue, engine: SubmititEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It kept its node to the end of its time, and all that it ran was done twice."""
    monkeypatch.setattr(submitit_pilots, "_LEAVING_S", 0.0)
    queue.nodes = ["n2"]
    queue.inbox("1").unlink()
    queue.inbox("1").mkdir()
    future = engine.submit(train("echo", 1))
    eventually(lambda: "2" in queue.names() and queue.told("2"))
    queue.answer("2", Done(1, 0.5))
    assert value(future) == 1
    eventually(lambda: queue.cancelled == ["1"])


def test_a_node_that_does_not_fit_is_left_out_where_others_fit(
    queue: Queue, engine: SubmititEngine
) -> None:
    """SLURM gave it again and again, and the second time the study was stopped."""
    first = engine.submit(train("echo", 1))
    eventually(lambda: queue.told("1"))
    queue.answer("1", Done(1, 0.5))
    assert value(first) == 1
    queue.end("1", "PREEMPTED")
    eventually(lambda: not engine._pilots.links)
    future = engine.submit(train("echo", 2))
    eventually(lambda: "2" in queue.names())
    queue.begin("2", "n2", python="2.7.18")
    eventually(lambda: queue.told("2"))
    queue.end("2", "COMPLETED")
    eventually(lambda: "3" in queue.names())
    assert (queue.excluded["2"], queue.excluded["3"]) == ([], ["n2"])
    queue.begin("3", "n1")
    eventually(future.running)


def test_nodes_that_do_not_fit_are_told_where_none_fits(queue: Queue) -> None:
    with opened(measures=False) as engine:
        future = engine.submit(train("echo", 1))
        for name in ("1", "2"):
            eventually(lambda name=name: name in queue.names())
            queue.begin(name, "n1", python="2.7.18")
            eventually(lambda name=name: queue.told(name))
            queue.end(name, "COMPLETED")
        failure = broken(future)
    said = f"engine: the node n1 has Python 2.7.18, the driver {platform.python_version()}."
    assert (failure.kind, failure.message) == ("machine", said)
    assert queue.excluded["2"] == []


@pytest.mark.parametrize("needs", [{"measures": False}, {"trains": False}])
def test_jobs_that_are_taken_away_before_they_begin_are_no_fault(
    queue: Queue, needs: dict[str, Any]
) -> None:
    """The second one ended the study, and said that its node does not see the folders."""
    queue.ends = ["PREEMPTED"] * 3 + ["NODE_FAIL"]
    queue.nodes = ["n1"]
    job = train if needs.get("trains", True) else measure
    with opened(**needs) as engine:
        future = engine.submit(job("echo", 1))
        eventually(lambda: "5" in queue.names() and queue.told("5"))
        queue.answer("5", Done(1, 0.5))
        assert value(future) == 1


def test_a_controller_that_is_away_is_waited_for(
    queue: Queue, engine: SubmititEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """The second job that it did not take ended the study."""
    queue.refusal = SlurmError("Unable to contact slurm controller.")
    queue.end("1", "PREEMPTED")
    eventually(lambda: not engine._pilots.links)
    future = engine.submit(train("echo", 1))
    eventually(lambda: queue.n_refused > 3)
    assert caplog.text.count("The study waits: SLURM takes no job now: Unable to contact") == 1
    queue.nodes, queue.refusal = ["n1"], None
    eventually(lambda: "2" in queue.names() and queue.told("2"))
    queue.answer("2", Done(1, 0.5))
    assert value(future) == 1


def test_a_node_of_another_device_measures_nothing_and_is_excluded(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.nodes = ["n2"]
    with opened(trains=False) as engine:
        assert engine.device == "device of n2"
        lost = engine.submit(measure("echo", 1))
        eventually(lost.running)
        queue.nodes = ["n3", "n2"]
        queue.end("1", "NODE_FAIL")
        assert broken(lost).is_lost
        future = engine.submit(measure("echo", 1))
        eventually(lambda: "n3 is device of n3, not device of n2" in caplog.text)
        queue.end("2", "COMPLETED")
        eventually(lambda: "3" in queue.names() and queue.told("3"))
        assert queue.excluded["3"] == ["n3"]
        queue.answer("3", Done(1, 0.5))
        assert value(future) == 1


@pytest.mark.parametrize(
    ("needs", "n_jobs"),
    [({"cluster": "slurm"}, 4), ({"cluster": "slurm", "gpus": 0.5}, 2), ({"cluster": "local"}, 1)],
    ids=str,
)
def test_as_many_jobs_are_asked_for_as_the_trainings_need(
    queue: Queue, needs: dict[str, Any], n_jobs: int
) -> None:
    """Processes of this machine were asked for by each training, and each did all of them."""
    with opened(workers=4, measures=False, **needs):
        assert len(queue.names()) == n_jobs


def test_trainings_that_share_a_gpu_run_in_one_job(queue: Queue) -> None:
    queue.nodes = ["n1"]
    with opened(workers=2, measures=False, gpus=0.5) as engine:
        both = [engine.submit(train("echo", n)) for n in range(2)]
        eventually(lambda: all(each.running() for each in both))
        assert queue.names() == ["1"]


def test_a_node_whose_gpus_do_not_hold_the_trainings_is_left_out(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(workers=2, measures=False, gpus=0.5, gpu_memory_gb=10.0) as engine:
        queue.begin("1", "n1", gpu_memory_gb=24.0)
        both = [engine.submit(train("echo", n)) for n in range(3)]
        eventually(lambda: sum(each.running() for each in both) == 2)
        queue.end("1", "NODE_FAIL")
        eventually(lambda: "2" in queue.names())
        queue.begin("2", "n2", gpu_memory_gb=16.0)
        eventually(lambda: "2 trainings fit" in caplog.text or "1 training fits" in caplog.text)
        queue.end("2", "COMPLETED")
        eventually(lambda: "3" in queue.names())
        assert queue.excluded["3"] == ["n2"]
    assert (
        "the node n2 does not fit engine.gpu_memory_gb: its GPUs have 16.0 GiB, of which those "
        "that share one get 14.4, a training takes 10: 1 training fits, not 2."
    ) in caplog.text
