"""Studies whose candidates compete at rungs: the real loop over jobs that answer by formula."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config.schema import Config
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job
from archfront.search.engine.processes import ProcessEngine
from archfront.search.errors import ConfigChangedError, DivergedError
from archfront.search.jobs.perform import TrainRequest
from archfront.search.records.evaluation import Evaluation, Failed, Trained
from archfront.search.records.events import (
    Event,
    RungFinished,
    TrialFinished,
    TrialPromoted,
    TrialsStopped,
)
from archfront.search.records.paths import PART, StudyPaths
from archfront.search.records.store import HEADER, RUNGS, StudyStore, driving
from archfront.search.study.control import Control
from archfront.search.study.paused import KeptFront, PausedTrials
from tests.support import forked
from tests.support.small_study import RESUME, perform, prepared, run, small_config
from tests.support.study_engines import DriverDeath, Dying, Interrupting, results, story

RUNGS_OF = {"task__epochs": 9, "budget__rungs": [1, 3, 9], "hardware__limits__latency_ms": 5.0}


def rung_config(root: Path, **changes: Any) -> Config:
    return small_config(root, **{**RUNGS_OF, **changes})


@pytest.fixture
def whole(finished: Callable[..., Path]) -> Callable[..., Path]:
    """Return the root of a study that ran without interruption."""
    return lambda **changes: finished(**{**RUNGS_OF, **changes})


def spent(evaluations: list[Evaluation]) -> float:
    """Return the full trainings that some evaluations cost."""
    parts = (1 / 9, 2 / 9, 6 / 9)
    return sum(parts[e.rung] for e in evaluations if e.kind == "trained")


@pytest.mark.slow
def test_more_candidates_are_looked_at_than_could_be_trained(
    whole: Callable[..., Path],
) -> None:
    found = results(whole())
    trained = [e for e in found.evaluations if e.kind == "trained"]
    counts = Counter(e.rung for e in trained)
    assert counts[0] > 6
    assert 2 <= counts[2] <= counts[1] <= counts[0]
    assert spent(trained) <= 6 + 1e-9
    # Nothing that could still reach the front was left undone.
    assert spent(trained) > 5
    assert all(e.n_rungs == 3 for e in found.evaluations)


@pytest.mark.slow
def test_every_rung_is_on_the_front_and_says_which_it_is(whole: Callable[..., Path]) -> None:
    found = results(whole())
    members = found.front()
    assert members
    assert any(member.is_full for member in members)
    rungs = {(e.trial, e.rung) for e in found.evaluations if e.kind == "trained"}
    assert {(member.trial, member.rung) for member in members} <= rungs
    assert all(member.is_full == (member.rung == 2) for member in members)
    assert set(found.scores) == {member.trial for member in members}


@pytest.mark.slow
def test_every_trial_is_told_and_says_how_far_it_came(whole: Callable[..., Path]) -> None:
    root = whole()
    objectives = prepared(rung_config(root)).objectives
    with driving(StudyPaths(root, "small"), None, objectives) as store:
        trials = store._study.get_trials(deepcopy=False)
        evaluations = store.evaluations()
    assert not [trial for trial in trials if not trial.state.is_finished()]
    for trial in trials:
        own = [
            e.outcome.metric
            for e in evaluations
            if e.trial == trial.number and isinstance(e.outcome, Trained)
        ]
        assert trial.system_attrs.get(RUNGS, []) == own
        if own:
            assert trial.values[0] == own[-1]


@pytest.mark.slow
def test_files_are_kept_of_the_front_only(whole: Callable[..., Path]) -> None:
    root = whole()
    found = results(root)
    folder = StudyPaths(root, "small").folder
    assert not list(folder.rglob(RESUME))
    members = {(member.trial, member.rung) for member in found.front()}
    kept = {
        e.outcome.weights
        for e in found.evaluations
        if (e.trial, e.rung) in members and isinstance(e.outcome, Trained)
    }
    assert {str(p.relative_to(folder)) for p in folder.rglob("weights.bin")} == kept
    for evaluation in found.evaluations:
        if isinstance(evaluation.outcome, Trained):
            assert (folder / evaluation.outcome.predictions).is_file()


def test_no_rung_below_the_top_is_a_study_as_ever(tmp_path: Path) -> None:
    run(rung_config(tmp_path / "none", budget__rungs=[]))
    run(rung_config(tmp_path / "one", task__epochs=1, budget__rungs=None))
    none, one = (results(tmp_path / part).evaluations for part in ("none", "one"))
    assert story(none) == story(one)
    assert {e.n_rungs for e in none} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 4, 9, 15, 22])
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_an_interrupted_study_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, whole: Callable[..., Path], n_jobs: int, sampler: str
) -> None:
    settings = {"sampler__name": sampler, "sampler__startup": 2}
    config = rung_config(tmp_path, **settings)
    assert run(config, engine=Interrupting(n_jobs)).state == "interrupted"
    between = results(tmp_path)
    below = {e.trial for e in between.evaluations if e.kind == "trained"}
    below -= {e.trial for e in between.evaluations if e.is_top}
    assert between.counts().get("waiting", 0) == len(below & between.waiting)
    assert run(config).state == "finished"
    found = results(tmp_path)
    assert "waiting" not in found.counts()
    assert story(found.evaluations) == story(results(whole(**settings)).evaluations)
    assert not list(tmp_path.rglob(RESUME))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "step"),
    [
        (StudyStore, "begin"),
        (StudyStore, "note_rungs"),
        (StudyStore, "tell"),
        (KeptFront, "add"),
        (PausedTrials, "forget_state"),
    ],
)
@pytest.mark.parametrize("n_calls", [2, 8])
def test_a_driver_that_dies_after_a_record_leaves_no_files_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: Callable[..., Path],
    part: type,
    step: str,
    n_calls: int,
) -> None:
    """What a dead driver had yet to delete stayed for good."""
    config = rung_config(tmp_path, budget__trials=3)
    calls = iter(range(1, n_calls))
    real = getattr(part, step)

    def die(*given: Any) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        real(*given)

    with monkeypatch.context() as patched:
        patched.setattr(part, step, die)
        assert run(config).state == "interrupted"
    assert run(config).state == "finished"
    other = whole(budget__trials=3)
    assert story(results(tmp_path).evaluations) == story(results(other).evaluations)
    assert kept(tmp_path) == kept(other)


def kept(root: Path) -> list[str]:
    """Return the files of a study's trials."""
    folder = StudyPaths(root, "small").folder / "trials"
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_what_ran_when_the_driver_died_leaves_no_files_behind(tmp_path: Path) -> None:
    """A measurement, and a file that a node sent."""
    config = rung_config(tmp_path, budget__trials=2)
    run(config, engine=Interrupting(2))
    paths = StudyPaths(tmp_path, "small")
    measured = paths.measuring / "tmp1" / "model.onnx"
    sent = paths.trials / "00000-1" / PART.format("weights.bin", "0" * 32)
    for left in (measured, sent):
        left.parent.mkdir(parents=True, exist_ok=True)
        left.touch()
    run(config)
    assert not measured.exists()
    assert not sent.exists()


