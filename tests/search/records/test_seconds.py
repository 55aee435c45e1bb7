"""Seconds that evaluations stand for."""

from __future__ import annotations

import random
from dataclasses import replace

from archfront.search.records.seconds import ActiveSeconds, active_seconds
from tests.support import recorded_study


def test_active_seconds_until_a_moment_are_those_of_what_had_begun_cut_there() -> None:
    rng = random.Random(0)
    one = recorded_study.study()[0]
    evaluations = [
        replace(one, trial=n, started=float(rng.randrange(60)), seconds=float(rng.randrange(9)))
        for n in range(20)
    ]
    active = ActiveSeconds(evaluations)
    for moment in (-1.0, 0.0, 7.5, 30.0, 59.0, 200.0):
        cut = [
            replace(e, seconds=min(e.seconds, moment - e.started))
            for e in evaluations
            if e.started < moment
        ]
        assert active.until(moment) == active_seconds(cut)
    assert ActiveSeconds([]).until(1.0) == 0.0


def test_active_seconds_grow_by_evaluations_in_any_order() -> None:
    rng = random.Random(1)
    one = recorded_study.study()[0]
    evaluations = [
        replace(one, trial=n, started=float(rng.randrange(60)), seconds=float(rng.randrange(9)))
        for n in range(20)
    ]
    grown = ActiveSeconds()
    for place, evaluation in enumerate(evaluations):
        grown = grown.after([evaluation])
        whole = ActiveSeconds(evaluations[: place + 1])
        for moment in (-1.0, 0.0, 7.5, 30.0, 59.0):
            assert grown.until(moment) == whole.until(moment)
        assert grown.total == active_seconds(evaluations[: place + 1])
