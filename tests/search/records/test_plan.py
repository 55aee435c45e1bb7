"""The plan of a study's trainings: the epochs at which its architectures compete."""

from __future__ import annotations

import numpy as np

from archfront.search.records.plan import Plan

WORKS = np.geomspace(0.01, 100, 41)


def test_without_a_work_every_architecture_has_the_same_epochs() -> None:
    plan = Plan((1, 4, 11))
    assert plan.epochs_of(WORKS).tolist() == [[1, 4, 11]] * len(WORKS)
    assert plan.rungs_of(7.0) == (1, 4, 11)
    assert plan.rungs_of(7.0, 11) == (1, 4, 11)


def test_trainings_of_equal_time_have_epochs_by_work() -> None:
    plan = Plan((4, 15, 60), work=0.4)
    assert plan.rungs_of(0.4) == plan.rungs_of(0.01) == (4, 15, 60)  # as many as there may be
    assert plan.rungs_of(1.0) == (2, 6, 24)
    assert plan.rungs_of(4.0) == (1, 2, 6)
    assert plan.rungs_of(100.0) == (1, 2, 3)  # as few as there are rungs
    every = plan.epochs_of(WORKS)
    assert (every[:, 0] >= 1).all()
    assert (np.diff(every, axis=1) >= 1).all()
    assert (np.diff(every, axis=0) <= 0).all()  # more work, never more epochs
    is_free = (every[:, -1] > 3) & (every[:, -1] < 60)
    seconds = (every[:, -1] * WORKS)[is_free]
    assert is_free.sum() > 5
    assert (seconds <= 24 * (1 + 1e-6)).all()
    assert (seconds + WORKS[is_free] > 24).all()  # one epoch more would take longer


def test_the_epochs_of_a_full_training_tell_those_of_its_rungs() -> None:
    plan = Plan((4, 15, 60), work=0.4)
    for rungs in plan.epochs_of(WORKS).tolist():
        assert plan.rungs_of(7.0, rungs[-1]) == tuple(rungs)
