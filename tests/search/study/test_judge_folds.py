"""The end of a study with few validation images: its front is judged on folds."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job
from archfront.search.jobs.perform import FoldRequest
from archfront.search.records.events import Event, Noticed
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving, reading
from archfront.search.report.document import render
from archfront.search.report.front_table import front_table
from archfront.search.report.pages import record
from archfront.search.results.results import Results
from archfront.search.results.select_members import aliases
from archfront.search.study.job_factory import JobFactory
from archfront.search.study.judge_folds import FoldJudge
from archfront.trainers.errors import BuildError
from tests.support.small_study import STEP_S, perform, prepared, run, small_config

FOLDS = 3


class Machine:
    """Does the jobs, notes the folds among them, and fails or is killed at some of them."""

    def __init__(self, *, fails_at: tuple[int, ...] = (), killed_after: int | None = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self.events: list[Event] = []
        self.fails_at, self.killed_after = fails_at, killed_after

    def __call__(self, job: Job) -> Any:
        if isinstance(job.payload, FoldRequest):
            if len(self.asked) == self.killed_after:
                raise KeyboardInterrupt
            assert job.payload.data.fold is not None
            fold, n_folds = job.payload.data.fold
            assert n_folds == FOLDS
            self.asked.append((job.payload.candidate.id, fold))
            if fold in self.fails_at:
                raise BuildError("it cannot be built")
        return perform(job)


def study(root: Path, machine: Machine, **changes: Any) -> Results:
    """Run the small study, judged on folds, and return its results."""
    config = small_config(root, **{"budget__folds": FOLDS, **changes})
    engine = InlineEngine(machine, workers=1, threads=1)
    run(config, engine=engine, followers=(machine.events.append,))
    places = StudyPaths(root, "small")
    return Results.read(reading(places, None), places)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Machine]:
    machine = Machine()
    return study(tmp_path_factory.mktemp("folds"), machine), machine


def test_every_member_is_judged_on_every_fold(judged: tuple[Results, Machine]) -> None:
    results, machine = judged
    members = results.front()
    assert len(members) > 1
    ids = [member.candidate.id for member in members]
    assert sorted(machine.asked) == sorted((one, f) for one in ids for f in range(FOLDS))
    for member in members:
        assert member.folds is not None
        # The first fold has no right answer, the others as many as the validation has wrong ones.
        assert member.folds.metric == pytest.approx((1 - member.metric) * 2 / 3)
        assert member.folds.low < member.folds.metric < member.folds.high
        assert member.folds.n_folds == FOLDS


def test_the_means_decide_which_member_is_best_and_which_is_the_knee(
    judged: tuple[Results, Machine],
) -> None:
    """The worst of the validation split is the best on folds, and dominates all others."""
    results, _ = judged
    members = results.front()
    fastest = members[0]
    assert fastest.metric == min(member.metric for member in members)
    assert set(aliases(members).values()) == {fastest.trial}


def test_they_are_in_the_table_the_rows_and_the_report(judged: tuple[Results, Machine]) -> None:
    results, _ = judged
    member = results.front()[0]
    assert member.folds is not None
    row = json.loads(json.dumps(results.rows()))[0]
    assert (row["fold_metric"], row["n_folds"]) == (member.folds.metric, FOLDS)
    assert row["fold_metric_low"] < row["fold_metric"] < row["fold_metric_high"]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(front_table(results.front(), "accuracy"))
    text = console.export_text()
    assert "their interval" in text
    folds = f"{member.folds.metric:.4f} {member.folds.low:.4f}-{member.folds.high:.4f}"
    assert folds in " ".join(re.split(r"[\s│]+", text))
    page = render(record(results))
    assert f"{FOLDS} folds: {member.folds.metric:.4f}" in page


def test_after_a_kill_only_the_missing_folds_are_judged(tmp_path: Path) -> None:
    first, second = Machine(killed_after=2), Machine()
    assert study(tmp_path, first).state == "interrupted"
    results = study(tmp_path, second)
    assert results.state == "finished"
    assert len(first.asked) == 2
    everything = [*first.asked, *second.asked]
    assert len(set(everything)) == len(everything) == FOLDS * len(results.front())
    assert all(member.folds is not None for member in results.front())


def test_folds_that_fail_are_told_and_without_all_members_decide_nothing(tmp_path: Path) -> None:
    machine = Machine(fails_at=(0, 1))
    results = study(tmp_path, machine)
    assert [member.folds for member in results.front()] == [None] * len(results.front())
    told = [event.message for event in machine.events if isinstance(event, Noticed)]
    trial = results.front()[0].trial
    assert f"trial {trial} not judged on fold 1: it cannot be built" in told
    results = study(tmp_path, Machine(), budget__trials=7)
    assert all(member.folds for member in results.front())


def test_without_folds_nothing_is_judged_and_rows_are_as_they_were(tmp_path: Path) -> None:
    machine = Machine()
    results = study(tmp_path, machine, budget__folds="auto")
    assert machine.asked == []
    assert not any("fold" in name for row in results.rows() for name in row)


def test_the_minutes_end_after_the_folds_that_fit_for_all_members(
    judged: tuple[Results, Machine], tmp_path: Path
) -> None:
    """A fold takes as long as it took in the search, until one was timed."""
    results, _ = judged
    config = small_config(tmp_path, budget__folds=FOLDS, budget__minutes=1)
    whole, places, events = prepared(config), StudyPaths(tmp_path, "small"), []
    trials = {member.trial for member in results.front()}
    front = [e for e in results.evaluations if e.trial in trials]
    times = iter([1e9, 1e9, 0.0, 0.0])
    with driving(places, None, whole.objectives) as store:
        engine = InlineEngine(perform, workers=1, threads=1)
        judge = FoldJudge(whole, store, engine, JobFactory(whole, places, "fp32"), events.append)
        judge.judge(front, results.evaluations, lambda: next(times))
        found = store.folds.read()
        assert {len(scores.scores) for scores in found.values()} == {2}
        means = [scores.mean for scores in found.values() if scores.mean is not None]
        assert [mean.n_folds for mean in means] == [2] * len(front)
    (event,) = events
    assert isinstance(event, Noticed)
    assert event.message.startswith(
        f"the front is judged on 2 of {FOLDS} folds: the next one takes"
    )
    assert "0 s are left of budget.minutes=1;" in event.message


def test_no_fold_is_begun_where_two_do_not_fit(
    judged: tuple[Results, Machine], tmp_path: Path
) -> None:
    results, _ = judged
    config = small_config(tmp_path, budget__folds=FOLDS, budget__minutes=1)
    whole, places, events = prepared(config), StudyPaths(tmp_path, "small"), []
    front = [e for e in results.evaluations if e.trial == results.front()[0].trial]
    machine = Machine()
    with driving(places, None, whole.objectives) as store:
        engine = InlineEngine(machine, workers=1, threads=1)
        judge = FoldJudge(whole, store, engine, JobFactory(whole, places, "fp32"), events.append)
        judge.judge(front, results.evaluations, lambda: 1.5 * STEP_S)
    assert machine.asked == []
    assert f"judged on 0 of {FOLDS} folds: 2 take about 0 s" in events[0].message
