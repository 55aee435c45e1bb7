"""Gaussian processes over descriptors of candidates, numbers and names mixed.

Three things are special. The kernel multiplies a Matern kernel of the numbers by what differing
names leave of it, beside a linear trend of the numbers and an effect of each name by itself. And
names that occur on several axes, as the operation on each edge of a cell, have one uniqueness of
their own: where it is high, a candidate that has the name is like none that has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from archfront.search.front.warp import FLAT
from archfront.search.samplers.posterior import Posterior
from archfront.search.space.descriptors import Features

Floats = NDArray[np.float64]

# Added to the diagonal, so that equal rows can be told apart by rounding.
JITTER = 1e-6
# Expected variance of the effects of names, over that of all: where a weight is learned for each
# column, and where one weight is that of all (benchmarks/LOG.md, "Names, the logarithm and the
# probability of learning").
EFFECT, EFFECT_ISOTROPIC = 1.0, 0.3
# Names of lists longer than this have no uniqueness and no effect: too little is seen of any
# (the same entry).
MAX_LEVELS = 12
# Iterations of a fit; more change the proposals no more than a refit does.
MAX_ITERATIONS = 40
# Logarithms that the search for hyperparameters stays between: weights, then effects, amplitude,
# noise and trend.
BOUNDS = ((-12.0, 4.0), (-8.0, 3.0), (-4.0, 4.0), (-12.0, 1.0), (-8.0, 3.0))


@dataclass(frozen=True)
class Rows:
    """Descriptors of ``n`` candidates.

    Attributes:
        numeric: Shape ``(n, d)``, each column with mean 0 and spread 1 over the space.
        categorical: Codes of shape ``(n, k)``.
    """

    numeric: Floats
    categorical: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.numeric)

    def take(self, rows: Sequence[int] | NDArray[np.int64] | slice) -> Rows:
        """Return some of the rows."""
        return Rows(self.numeric[rows], self.categorical[rows])

    def join(self, other: Rows) -> Rows:
        """Return these rows and then the others."""
        return Rows(
            np.concatenate([self.numeric, other.numeric]),
            np.concatenate([self.categorical, other.categorical]),
        )


class Scaling:
    """Turns features into rows, by the mean and spread of a sample of the space.

    Columns that say nothing, since all of the sample have one value, are left out.
    """

    def __init__(self, sample: Features) -> None:
        self._mean = sample.numeric.mean(axis=0)
        spread = sample.numeric.std(axis=0)
        self._numeric = np.flatnonzero(spread > 1e-9 * (1 + np.abs(self._mean)))
        self._spread = spread[self._numeric]
        n_levels = [len(names) for names in sample.levels]
        self._categorical = np.array([k for k, n in enumerate(n_levels) if n > 1], dtype=int)
        self.numeric_names = tuple(sample.numeric_names[j] for j in self._numeric)
        self.levels = tuple(sample.levels[k] for k in self._categorical)

    def rows(self, features: Features) -> Rows:
        """Return the rows of features."""
        numeric = (features.numeric - self._mean)[:, self._numeric] / self._spread
        return Rows(numeric, features.categorical[:, self._categorical])


class GaussianProcess:
    """A Gaussian process whose hyperparameters are at the maximum of their posterior.

    Source: Rasmussen and Williams 2006 (Gaussian Processes for Machine Learning), Algorithm 2.1
    and equation 5.9.

    Args:
        levels: Names behind the codes of each categorical column.
        n_numeric: Numeric columns.
        log_lengthscale_shift: Natural logarithm by which the expected length scales are longer
            than usual; where it is negative, a training says less of other candidates.
        is_isotropic: One distance of numbers and names together, in which all numeric columns
            have one weight, and all columns of names have one: few weights are found from few
            trainings. Then the names of every short list have effects, else those that occur in
            several columns.
        has_own: Whether the last numeric column has a weight and a trend of its own.
    """

    def __init__(
        self,
        levels: Sequence[tuple[str, ...]],
        n_numeric: int,
        *,
        log_lengthscale_shift: float = 0.0,
        is_isotropic: bool = False,
        has_own: bool = False,
    ) -> None:
        self._d, self._k = n_numeric, len(levels)
        n_alike = n_numeric - has_own
        self._trends = (slice(n_alike), slice(n_alike, None)) if has_own else (slice(n_alike),)
        self._shared = _shared_columns(levels)
        self._n_levels = [len(levels[columns[0]]) for columns in self._shared]
        n_unique = sum(self._n_levels)
        # Lognormal priors, under which a usual difference in all columns together weighs 1; a
        # weight is the inverse square of a length scale.
        log_weight = -2 * log_lengthscale_shift
        means = [
            *[log_weight - np.log(max(self._d, 1))] * self._d,
            *[log_weight - np.log(max(self._k, 1))] * self._k,
            *[np.log(0.1)] * n_unique,
        ]
        spreads = [2.0] * (self._d + self._k) + [1.5] * n_unique
        self._n_weights = len(means)
        # So many of them are in the Matern kernel's distance; the others multiply it.
        self._m = self._n_weights if is_isotropic else self._d
        # The hyperparameter that is the weight of each column, and of each unique name.
        names = ["number"] * n_alike + ["own"] * has_own + ["name"] * self._k
        by_column = names if is_isotropic else range(self._d + self._k)
        keys = [*by_column, *(f"unique {i}" for i in range(n_unique))]
        distinct = list(dict.fromkeys(keys))
        self._of = np.array([distinct.index(key) for key in keys], dtype=int)
        self._n_distinct = len(
            distinct
        )  # hyperparameters; effect, amplitude, noise and trends follow
        first = [keys.index(key) for key in distinct]
        of_several = sorted(column for columns in self._shared for column in columns)
        short = [column for column, names in enumerate(levels) if len(names) <= MAX_LEVELS]
        self._effective = short if is_isotropic else of_several
        effect = EFFECT_ISOTROPIC if is_isotropic else EFFECT
        n_trends = len(self._trends)
        effect_amplitude_noise_trends = np.log((effect, 1.0, 0.01, *[0.3] * n_trends))
        self._means = np.append(np.array(means)[first], effect_amplitude_noise_trends)
        self._spreads = np.append(np.array(spreads)[first], (1.0, 1.0, 1.5, *[1.0] * n_trends))
        self._bounds = [BOUNDS[0]] * len(distinct) + [*BOUNDS[1:4], *[BOUNDS[4]] * n_trends]

    def fit(self, rows: Rows, targets: Floats) -> Floats:
        """Return the logarithms of the hyperparameters for standardized targets ``(n,)``."""
        n_rows, m = len(rows), self._m
        numbers = (rows.numeric[:, None] - rows.numeric) ** 2
        mismatches = self._mismatches(rows, rows)
        differences = np.concatenate([np.moveaxis(numbers, 2, 0), mismatches]).reshape(
            self._n_weights, n_rows**2
        )
        same = self._same(mismatches)
        trends = self._trend(rows, rows)
        identity = np.eye(n_rows)

        def loss(theta: Floats) -> tuple[float, Floats]:
            weights = np.exp(theta[self._of])
            effect, amplitude, noise, *slopes = np.exp(theta[self._n_distinct :])
            distances = (weights[:m] @ differences[:m]).reshape(n_rows, n_rows)
            kept = np.exp(-(weights[m:] @ differences[m:])).reshape(n_rows, n_rows)
            kernel, steepness = _matern_and_slope(distances)
            kernel, steepness = amplitude * kernel * kept, amplitude * steepness * kept
            try:
                whole = kernel + effect * same + np.tensordot(slopes, trends, 1)
                whole += (noise + JITTER) * identity
                factor = cholesky(whole, lower=True)
            except np.linalg.LinAlgError:
                return 1e10, np.zeros_like(theta)
            inverse = cho_solve((factor, True), identity)
            solved = inverse @ targets
            deviation = (theta - self._means) / self._spreads
            value = (
                targets @ solved / 2 + np.log(np.diag(factor)).sum() + deviation @ deviation / 2
            )
            by_covariance = (inverse - np.outer(solved, solved)) / 2
            by_weight = np.concatenate(
                [
                    differences[:m] @ (by_covariance * steepness).ravel(),
                    differences[m:] @ -(by_covariance * kernel).ravel(),
                ]
            )
            gradient = np.empty_like(theta)
            at = self._n_distinct
            gradient[:at] = np.bincount(self._of, weights * by_weight, at)
            gradient[at] = effect * (by_covariance * same).sum()
            gradient[at + 1] = (by_covariance * kernel).sum()
            gradient[at + 2] = noise * np.trace(by_covariance)
            gradient[at + 3 :] = slopes * (by_covariance * trends).sum(axis=(1, 2))
            return float(value), gradient + deviation / self._spreads

        found = minimize(
            loss,
            self._means,
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds,
            options={"maxiter": MAX_ITERATIONS},
        )
        theta: Floats = found.x
        return theta

    def posterior(self, theta: Floats, rows: Rows, targets: Floats, candidates: Rows) -> Posterior:
        """Return what is expected of candidates, given rows and their targets.

        Of several targets, ``(len(rows), k)``, there are as many means.
        """
        effect, amplitude, noise, *slopes = np.exp(theta[self._n_distinct :])
        own = self._kernel(theta, rows, rows) + self._noise(theta, len(rows))
        factor = cholesky(own, lower=True)
        cross = self._kernel(theta, rows, candidates)
        mean = cross.T @ cho_solve((factor, True), targets)
        solved = solve_triangular(factor, cross, lower=True)
        before = amplitude + effect * bool(self._effective)
        for slope, columns in zip(slopes, self._trends, strict=True):
            numbers = candidates.numeric[:, columns]
            before += slope * (numbers**2).sum(axis=1) / max(numbers.shape[1], 1)
        return Posterior(
            mean=mean,
            variance=before - (solved**2).sum(axis=0),
            noise=float(noise + JITTER),
            solved=solved,
            numbers=np.arange(len(candidates)),
            between=lambda left, right: self._kernel(
                theta, candidates.take(left), candidates.take(right)
            ),
        )

    def means(self, theta: Floats, rows: Rows, targets: Floats, candidates: Rows) -> Floats:
        """Return the means of ``posterior`` alone, which cost less."""
        own = self._kernel(theta, rows, rows) + self._noise(theta, len(rows))
        factor = cholesky(own, lower=True)
        expected: Floats = self._kernel(theta, rows, candidates).T @ cho_solve(
            (factor, True), targets
        )
        return expected

    def held_out(self, theta: Floats, rows: Rows, targets: Floats) -> float:
        """Return the log density of targets ``(n,)``, each predicted from all others.

        Source: leave-one-out of Rasmussen and Williams 2006, equations 5.10 to 5.12, without
        what is the same for all processes.
        """
        own = self._kernel(theta, rows, rows) + self._noise(theta, len(rows))
        inverse = cho_solve((cholesky(own, lower=True), True), np.eye(len(rows)))
        variances = 1 / np.diag(inverse)
        errors = inverse @ targets * variances
        return float(-np.sum(errors**2 / variances + np.log(variances)) / 2)

    def _noise(self, theta: Floats, n_rows: int) -> Floats:
        noise: Floats = (np.exp(theta[self._n_distinct + 2]) + JITTER) * np.eye(n_rows)
        return noise

    def _kernel(self, theta: Floats, left: Rows, right: Rows) -> Floats:
        weights = np.exp(theta[self._of])
        effect, amplitude, _, *slopes = np.exp(theta[self._n_distinct :])
        roots = np.sqrt(weights[: self._d])
        distances = cdist(left.numeric * roots, right.numeric * roots, "sqeuclidean")
        names = np.zeros_like(distances)
        parts = self._mismatches(left, right)
        for weight, part in zip(weights[self._d :], parts, strict=True):
            names += weight * part
        if self._m > self._d:
            kernel = _matern(distances + names)
        else:
            kernel = _matern(distances) * np.exp(-names)
        result: Floats = amplitude * kernel + effect * self._same(parts)
        return result + np.tensordot(slopes, self._trend(left, right), 1)

    def _trend(self, left: Rows, right: Rows) -> Floats:
        """Return the covariance of linear trends of slope 1, ``(n_trends, n_left, n_right)``."""
        parts = ((left.numeric[:, of], right.numeric[:, of]) for of in self._trends)
        return np.stack([ours @ theirs.T / max(ours.shape[1], 1) for ours, theirs in parts])

    def _same(self, mismatches: NDArray[np.float32]) -> Floats:
        """Return on which share of the columns with effects two candidates have one name."""
        if not self._effective:
            return np.zeros(mismatches.shape[1:])
        same: Floats = 1 - mismatches[self._effective].mean(axis=0, dtype=np.float64)
        return same

    def _mismatches(self, left: Rows, right: Rows) -> NDArray[np.float32]:
        """Return what differs between two candidates, ``(n_weights - d, n_left, n_right)``.

        For each column whether the names differ; for each name of a shared list on how many of
        its columns just one of both has it.
        """
        parts = np.empty((self._n_weights - self._d, len(left), len(right)), dtype=np.float32)
        for k in range(self._k):
            parts[k] = left.categorical[:, k, None] != right.categorical[:, k]
        at = self._k
        for columns, n_levels in zip(self._shared, self._n_levels, strict=True):
            for level in range(n_levels):
                ours = (left.categorical[:, columns] == level).astype(np.float32)
                theirs = (right.categorical[:, columns] == level).astype(np.float32)
                both = ours @ theirs.T
                parts[at] = ours.sum(axis=1)[:, None] + theirs.sum(axis=1) - 2 * both
                at += 1
        return parts


def standardized(values: Floats) -> Floats:
    """Return values with mean 0 and spread 1; all 0 where they are equal."""
    result: Floats = (values - values.mean()) / max(float(values.std()), FLAT)
    return result


def _shared_columns(levels: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """Return the columns of each list of names that several columns have."""
    columns: dict[tuple[str, ...], list[int]] = {}
    for column, names in enumerate(levels):
        columns.setdefault(names, []).append(column)
    return [
        several
        for names, several in columns.items()
        if len(several) > 1 and len(names) <= MAX_LEVELS
    ]


def _matern(squares: Floats) -> Floats:
    """Return the Matern-5/2 kernel of squared distances."""
    distances = np.sqrt(5 * squares)
    return (1 + distances + 5 / 3 * squares) * np.exp(-distances)


def _matern_and_slope(squares: Floats) -> tuple[Floats, Floats]:
    """Return that kernel and its derivative by the squared distances."""
    distances = np.sqrt(5 * squares)
    decay = np.exp(-distances)
    return (1 + distances + 5 / 3 * squares) * decay, -5 / 6 * (1 + distances) * decay
