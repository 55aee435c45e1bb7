"""What the machine does to a study is not held against its candidates."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config.schema import Config
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Broken, Job, Result
from archfront.search.engine.second_try import MOST_LOST
from archfront.search.errors import StudyStoppedError
from archfront.search.jobs.perform import MeasureRequest, TrainRequest
from archfront.search.records.evaluation import Failed, Trained
from archfront.search.records.events import Event, Noticed, StudyFinished
from archfront.search.records.failure_kinds import FailureKind
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore, reading
from archfront.search.results.results import Results
from archfront.search.study.study import StudyResult
from tests.support.small_study import perform, run, small_config, small_space


class Losing(InlineEngine):
    """An engine whose node is lost under the first jobs, and once more."""

    isolates = True

    def __init__(self, n_lost: int) -> None:
        super().__init__(perform, workers=1, threads=1)
        self.n_left = n_lost

    def _run(self, job: Job, on_event: Any) -> Result:
        self.n_left -= 1
        if self.n_left >= 0:
            return Broken("killed", "The node was lost.", 1.0, "a", is_lost=True)
        return super()._run(job, on_event)


class Failing(InlineEngine):
    """An engine whose jobs of one kind fail, chosen by their count from 1."""

    def __init__(self, kind: FailureKind, fails: Callable[[int], bool], of: type = TrainRequest):
        super().__init__(perform, workers=1, threads=1)
        self.kind, self.fails, self.of, self.count = kind, fails, of, 0

    def _run(self, job: Job, on_event: Any) -> Result:
        if isinstance(job.payload, self.of):
            self.count += 1
            if self.fails(self.count):
                return Broken(self.kind, "The reason.", 1.0)
        return super()._run(job, on_event)


def rung_config(root: Path, **changes: Any) -> Config:
    """Return the small study with two rungs."""
    return small_config(root, **{"task__epochs": 4, "budget__rungs": [2, 4], **changes})


def of_kind(found: Results, kind: FailureKind) -> set[str]:
    """Return the ids of the candidates with a failure of a kind."""
    outcomes = ((e.candidate.id, e.outcome) for e in found.evaluations)
    return {id for id, outcome in outcomes if isinstance(outcome, Failed) and outcome.kind == kind}


def run_counts(root: Path) -> dict[str, int]:
    """Return the counts of the small study where nothing fails."""
    run(small_config(root))
    return results(root).counts()


def results(root: Path) -> Results:
    paths = StudyPaths(root, "small")
    return Results.read(reading(paths, None), paths)


@pytest.mark.parametrize(("kind", "of"), [("killed", TrainRequest), ("machine", MeasureRequest)])
def test_a_job_that_the_machine_failed_is_done_once_more(
    tmp_path: Path, kind: FailureKind, of: type
) -> None:
    told: list[Event] = []
    engine = Failing(kind, lambda count: count == 2, of)
    result = run(small_config(tmp_path), engine=engine, followers=[told.append])
    assert result.state == "finished"
    assert results(tmp_path).counts()["trained"] == 6
    notes = [event.message for event in told if isinstance(event, Noticed)]
    assert [note.split(" ", 2)[2] for note in notes] == ["is tried again: The reason."]


def test_nodes_that_are_lost_cost_a_candidate_none_of_its_tries(tmp_path: Path) -> None:
    """The second node that was lost under a candidate had made it a failed one."""
    result = run(small_config(tmp_path), engine=Losing(MOST_LOST))
    assert result.state == "finished"
    assert results(tmp_path).counts() == run_counts(tmp_path / "whole")


def test_a_candidate_under_which_every_node_is_lost_is_given_up_for_this_run(
    tmp_path: Path,
) -> None:
    config = small_config(tmp_path)
    run(config, engine=Losing(2 * MOST_LOST + 2))  # those of the reference point are others
    assert of_kind(results(tmp_path), "killed")
    run(small_config(tmp_path, budget__trials=1000))
    assert not of_kind(results(tmp_path), "killed")


def test_a_machine_that_fails_again_stops_the_study_which_goes_on_later(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    result = run(config, engine=Failing("machine", lambda count: count > 2))
    assert result.state == "stopped"
    assert result.reason.startswith("The reason.\nEverything finished is recorded; the same")
    found = results(tmp_path)
    assert (found.state, found.reason) == (result.state, result.reason)
    assert found.counts()["trained"] == 2
    for _ in range(4):  # more often than a candidate is given up after
        run(config, engine=Failing("machine", lambda count: True))
    assert run(config).state == "finished"
    assert results(tmp_path).counts()["trained"] == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "make"),
    [("killed", rung_config), ("out of memory", small_config), ("weights", small_config)],
)
def test_a_candidate_that_the_machine_failed_is_tried_again_on_resume(
    tmp_path: Path, kind: FailureKind, make: Any
) -> None:
    """Its failure was recorded for good, at every rung."""
    config = make(tmp_path, budget__trials=1000, budget__max_failures=1000)
    space = small_space(lrs=(0.01,))
    engine = Failing(kind, lambda count: count % 7 in (3, 4))
    result = run(config, engine=engine, space=space)
    assert result.state == "stopped"
    assert "not all candidates of the space could be tried" in result.reason
    hit = of_kind(results(tmp_path), kind)
    assert hit
    assert run(config, space=space).state == "finished"
    found = results(tmp_path)
    trained = {e.candidate.id for e in found.evaluations if isinstance(e.outcome, Trained)}
    assert hit <= trained
    assert not of_kind(found, kind)
    assert run(config, space=space).was_finished


def test_failures_in_a_row_stop_a_study_which_keeps_its_front_and_goes_on(tmp_path: Path) -> None:
    """It ended as failed, with an error in place of the front, and nothing scored or drawn."""
    config = rung_config(tmp_path, budget__trials=3, budget__max_failures=2)
    result = run(config, engine=Failing("crash", lambda count: count > 3))
    assert result.state == "stopped"
    assert result.reason.startswith("2 candidates failed in a row (budget.max_failures=2). The")
    assert ": crash: The reason. The same command goes on when" in result.reason
    found = results(tmp_path)
    assert (found.state, found.reason) == (result.state, result.reason)
    members = {member.trial for member in found.front()}
    assert members
    assert members <= set(found.scores)
    waiting = found.counts()["waiting"]
    assert waiting > 0
    again = run(config, engine=Failing("crash", lambda count: True))
    assert again.reason.startswith("2 candidates failed in a row")
    assert run(config).state == "finished"


@pytest.mark.parametrize("kind", ["killed", "crash"])
def test_a_study_in_which_nothing_was_trained_says_why_and_is_not_finished(
    tmp_path: Path, kind: FailureKind
) -> None:
    """It ended with "Nothing was done", whatever had failed, and for good."""
    limits = {"hardware__limits__latency_ms": 0.1}
    config = small_config(tmp_path, budget__trials=3, budget__max_failures=1000, **limits)
    space = small_space(lrs=(0.01,))
    result = run(config, engine=Failing(kind, lambda count: True), space=space)
    assert result.state == "stopped"
    assert result.reason.startswith(
        "nothing could be trained (all 24 candidates of the space were"
    )
    assert f"{kind}: The reason. The same command tries again" in result.reason
    assert run(config, space=space).state == "finished"
    assert results(tmp_path).counts()["trained"] == 3


def test_a_candidate_is_given_up_only_after_deaths_of_the_driver(tmp_path: Path) -> None:
    """Interrupts counted as deaths, so that a long training could not be interrupted thrice."""
    config = small_config(tmp_path, budget__trials=2)

    def interrupt(job: Job) -> Any:
        if isinstance(job.payload, TrainRequest):
            raise KeyboardInterrupt
        return perform(job)

    for _ in range(4):
        engine = InlineEngine(interrupt, workers=1, threads=1)
        assert run(config, engine=engine).state == "interrupted"
    assert run(config).state == "finished"
    assert results(tmp_path).counts()["trained"] == 2


def test_a_machine_that_fails_before_the_first_trial_stops_the_study(tmp_path: Path) -> None:
    """Five architectures were said not to be measurable, for the one cause of all."""
    config = small_config(tmp_path, hardware__limits__latency_ms=None)
    engine = Failing("machine", lambda count: True, MeasureRequest)
    with pytest.raises(StudyStoppedError, match=r"^The reason\.\nEverything finished is recorded"):
        run(config, engine=engine)
    assert engine.count == 2
    assert run(config).state == "finished"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_records_that_cannot_be_written_stop_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    config = small_config(tmp_path)
    left, real = [3], StudyStore.record
    told: list[Event] = []

    def record(*given: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, "No room", "optuna.journal")
        real(*given)

    with monkeypatch.context() as patched:
        patched.setattr(StudyStore, "record", record)
        patched.setattr(StudyStore, "write_state", failing_after_first(StudyStore.write_state))
        result: StudyResult = run(config, followers=[told.append])
    assert result.state == "stopped"
    assert told[-1] == StudyFinished("stopped", result.reason)
    assert "No room" in result.reason
    assert sum(results(tmp_path).counts().values()) == 3
    assert run(config).state == "finished"
    assert results(tmp_path).counts()["trained"] == 6


def failing_after_first(real: Callable[..., None]) -> Callable[..., None]:
    """Return a writer of the state which finds room only once."""
    count = [0]

    def write(*given: Any, **more: Any) -> None:
        count[0] += 1
        if count[0] > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*given, **more)

    return write
