from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from archfront.search.errors import ConfigError
from archfront.search.front import intervals
from archfront.search.front.intervals import (
    FEW,
    bootstrap_interval,
    chance_level,
    is_tie,
    load_predictions,
    score,
    tie_test,
)
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges.label_counts import METRICS
from tests.support.recorded_study import rejected, trained

ORACLES = {
    "accuracy": sklearn_metrics.accuracy_score,
    "balanced_accuracy": sklearn_metrics.balanced_accuracy_score,
    "macro_f1": lambda y, p: sklearn_metrics.f1_score(y, p, average="macro"),
}


def guesses(
    rng: np.random.Generator, labels: np.ndarray, right: float, n_classes: int
) -> np.ndarray:
    others = (labels + rng.integers(1, n_classes, len(labels))) % n_classes
    return np.where(rng.random(len(labels)) < right, labels, others)


def a_sample(seed: int, n: int = 300, n_classes: int = 4, right: float = 0.8):
    rng = np.random.default_rng(seed)
    weights = np.arange(1, n_classes + 1) / np.arange(1, n_classes + 1).sum()
    labels = rng.choice(n_classes, size=n, p=weights)
    return labels, guesses(rng, labels, right, n_classes)


def test_every_metric_has_an_oracle() -> None:
    assert set(ORACLES) == set(METRICS)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_a_metric_agrees_with_sklearn(metric: str, seed: int) -> None:
    labels, predicted = a_sample(seed, n=60, n_classes=7)
    assert score(metric, labels, predicted) == pytest.approx(ORACLES[metric](labels, predicted))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning")
@pytest.mark.parametrize("metric", METRICS)
def test_a_class_that_is_never_a_label_or_never_predicted_agrees_with_sklearn(metric: str) -> None:
    labels, predicted = [0, 0, 2, 2, 2, 5], [0, 1, 2, 2, 0, 2]
    assert score(metric, labels, predicted) == pytest.approx(ORACLES[metric](labels, predicted))


@pytest.mark.parametrize("metric", METRICS)
def test_chance_is_the_best_constant_answer(metric: str) -> None:
    counts = np.array([5, 20, 15])
    labels = np.repeat(np.arange(3), counts)
    constant = [ORACLES[metric](labels, np.full(len(labels), k)) for k in range(3)]
    assert chance_level(metric, counts) == pytest.approx(max(constant))


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_agrees_with_scipys_bootstrap(metric: str) -> None:
    labels, predicted = a_sample(1)
    ours = bootstrap_interval(
        metric, labels, predicted, rng=np.random.default_rng(0), n_resamples=4000
    )
    theirs = stats.bootstrap(
        (labels, predicted),
        lambda y, p: ORACLES[metric](y, p),
        paired=True,
        vectorized=False,
        n_resamples=600,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.15 * width)


def test_the_interval_of_accuracy_is_the_binomial_one() -> None:
    labels, predicted = a_sample(2)
    n, hits = len(labels), int((labels == predicted).sum())
    exact = stats.binom(n, hits / n).ppf([0.025, 0.975]) / n
    ours = bootstrap_interval(
        "accuracy", labels, predicted, rng=np.random.default_rng(0), n_resamples=20_000
    )
    assert ours == pytest.approx(tuple(exact), abs=1.01 / n)


@pytest.mark.parametrize("wrong", [0, 1, FEW - 1, 300 - 1, 300])
def test_near_the_border_the_interval_of_accuracy_is_wilsons(wrong: int) -> None:
    labels = np.arange(300) % 4
    predicted = np.where(np.arange(300) < wrong, (labels + 1) % 4, labels)
    ours = bootstrap_interval("accuracy", labels, predicted, rng=np.random.default_rng(0))
    wilson = stats.binomtest(300 - wrong, 300).proportion_ci(method="wilson")
    assert ours == pytest.approx((wilson.low, wilson.high))
    assert ours[0] < ours[1]


def test_one_more_error_never_raises_the_lower_end_by_more_than_a_sample() -> None:
    labels = np.zeros(600, dtype=int)
    lows = []
    for wrong in range(2 * FEW):
        predicted = (np.arange(600) < wrong).astype(int)
        rng = np.random.default_rng(0)
        lows.append(bootstrap_interval("accuracy", labels, predicted, rng=rng)[0])
    assert (np.diff(lows) < 1 / 600).all()


@pytest.mark.parametrize("metric", METRICS)
def test_perfect_predictions_of_few_of_a_class_leave_more_open(metric: str) -> None:
    even, uneven = np.repeat([0, 1], [100, 100]), np.repeat([0, 1], [190, 10])
    low_even, high = bootstrap_interval(metric, even, even, rng=np.random.default_rng(0))
    low_uneven, _ = bootstrap_interval(metric, uneven, uneven, rng=np.random.default_rng(0))
    assert high == 1.0
    assert low_uneven == low_even if metric == "accuracy" else low_uneven < low_even


@pytest.mark.slow
@pytest.mark.parametrize("right", [0.5, 0.9, 0.99])
def test_about_95_of_100_intervals_hold_the_true_accuracy(right: float) -> None:
    rng = np.random.default_rng(11)
    labels = np.arange(400) % 10
    held = 0
    for _ in range(300):
        low, high = bootstrap_interval(
            "accuracy", labels, guesses(rng, labels, right, 10), rng=rng, n_resamples=400
        )
        held += low <= right <= high
    assert held / 300 == pytest.approx(0.95, abs=0.035)


