"""Baselines of pixels and label sets against drawn answers and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from archfront.trainers.errors import ConfigError
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges.overlap import METRICS, margins

COUNTS = [600, 0, 250, 150]  # no pixel of the second class
COMMONEST, DRAWN = "the commonest class", "a draw by class shares"


def matrix_of(predicted: np.ndarray) -> np.ndarray:
    true = np.repeat(np.arange(len(COUNTS)), COUNTS)
    classes = range(len(COUNTS))
    matrix: np.ndarray = sklearn.metrics.confusion_matrix(true, predicted, labels=classes)
    return matrix


@pytest.fixture(scope="module")
def drawn_matrices() -> list[np.ndarray]:
    rng, shares = np.random.default_rng(0), np.array(COUNTS) / sum(COUNTS)
    draws = (rng.choice(len(COUNTS), sum(COUNTS), p=shares) for _ in range(200))
    return [matrix_of(predicted) for predicted in draws]


@pytest.mark.parametrize("metric", METRICS)
def test_baselines_of_pixels_are_those_of_drawn_ones(
    metric: str, drawn_matrices: list[np.ndarray]
) -> None:
    def score(matrix: np.ndarray) -> float:
        return float(METRICS[metric](*margins(matrix)))

    found = TASKS["semantic"].baselines(metric, COUNTS)
    commonest = matrix_of(np.zeros(sum(COUNTS), dtype=np.int64))
    assert found[COMMONEST] == pytest.approx(score(commonest))
    draws = [score(matrix) for matrix in drawn_matrices]
    assert found[DRAWN] == pytest.approx(np.mean(draws), abs=0.005)
    with pytest.raises(ConfigError, match="Unknown metric 'no_such'"):
        TASKS["semantic"].baselines("no_such", COUNTS)


def test_of_two_halves_drawn_pixels_overlap_more_than_one_class() -> None:
    found = TASKS["semantic"].baselines("miou", [50, 50])
    assert found == {COMMONEST: pytest.approx(1 / 4), DRAWN: pytest.approx(1 / 3)}


def test_a_class_that_no_image_shows_takes_nothing_from_the_mean_average_precision() -> None:
    labels = (np.random.default_rng(0).random((200, 3)) < [0.6, 0.1, 0.3]).astype(int)
    expected = sklearn.metrics.average_precision_score(labels, np.full(labels.shape, 0.5))
    counts = [*labels.sum(axis=0).tolist(), 0]
    for value in TASKS["multilabel"].baselines("map", counts, len(labels)).values():
        assert value == pytest.approx(expected)
    assert TASKS["multilabel"].chance("map", [0, 0], 10) == 0
