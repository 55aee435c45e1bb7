"""An interval holds its metric, whatever was drawn, for every task and metric."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archfront.search.front.intervals import bootstrap_interval, kept_interval, score
from archfront.search.front.members import build_front
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges.label_counts import METRICS
from tests.support.drawn_answers import KINDS, evaluator
from tests.support.recorded_study import OBJECTIVES, trained


@pytest.mark.parametrize("n", [1, 2, 9, 40])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_an_interval_holds_its_metric(task: str, kind: str, n: int, tmp_path: Path) -> None:
    for seed in range(2):
        found = evaluator(task, kind, n=n, seed=seed)
        metrics, file = found.metrics(), tmp_path / f"{seed}.npz"
        np.savez(file, **found.saved_predictions())
        for metric in TASKS[task].metrics:
            value, rng = metrics[metric], np.random.default_rng(seed)
            low, high = kept_interval(
                TASKS[task], metric, file, value=value, rng=rng, n_resamples=200
            )
            assert 0 <= low <= value <= high <= 1, metric
            assert low < high, metric


@pytest.mark.parametrize("task", TASKS)
def test_what_is_saved_gives_the_metric_again(task: str, tmp_path: Path) -> None:
    """A class that no image shows but that is predicted had counted as a recall of 0."""
    found = evaluator(task, "mixed", n=40, seed=3)
    for metric in TASKS[task].metrics:
        value_of = TASKS[task].resampled(metric, found.saved_predictions())
        assert value_of(np.ones((1, 40)))[0] == pytest.approx(found.metrics()[metric], abs=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_with_one_image_a_class_the_interval_holds_its_metric(metric: str) -> None:
    """Resamples lose a third of the classes; macro F1 then lay outside of its percentiles."""
    rng = np.random.default_rng(0)
    for n in (2, 12, 30, 60):
        labels = np.arange(n)
        for share in (0.0, 0.5, 1.0):
            predicted = np.where(rng.random(n) < share, labels, rng.permutation(n))
            value = score(metric, labels, predicted)
            low, high = bootstrap_interval(metric, labels, predicted, rng=rng)
            assert 0 <= low <= value <= high <= 1
            assert low < high


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_nine_in_ten_intervals_hold_the_truth_with_rare_classes(metric: str) -> None:
    rng, shares, right = np.random.default_rng(5), np.array([30, 20, 10, 5, 2, 1]) / 68, 0.7
    confusion = np.full((6, 6), (1 - right) / 5)
    np.fill_diagonal(confusion, right)
    cells = shares[:, None] * confusion
    margins = np.diagonal(cells), cells.sum(axis=1), cells.sum(axis=0)
    truth = METRICS[metric](*margins)
    held = 0
    for _ in range(200):
        drawn = rng.choice(36, size=300, p=cells.ravel())
        low, high = bootstrap_interval(metric, drawn // 6, drawn % 6, rng=rng, n_resamples=400)
        held += low <= truth <= high
    assert held / 200 >= 0.9


def test_a_recorded_interval_without_its_metric_is_widened() -> None:
    """A study of an earlier version ended with matplotlib's refusal of a negative error bar."""
    evaluation = trained(0, 0.9, 1.0)
    outcome = replace(evaluation.outcome, metric_low=0.91, metric_high=0.95)
    [member] = build_front([replace(evaluation, outcome=outcome)], OBJECTIVES)
    assert (member.metric_low, member.metric_high) == (0.9, 0.95)
