"""The front of trials that change one by one, against that of all of them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from archfront.search.front.growing_front import GrowingFront
from archfront.search.front.members import final_evaluations, losses_of
from archfront.search.front.pareto import front_mask
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.objectives import objectives_for
from tests.support import recorded_study


def drawn(trial: int, rng: random.Random) -> list[Evaluation]:
    """Return a trial of few values, so that many are equal; some trials are rejected."""
    if rng.random() < 0.1:
        return [recorded_study.rejected(trial, 9.0)]
    metric, p50_ms, params_m = rng.randrange(12) / 12, 1 + rng.randrange(12), 1 + rng.randrange(3)
    return [recorded_study.trained(trial, metric, p50_ms, params_m=params_m)]


@pytest.mark.parametrize("costs", [("latency_ms",), ("latency_ms", "params_m")])
def test_it_is_that_of_all_trials_whatever_changes(costs: tuple[str, ...]) -> None:
    objectives, rng = objectives_for("accuracy", costs), random.Random(3)
    trials: dict[int, list[Evaluation]] = {}
    front = GrowingFront()
    for _ in range(120):
        changed = {
            trial: [] if rng.random() < 0.1 else drawn(trial, rng)
            for trial in rng.sample(range(40), rng.randrange(1, 4))
        }
        trials |= changed
        front = front.after(changed, objectives)
        final = final_evaluations(e for some in trials.values() for e in some)
        mask = front_mask(losses_of(final, objectives)) if final else []
        assert {e.trial: e for e in final} == front.final
        assert sorted(front.front) == [
            e.trial for e, is_front in zip(final, mask, strict=True) if is_front
        ]


def test_a_value_that_is_not_finite_is_told() -> None:
    one = recorded_study.trained(0, 0.5, 1.0)
    assert isinstance(one.outcome, Trained)
    wrong = replace(one, outcome=replace(one.outcome, metric=float("nan")))
    with pytest.raises(ValueError, match=r"Losses must be finite; rows \[0\] are not"):
        GrowingFront().after({0: [wrong]}, objectives_for("accuracy"))
