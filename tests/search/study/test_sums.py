"""The sums over a study's evaluations, added one by one, are those over all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archfront.search.records.evaluation import Evaluation, Failed
from archfront.search.records.plan import Plan
from archfront.search.study.budget import RemainingBudget
from archfront.search.study.sums import StudySums, TrainedSoFar
from tests.search.study.test_budget import budget
from tests.search.study.test_training_times import at
from tests.support.recorded_study import OBJECTIVES, REFERENCE, failed, rejected
from tests.support.small_study import prepared, small_config, small_space

PLAN = Plan((0, 2, 6), epoch_s=3.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_budget_is_the_same_from_sums_as_from_all_evaluations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    every: list[Evaluation] = [
        at(trial, rung, float(rng.uniform(1, 9)), float(rng.uniform(0, 2)))
        for trial in range(12)
        for rung in range(rng.integers(1, 4))
    ]
    every = [every[i] for i in rng.permutation(len(every))]
    every.insert(3, rejected(20, 9.0))
    works = {trial: float(rng.uniform(1, 3)) for trial in range(12)}
    so_far = TrainedSoFar((), PLAN, works)
    for n, evaluation in enumerate(every, start=1):
        so_far.add(evaluation)
        given = {"seconds": 100.0, "n_scored": 2, "works": works}
        of = budget(trials=20, minutes=5)
        kept = RemainingBudget(of, PLAN, every[:n], so_far=so_far, **given)  # type: ignore[arg-type]
        made = RemainingBudget(of, PLAN, every[:n], **given)  # type: ignore[arg-type]
        assert kept.spent == made.spent
        for trial, done in ((None, 0), (0, 1), (5, 2)):
            assert kept.share(trial, done, 3) == made.share(trial, done, 3)
            assert kept.fits(trial, done, 3) == made.fits(trial, done, 3)


def test_what_the_machine_broke_counts_until_its_candidate_is_tried_again(tmp_path: Path) -> None:
    study = prepared(small_config(tmp_path))
    candidates = [small_space().at(i) for i in range(3)]
    lost = replace(
        failed(0), candidate=candidates[0], outcome=Failed("machine", "the node is gone")
    )
    sums, evaluations = StudySums(study, []), []
    for one in (lost, replace(at(1, 0, 4.0), candidate=candidates[1])):
        evaluations = sums.added(evaluations, one)
    assert [e.trial for e in evaluations] == [0, 1]
    again = replace(at(2, 0, 5.0), candidate=candidates[0])
    evaluations = sums.added(evaluations, again)
    assert [e.trial for e in evaluations] == [1, 2]
    assert set(sums.works) == {1, 2}
    seen = sums.rung_trials(evaluations, REFERENCE, waiting=[1], running=[])
    assert [(each.trial, each.is_waiting) for each in seen] == [(1, True), (2, False)]
    assert len(seen[0].costs) == len(OBJECTIVES) - 1
