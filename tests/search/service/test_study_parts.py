"""What a server brings forward from one reading of a study to the next, against all records."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from archfront.search.front.members import build_front, front_hypervolume
from archfront.search.records.evaluation import Evaluation, Fidelity, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.seconds import full_trainings
from archfront.search.results.results import Results
from archfront.search.service.front_answers import front_answer, history_answer, whole_front
from archfront.search.service.pages.study_columns import study_columns, whole_columns
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.study_parts import TimePart, TrialsPart
from archfront.search.service.trial_answers import rejected_answer, table_of
from tests.support import recorded_store, recorded_study

N_RUNGS, HORIZON = 3, 6


def trained(trial: int, rung: int, rng: random.Random, started: float) -> Evaluation:
    """Return a training of a trial on a rung; its metric is mostly better than below."""
    p50_ms = 1 + (trial * 7 % 23) / 5
    found = recorded_study.trained(trial, rng.randrange(40, 90) / 100 + rung / 50, p50_ms)
    assert isinstance(found.outcome, Trained)
    outcome = replace(found.outcome, fidelity=Fidelity(rung * 3, HORIZON, 1.0, rung))
    seconds = rng.choice((1.0, 4.0, 30.0))
    found = replace(found, outcome=outcome, rung=rung, n_rungs=N_RUNGS)
    return replace(found, started=started, seconds=seconds)


def grown(results: Results) -> Iterator[Results]:
    """Yield a study after each of its records, as one store reads it."""
    rng = random.Random(5)
    every: list[Evaluation] = []
    waiting: set[int] = set()
    for step in range(60):
        started, trial = step * 3.0 - rng.choice((0, 0, 12)), len({e.trial for e in every})
        kind = rng.random()
        if kind < 0.15:
            new = replace(recorded_study.rejected(trial, 5.0 + step), started=started)
        elif kind < 0.25:
            new = replace(recorded_study.failed(trial), started=started)
        elif kind < 0.6 or not waiting:
            new = trained(trial, 0, rng, started)
            waiting.add(trial)
        else:
            trial = rng.choice(sorted(waiting))
            rung = max(e.rung for e in every if e.trial == trial) + 1
            new = trained(trial, rung, rng, started)
            if rung == N_RUNGS - 1 or rng.random() < 0.3:
                waiting.discard(trial)
        every = sorted([*every, new], key=lambda e: (e.trial, e.rung, e.attempt))
        if step == 40:  # latencies were measured again
            every = [
                replace(e, measurement=recorded_study.measurement(2.0)) if e.trial < 4 else e
                for e in every
            ]
        yield replace(results, evaluations=every, waiting=frozenset(waiting))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setattr(Results, "tie_test", lambda _: lambda a, b: (a.trial + b.trial) % 3 == 0)
    header = recorded_store.header(tmp_path, "flowers")
    header = replace(header, rungs=(0, 3, HORIZON))
    return Results(StudyPaths(tmp_path, "flowers"), header, "running", "", [], {})


def test_every_answer_is_that_of_all_records(results: Results) -> None:
    before = None
    for now in grown(results):
        study, anew = ReadStudy(now, before), ReadStudy(now)
        assert study.front == now.front()
        assert front_answer(study) == front_answer(anew)
        assert front_answer(study).hypervolume == pytest.approx(
            front_hypervolume(now.evaluations, now.objectives, now.begun().reference)
        )
        trials = study.part(TrialsPart)
        assert trials.counts == now.counts()
        trainings = [e for e in now.evaluations if e.kind == "trained"]
        assert trials.trainings(study) == pytest.approx(
            full_trainings(trainings, now.begun().rungs)
        )
        seconds = {"training": trials.training, "measuring": trials.measuring}
        assert seconds == pytest.approx({n: now.seconds()[n] for n in seconds})
        for after in (0.0, 40.0):
            assert study_columns(study, after=after) == study_columns(anew, after=after)
        assert json.loads(whole_columns(study)) == study_columns(anew)
        assert table_of(study) == table_of(anew)
        assert table_of(study).rows == [table_of(study).row(t) for t in trials.evaluations]
        assert rejected_answer(study) == rejected_answer(anew)
        assert history_answer(study) == history_answer(anew)
        before = study


def test_the_front_stays_while_nothing_of_it_changes(results: Results) -> None:
    """It was put together anew after every record, with what is answered about it."""
    steps = [*grown(results)]
    n_kept = 0
    for before, now in pairwise(steps):
        earlier = ReadStudy(before)
        answer = whole_front(earlier)
        study = ReadStudy(now, earlier)
        n_trained = [sum(e.kind == "trained" for e in one.evaluations) for one in (before, now)]
        if n_trained[0] == n_trained[1] and before.evaluations[0] is now.evaluations[0]:
            assert study.front is earlier.front
            assert whole_front(study) is answer
            n_kept += 1
    assert n_kept > 5


def test_parts_that_changes_do_not_touch_are_kept(results: Results) -> None:
    *_, last_but_one, last = grown(results)
    before = ReadStudy(last_but_one)
    rows = table_of(before).by_trial
    study = ReadStudy(last, before)
    table = table_of(study)
    kept = [trial for trial, row in table.by_trial.items() if rows.get(trial) is row]
    moved = {m.trial for m in before.front} ^ {m.trial for m in study.front}
    waiting = last_but_one.waiting ^ last.waiting
    assert len(kept) >= len(rows) - len(moved | waiting) - 1
    assert study.part(TimePart).evaluations[:20] == before.part(TimePart).evaluations[:20]


def test_the_history_is_the_front_after_each_training(results: Results) -> None:
    *_, now = grown(results)
    points = history_answer(ReadStudy(now)).points
    ended = sorted(
        (e for e in now.evaluations if e.can_join_front), key=lambda e: e.started + e.seconds
    )
    at = iter(points)
    shown: list[tuple[int, float]] = []
    point = None
    for place, evaluation in enumerate(ended):
        members = build_front(ended[: place + 1], now.objectives)
        front = [(member.trial, member.metric) for member in members]
        if front != shown or place == len(ended) - 1:
            point = next(at)
            assert (point.trial, point.rung) == (evaluation.trial, evaluation.rung)
            assert point.best == max(metric for _, metric in front)
            assert point.hypervolume == pytest.approx(
                front_hypervolume(ended[: place + 1], now.objectives, now.begun().reference)
            )
        assert point is not None
        assert point.front == [trial for trial, _ in front]
        shown = front
    assert list(at) == []
