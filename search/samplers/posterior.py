"""The posterior of a Gaussian process at candidates, to which further trainings can be assumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Variances below this are rounding.
LEAST_VARIANCE = 1e-10


@dataclass(frozen=True)
class Posterior:
    """The posterior at ``n`` candidates.

    Attributes:
        mean: Means, ``(n,)``, or ``(n, n_targets)`` of several targets.
        variance: Variances without the noise, ``(n,)``.
        noise: Variance of the noise.
        solved: Covariances of the candidates with what is known, multiplied by the inverse of
            the lower Cholesky factor of all that is known, ``(n_known, n)``.
        numbers: Numbers of the candidates, ``(n,)``.
        between: Returns the prior covariances of candidates by their numbers,
            ``(n_left, n_right)``.
    """

    mean: Floats
    variance: Floats
    noise: float
    solved: Floats
    numbers: Ints
    between: Callable[[Ints, Ints], Floats]

    @property
    def spread(self) -> Floats:
        """Return the standard deviations, without the noise, ``(n,)``."""
        deviations: Floats = np.sqrt(np.maximum(self.variance, LEAST_VARIANCE))
        return deviations

    def take(self, rows: Ints) -> Posterior:
        """Return the posterior at some of the candidates."""
        return replace(
            self,
            mean=self.mean[rows],
            variance=self.variance[rows],
            solved=self.solved[:, rows],
            numbers=self.numbers[rows],
        )

    def assuming(self, row: int) -> Posterior:
        """Return the posterior as if a candidate had been trained and had given its mean.

        Means stay as they are; variances become those of a process that knows this training too,
        by one more row of its Cholesky factor. Source: Ginsbourger, Le Riche and Carraro 2010
        (Kriging Is Well-Suited to Parallelize Optimization), the Kriging believer.
        """
        before = self.between(self.numbers, self.numbers[[row]])[:, 0]
        covariance = before - self.solved.T @ self.solved[:, row]
        added = covariance / np.sqrt(max(float(self.variance[row]), LEAST_VARIANCE) + self.noise)
        return replace(
            self,
            variance=self.variance - added**2,
            solved=np.concatenate([self.solved, added[None]]),
        )
