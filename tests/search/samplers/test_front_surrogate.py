"""The Gaussian processes of the sampler ``front``, and the rows that they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, approx_fprime, minimize

from archfront.search.samplers import surrogate
from archfront.search.samplers.surrogate import GaussianProcess, Rows, Scaling
from archfront.search.space.descriptors import Features

LEVELS = (("a", "b", "c"), ("a", "b", "c"), ("x", "y"))


def drawn(n: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    codes = np.column_stack([rng.integers(len(names), size=n) for names in LEVELS])
    return Rows(rng.normal(size=(n, 3)), codes)


def truth(rows: Rows) -> np.ndarray:
    effect = np.array([0.0, 0.4, -1.5])
    return np.sin(rows.numeric[:, 0]) + effect[rows.categorical[:, :2]].sum(axis=1)


def test_an_effect_of_a_name_speaks_for_all_that_has_it() -> None:
    """Names that never occurred together are expected to do what they do alone."""
    codes = np.array([[i, j, 0] for i in range(3) for j in range(3) if (i, j) != (0, 0)])
    rows = Rows(np.zeros((8, 3)), codes)
    targets = truth(rows) - truth(rows).mean()
    process = GaussianProcess(LEVELS, 3)
    theta = process.fit(rows, targets / targets.std())
    both = Rows(np.zeros((1, 3)), np.array([[0, 0, 0]]))
    mean = process.means(theta, rows, targets, both)
    assert mean[0] == pytest.approx(truth(both)[0] - truth(rows).mean(), abs=0.2)


@pytest.mark.parametrize("is_isotropic", [False, True])
def test_a_process_learns_numbers_and_names(is_isotropic: bool) -> None:
    rows, candidates = drawn(120), drawn(200, seed=1)
    process = GaussianProcess(LEVELS, 3, is_isotropic=is_isotropic)
    losses = truth(rows)
    targets = (losses - losses.mean()) / losses.std()
    theta = process.fit(rows, targets)
    found = process.posterior(theta, rows, targets, candidates)
    wanted = (truth(candidates) - losses.mean()) / losses.std()
    errors, spread = found.mean - wanted, found.spread
    assert np.sqrt((errors**2).mean()) < 0.3
    assert (np.abs(errors) < 1.645 * np.sqrt(spread**2 + np.exp(theta[-2]))).mean() > 0.8


@pytest.mark.parametrize("has_own", [False, True])
@pytest.mark.parametrize("is_isotropic", [False, True])
def test_a_process_is_that_of_the_textbook(is_isotropic: bool, has_own: bool) -> None:
    """The mean and spread by inverting the whole covariance, entry by entry."""
    rows, candidates = drawn(12), drawn(5, seed=2)
    process = GaussianProcess(LEVELS, 3, is_isotropic=is_isotropic, has_own=has_own)
    theta = np.random.default_rng(3).normal(size=len(process.fit(rows, np.zeros(12)))) - 1
    n_weights = len(theta) - 4 - has_own
    weights = np.exp(theta[:n_weights])
    effect, amplitude, noise, *trends = np.exp(theta[n_weights:])
    slopes = np.array([trends[0] / 2] * 2 + [trends[1]] if has_own else [trends[0] / 3] * 3)
    if is_isotropic:  # one weight of the numbers, one of three columns, one of each shared name
        assert n_weights == 5 + has_own
        numbers = [0, 0, 1] if has_own else [0, 0, 0]
        weights = weights[np.array([*numbers, *[1 + has_own] * 3, *(np.arange(2, 5) + has_own)])]

    def kernel(x: Rows, i: int, y: Rows, j: int) -> float:
        gaps = (x.numeric[i] - y.numeric[j]) ** 2
        ours, theirs = x.categorical[i].tolist(), y.categorical[j].tolist()
        parts = [float(a != b) for a, b in zip(ours, theirs, strict=True)]
        for level in range(3):  # the first two columns have one list of names
            pairs = zip(ours[:2], theirs[:2], strict=True)
            parts.append(sum((a == level) != (b == level) for a, b in pairs))
        square, names = weights[:3] @ gaps, weights[3:] @ np.array(parts)
        r = np.sqrt(5 * (square + names if is_isotropic else square))
        near = (1 + r + r * r / 3) * np.exp(-r) * (1.0 if is_isotropic else np.exp(-names))
        # All columns have effects where one weight is that of all, else those of the shared list.
        same = 1 - np.mean(parts[:3] if is_isotropic else parts[:2])
        trend = slopes @ (x.numeric[i] * y.numeric[j])
        return float(amplitude * near + effect * same + trend)

    own = np.array([[kernel(rows, i, rows, j) for j in range(12)] for i in range(12)])
    cross = np.array([[kernel(rows, i, candidates, j) for j in range(5)] for i in range(12)])
    before = np.array([kernel(candidates, j, candidates, j) for j in range(5)])
    inverse = np.linalg.inv(own + (noise + 1e-6) * np.eye(12))
    targets = truth(rows)
    found = process.posterior(theta, rows, targets, candidates)
    assert found.mean == pytest.approx(cross.T @ inverse @ targets, rel=1e-6)
    assert process.means(theta, rows, targets, candidates) == pytest.approx(found.mean)
    of_both = np.column_stack([targets, -targets])
    both = process.posterior(theta, rows, of_both, candidates)
    assert both.mean == pytest.approx(np.column_stack([found.mean, -found.mean]))
    assert both.spread == pytest.approx(found.spread)
    explained = np.einsum("ij,ik,kj->j", cross, inverse, cross)
    assert found.spread == pytest.approx(np.sqrt(before - explained), rel=1e-5)


@pytest.mark.parametrize("is_isotropic", [False, True])
def test_a_candidate_that_is_assumed_counts_as_a_training_that_gave_its_mean(
    is_isotropic: bool,
) -> None:
    rows, candidates, targets = drawn(12), drawn(6, seed=2), truth(drawn(12))
    process = GaussianProcess(LEVELS, 3, is_isotropic=is_isotropic)
    theta = process.fit(rows, targets)
    found = process.posterior(theta, rows, targets, candidates)
    assumed = found.take(np.array([5, 1, 2, 3])).assuming(1).assuming(3)
    chosen = [1, 3]
    whole = process.posterior(
        theta,
        rows.join(candidates.take(chosen)),
        np.append(targets, found.mean[chosen]),
        candidates.take([5, 1, 2, 3]),
    )
    assert assumed.mean == pytest.approx(whole.mean)
    assert assumed.spread == pytest.approx(whole.spread, rel=1e-4)
    assert (assumed.spread < found.spread[[5, 1, 2, 3]]).all()


def test_a_number_of_which_much_is_expected_soon_tells_most() -> None:
    """Ten rows tell a process with one weight too little of which number matters."""
    rng = np.random.default_rng(0)
    observed, candidates = (
        Rows(rng.normal(size=(n, 6)), np.zeros((n, 0), int)) for n in (10, 200)
    )
    errors = []
    for has_own in (False, True):
        process = GaussianProcess([], 6, is_isotropic=True, has_own=has_own)
        targets = observed.numeric[:, -1] ** 3
        theta = process.fit(observed, targets)
        mean = process.means(theta, observed, targets, candidates)
        errors.append(np.abs(mean - candidates.numeric[:, -1] ** 3).mean())
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("has_own", [False, True])
@pytest.mark.parametrize("is_isotropic", [False, True])
def test_a_fit_goes_by_the_slope_of_its_loss(
    is_isotropic: bool, has_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = GaussianProcess(LEVELS, 3, is_isotropic=is_isotropic, has_own=has_own)
    slopes = []

    def check(loss: Callable[..., Any], start: np.ndarray, **kwargs: Any) -> OptimizeResult:
        slope = approx_fprime(start, lambda theta: loss(theta)[0], 1e-6)
        slopes.append((loss(start)[1], slope))
        return minimize(loss, start, **kwargs)

    monkeypatch.setattr(surrogate, "minimize", check)
    rows = drawn(12)
    theta = process.fit(rows, truth(rows))
    for ours, numeric in slopes:
        assert ours == pytest.approx(numeric, rel=1e-3, abs=1e-4)
    assert len(theta) == len(slopes[0][0])


def test_what_is_held_out_is_told_from_all_others() -> None:
    rows, targets = drawn(12), truth(drawn(12))
    process = GaussianProcess(LEVELS, 3)
    theta = process.fit(rows, targets)
    expected = 0.0
    for i in range(12):
        rest = np.delete(np.arange(12), i)
        found = process.posterior(theta, rows.take(rest), targets[rest], rows.take([i]))
        variance = found.spread[0] ** 2 + np.exp(theta[-2]) + 1e-6
        expected -= ((targets[i] - found.mean[0]) ** 2 / variance + np.log(variance)) / 2
    assert process.held_out(theta, rows, targets) == pytest.approx(expected)


def test_columns_that_say_nothing_are_left_out() -> None:
    numeric = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    codes = np.array([[0, 0], [1, 0], [0, 0]])
    features = Features(numeric, codes, ("size", "same"), ("kind", "only"), (("a", "b"), ("one",)))
    scaling = Scaling(features)
    rows = scaling.rows(features)
    assert (scaling.numeric_names, scaling.levels) == (("size",), (("a", "b"),))
    assert rows.numeric.mean() == pytest.approx(0)
    assert rows.numeric.std() == pytest.approx(1)
    assert rows.categorical.tolist() == [[0], [1], [0]]