@pytest.mark.slow
@pytest.mark.parametrize("n_trainings", [1, 2, 5])
def test_a_training_that_came_to_no_record_leaves_no_files_behind(
    tmp_path: Path, n_trainings: int
) -> None:
    """Its driver died before it wrote that the training was done."""
    config, left = rung_config(tmp_path, budget__trials=3), [n_trainings]

    def die_after(job: Job) -> Any:
        answer = perform(job)
        if isinstance(job.payload, TrainRequest):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
        return answer

    assert run(config, engine=InlineEngine(die_after, workers=1, threads=1)).state == "interrupted"
    assert run(config).state == "finished"
    recorded = {
        str(Path(e.outcome.predictions).parent)
        for e in results(tmp_path).evaluations
        if isinstance(e.outcome, Trained)
    }
    folder = StudyPaths(tmp_path, "small").folder
    assert {f"trials/{path.name}" for path in (folder / "trials").iterdir()} == recorded


def test_a_rung_starts_its_attempts_anew_though_its_driver_died_before_it_noted_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts at the rung below counted, so that a trial was given up too early."""
    config = rung_config(tmp_path, budget__trials=3)
    for _ in range(2):
        assert run(config, engine=Interrupting(1)).state == "interrupted"

    real = StudyStore.record

    def die_after(*given: Any) -> None:
        real(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(StudyStore, "record", die_after)
        assert run(config).state == "interrupted"
    assert run(config, engine=Interrupting(0)).state == "interrupted"
    with driving(StudyPaths(tmp_path, "small"), None, prepared(config).objectives) as store:
        frozen = store.in_flight()[0]
        assert store.recorded(frozen)
        assert store.attempts(frozen) == 0


@pytest.mark.slow
def test_workers_do_not_wait_for_a_rung_to_fill(tmp_path: Path) -> None:
    config = rung_config(tmp_path, engine__name="processes", engine__workers=2)
    with forked.workers(), ProcessEngine(perform, workers=2, threads=1) as engine:
        assert run(config, engine=engine).state == "finished"
    found = results(tmp_path)
    assert spent(found.evaluations) <= 6 + 1e-9
    assert found.front()


@pytest.mark.slow
def test_what_happens_is_told(tmp_path: Path) -> None:
    events: list[Event] = []
    run(rung_config(tmp_path), followers=(events.append,))
    finished = [e.evaluation for e in events if isinstance(e, RungFinished | TrialFinished)]
    assert {(e.trial, e.rung) for e in finished} == {
        (e.trial, e.rung) for e in results(tmp_path).evaluations
    }
    assert all(not e.evaluation.is_top for e in events if isinstance(e, RungFinished))
    climbs = Counter((e.trial, e.rung) for e in events if isinstance(e, TrialPromoted))
    assert set(climbs) == {(e.trial, e.rung) for e in finished if e.rung}
    assert set(climbs.values()) == {1}
    stopped = {t for e in events if isinstance(e, TrialsStopped) for t in e.trials}
    ended = {e.evaluation.trial for e in events if isinstance(e, TrialFinished)}
    assert stopped | ended == {e.trial for e in finished}
    assert not stopped & ended


def test_a_failure_on_a_higher_rung_ends_the_trial(tmp_path: Path) -> None:
    def diverge_late(job: Job) -> Any:
        if isinstance(job.payload, TrainRequest) and job.payload.settings.until_epoch == 9:
            raise DivergedError("the loss was nan")
        return perform(job)

    config = rung_config(tmp_path, budget__trials=2, budget__max_failures=50)
    result = run(config, engine=InlineEngine(diverge_late, workers=1, threads=1))
    assert result.state == "finished"
    found = results(tmp_path)
    late = [e for e in found.evaluations if isinstance(e.outcome, Failed) and e.rung == 2]
    assert late
    members = found.front()
    assert members
    assert not any(member.is_full for member in members)
    assert not list(tmp_path.rglob(RESUME))


@pytest.mark.slow
def test_other_rungs_cannot_be_asked_for_later(tmp_path: Path) -> None:
    run(rung_config(tmp_path), engine=Interrupting(4))
    with pytest.raises(ConfigChangedError) as caught:
        run(rung_config(tmp_path, budget__rungs=[3, 9]))
    assert str(caught.value) == (
        "budget.rungs: [1, 3, 9] in the study 'small', [3, 9] now. What its candidates gave "
        "compares at the same epochs only: leave budget.rungs as it was, or start another study "
        "with study=NAME."
    )
    assert run(rung_config(tmp_path, budget__rungs=None)).state == "finished"


@pytest.mark.slow
def test_a_larger_budget_extends_a_finished_study(tmp_path: Path) -> None:
    run(rung_config(tmp_path, budget__trials=3))
    before = results(tmp_path).evaluations
    assert run(rung_config(tmp_path, budget__trials=3)).was_finished
    assert not run(rung_config(tmp_path, budget__trials=5)).was_finished
    after = results(tmp_path).evaluations
    assert {(e.trial, e.rung) for e in before} < {(e.trial, e.rung) for e in after}
    assert spent(after) <= 5 + 1e-9


@pytest.mark.slow
def test_a_cancelled_study_keeps_what_waits(tmp_path: Path, whole: Callable[..., Path]) -> None:
    control = Control()

    def cancel(event: Event) -> None:
        if isinstance(event, RungFinished) and event.evaluation.trial >= 2:
            control.cancel()

    config = rung_config(tmp_path)
    assert run(config, followers=(cancel,), control=control).state == "interrupted"
    assert list(tmp_path.rglob(RESUME))
    assert run(config).state == "finished"
    assert story(results(tmp_path).evaluations) == story(results(whole()).evaluations)


@pytest.mark.slow
def test_a_trial_that_kills_its_driver_on_a_higher_rung_is_given_up(tmp_path: Path) -> None:
    config = rung_config(tmp_path)

    def is_higher(job: Job) -> bool:
        return isinstance(job.payload, TrainRequest) and job.payload.resume is not None

    for _ in range(3):
        with pytest.raises(DriverDeath):
            run(config, engine=Dying(is_higher))
    run(config)
    given_up = [e for e in results(tmp_path).evaluations if "the driver died 3" in str(e.outcome)]
    assert len(given_up) == 1
    assert given_up[0].rung == 1


def test_rungs_of_an_older_study_are_one(tmp_path: Path) -> None:
    """Studies that began before there were rungs have no such entry in their header."""
    config = rung_config(tmp_path, budget__rungs=[])
    run(config, engine=Interrupting(3))
    with driving(StudyPaths(tmp_path, "small"), None, prepared(config).objectives) as store:
        header = store.header
        assert header is not None
        content = header.as_dict()
        del content["rungs"], content["version"]
        store._study.set_user_attr(HEADER, content)
    assert run(rung_config(tmp_path, budget__rungs=None)).state == "finished"
    assert {e.n_rungs for e in results(tmp_path).evaluations} == {1}


@pytest.mark.slow
def test_a_study_that_looked_at_all_candidates_goes_on_with_those_that_wait(
    tmp_path: Path,
) -> None:
    """It said that all were tried, though most were trained to the lowest rung only."""
    first = run(rung_config(tmp_path, budget__trials=12, sampler__name="random"))
    assert first.state == "finished"
    before = results(tmp_path).evaluations
    assert list(tmp_path.rglob(RESUME)), "the budget must look at all candidates"
    second = run(rung_config(tmp_path, budget__trials=16, sampler__name="random"))
    assert not second.was_finished
    after = results(tmp_path).evaluations
    assert spent(after) > spent(before) + 2
    assert len([e for e in after if e.is_top]) > len([e for e in before if e.is_top])


def test_another_rung_may_be_tried_as_often(tmp_path: Path) -> None:
    """Interruptions at three rungs made a trial one during which the driver had died thrice."""
    config = rung_config(tmp_path, budget__trials=2)
    for _ in range(30):
        run(config, engine=Interrupting(2))
    run(config)
    found = results(tmp_path).evaluations
    assert max(e.rung for e in found) == 2
    assert not [e for e in found if isinstance(e.outcome, Failed) and e.outcome.kind == "crash"]