def test_the_same_seed_gives_the_same_interval_whatever_fits_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels, predicted = a_sample(3)
    whole = bootstrap_interval("macro_f1", labels, predicted, rng=np.random.default_rng(5))
    monkeypatch.setattr(intervals, "CHUNK", 500)
    pieces = bootstrap_interval("macro_f1", labels, predicted, rng=np.random.default_rng(5))
    assert whole == pieces


@pytest.mark.parametrize("least", [0, -1])
@pytest.mark.parametrize("n_classes", [2, 40, 3_000_000])
def test_samples_are_counted_in_the_order_of_their_rows(n_classes: int, least: int) -> None:
    columns = np.random.default_rng(1).integers(least, n_classes, (3, 500))
    columns[:, 300:] = columns[:, :200]
    cells, counts = intervals._cells(*columns)
    expected, expected_counts = np.unique(columns.T, axis=0, return_counts=True)
    np.testing.assert_array_equal(cells, expected)
    np.testing.assert_array_equal(counts, expected_counts)


def test_equal_predictions_are_a_tie() -> None:
    labels, predicted = a_sample(4)
    assert is_tie("macro_f1", labels, predicted, predicted, rng=np.random.default_rng(0))


@pytest.mark.parametrize("metric", METRICS)
def test_a_clear_difference_is_no_tie_in_either_order(metric: str) -> None:
    labels, good = a_sample(5, right=0.9)
    poor = guesses(np.random.default_rng(6), labels, 0.6, 4)
    for first, second in ((good, poor), (poor, good)):
        assert not is_tie(metric, labels, first, second, rng=np.random.default_rng(0))


def test_pairing_tells_apart_what_overlapping_intervals_do_not() -> None:
    labels, first = a_sample(7, n=600, right=0.85)
    second = first.copy()
    wrong = np.flatnonzero(first != labels)[:20]
    second[wrong] = labels[wrong]  # right wherever the first is, and on 20 more
    rng = np.random.default_rng(0)
    _, high = bootstrap_interval("accuracy", labels, first, rng=rng)
    low, _ = bootstrap_interval("accuracy", labels, second, rng=rng)
    assert low < high
    assert not is_tie("accuracy", labels, first, second, rng=rng)


@pytest.mark.parametrize(
    ("wins", "losses"), [(a, n - a) for n in range(1, FEW) for a in range(n + 1)]
)
def test_few_differing_samples_are_judged_by_the_exact_sign_test(wins: int, losses: int) -> None:
    labels = np.zeros(200, dtype=int)
    first, second = labels.copy(), labels.copy()
    second[:wins] = 1
    first[wins : wins + losses] = 1
    p_value = stats.binomtest(wins, wins + losses).pvalue
    tie = is_tie("accuracy", labels, first, second, rng=np.random.default_rng(0))
    assert tie == (p_value > 0.05)


@pytest.mark.slow
def test_equally_good_models_are_rarely_told_apart() -> None:
    rng = np.random.default_rng(12)
    labels = np.arange(300) % 5
    ties = [
        is_tie(
            "accuracy",
            labels,
            guesses(rng, labels, 0.9, 5),
            guesses(rng, labels, 0.9, 5),
            rng=rng,
            n_resamples=400,
        )
        for _ in range(300)
    ]
    assert np.mean(ties) == pytest.approx(0.95, abs=0.035)


def test_ties_come_from_the_kept_predictions_of_two_trials(tmp_path: Path) -> None:
    labels, good = a_sample(8, right=0.95)
    poor = guesses(np.random.default_rng(9), labels, 0.6, 4)
    evaluations = []
    for trial, predicted in enumerate((good, good, poor)):
        path = tmp_path / f"{trial}.npz"
        np.savez(path, probabilities=np.eye(4, dtype=np.float32)[predicted], labels=labels)
        evaluation = trained(trial, 0.9, 1.0)
        outcome = replace(evaluation.outcome, predictions=path.name)
        evaluations.append(replace(evaluation, outcome=outcome))
    assert np.array_equal(load_predictions(tmp_path / "2.npz"), (labels, poor))
    test = tie_test(tmp_path, TASKS["classification"], "accuracy", seed=1)
    first, second, third = evaluations
    assert test(first, second)
    assert test(second, first)
    assert not test(first, third)
    with pytest.raises(ValueError, match="Trial 3 was rejected, not trained"):
        test(first, rejected(3, 9.0))


def test_an_unknown_metric_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown metric 'acuracy'\. Did you mean 'accuracy'"):
        score("acuracy", [0], [0])


@pytest.mark.parametrize(("labels", "predicted"), [([], []), ([0, 1], [0]), ([[0]], [[0]])])
def test_labels_and_predictions_that_do_not_fit_are_refused(labels, predicted) -> None:
    with pytest.raises(ValueError, match=r"must be \(n_samples,\), not empty; got"):
        bootstrap_interval("accuracy", labels, predicted, rng=np.random.default_rng(0))
