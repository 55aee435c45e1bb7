from __future__ import annotations

from dataclasses import replace

import pytest

from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.results.node_work import DRIVER, NodeWork, node_work, waiting_sentence
from tests.support.recorded_study import failed, trained


def on(evaluation: Evaluation, trained_on: str | None, measured_on: str | None) -> Evaluation:
    return replace(evaluation, trained_on=trained_on, measured_on=measured_on)


def test_each_node_has_its_jobs_and_its_share_of_the_time() -> None:
    first, second = trained(0, 0.9, 1.0), trained(1, 0.8, 1.0)
    both = [
        replace(on(first, "tower", "pi"), started=0.0, seconds=20.0),
        replace(on(second, "tower", "pi"), started=10.0, seconds=20.0),
    ]
    assert node_work(both) == [
        NodeWork("pi", 0, 0.0, 2, 3.0, pytest.approx(3 / 30)),  # type: ignore[arg-type]  # near
        NodeWork("tower", 2, 24.0, 0, 0.0, pytest.approx(24 / 30)),  # type: ignore[arg-type]  # it
    ]
    assert str(node_work(both)[1]) == (
        "tower: 2 trainings in 24 s, 0 measurements in 0 s, 0.80 jobs at a time"
    )


def test_a_measurement_is_counted_at_the_lowest_rung_only() -> None:
    first = on(trained(0, 0.9, 1.0), "tower", "pi")
    assert [w.n_measured for w in node_work([first, replace(first, rung=1)])] == [1, 0]


def test_a_latency_that_was_known_is_no_measurement_of_any_node() -> None:
    """The trials of an architecture share its latency, which one of them had measured."""
    work = node_work([on(trained(0, 0.9, 1.0), "tower", None)])
    assert [(each.node, each.n_measured) for each in work] == [("tower", 0)]


def test_a_study_without_a_cluster_has_no_nodes() -> None:
    assert node_work([trained(0, 0.9, 1.0)]) == []
    assert node_work([]) == []


def test_what_ran_before_there_was_a_cluster_is_of_the_drivers_machine() -> None:
    found = node_work([trained(0, 0.9, 1.0), on(trained(1, 0.8, 1.0), "tower", "tower")])
    assert [work.node for work in found] == ["tower", DRIVER]


def test_waiting_is_what_was_neither_trained_nor_measured() -> None:
    one = replace(trained(0, 0.9, 1.0), seconds=27.0)
    assert isinstance(one.outcome, Trained)
    waited = one.seconds - one.outcome.seconds - 1.5
    assert waiting_sentence([one, failed(1)]).startswith(
        f"Trained candidates were in flight for 27 s in all, of which they waited {waited:.0f} s "
        "(50%): "
    )
    assert waiting_sentence([failed(0)]) == ""
