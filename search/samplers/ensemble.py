"""What is expected of candidates: several Gaussian processes that share a judgment.

One alone soon becomes too sure, so they believe differently how far a training speaks for others.
One has few weights, which few trainings tell; the other has one for each descriptor and sees the
costs as well.

Where results of pretrained weights are published a third process sees them, else as the first:
as a number with a weight and a trend of its own, since it says more than any size does. While
there are few trainings its judgment weighs most, later as much as another's; and it weighs the
less, the worse it tells what was found than the first does. By likelihood alone it outweighed the
others, and what was published too low was never tried; as a descriptor for all it was worse still
(benchmarks/LOG.md, "A third process for the publication").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from archfront.search.front.warp import AS_IT_IS, FLAT, Warp
from archfront.search.samplers.request import Request
from archfront.search.samplers.surrogate import GaussianProcess, Rows, Scaling, standardized

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Up to here hyperparameters are found anew for every trial, later for every fifth, later for
# every twentieth part more; and from so many trials at most. More often was no better
# (benchmarks/LOG.md, "Processes not adopted").
REFIT_EACH, REFIT_STEP, REFIT_SHARE = 30, 5, 20
FITTED = 250
# So many trainings tell as much as what was published of all (benchmarks/LOG.md, "A third
# process for the publication").
PUBLISHED_WORTH = 24
# A network learns if it gets this share of the way from chance to the best: what never does is
# above chance by luck (benchmarks/LOG.md, "Names, the logarithm and the probability of
# learning").
LEARNS = 0.03


@dataclass(frozen=True)
class KernelPrior:
    """What a ``GaussianProcess`` takes for likely before anything is observed.

    Attributes:
        nearness: How much less than usual one training speaks for others, as a logarithm.
        is_even: Whether all numbers have one weight, and all names.
        beside: What it sees beside the descriptors: ``costs``, ``published`` or nothing.
    """

    nearness: float
    is_even: bool
    beside: str = ""


# Few weights are better while few trainings are all there is; with rungs, many short ones soon
# tell more of them (benchmarks/LOG.md, "Rungs on replay tables").
BELIEFS = (KernelPrior(0.0, True), KernelPrior(1.0, False, "costs"))
BELIEFS_OF_RUNGS = (KernelPrior(0.0, False), KernelPrior(1.0, False, "costs"))
# Where something is published, the first has a twin that sees it as well: two that are nearly
# alike are soon too sure together, so each is less sure (benchmarks/LOG.md, "Alike processes
# are less sure").
BELIEFS_OF_PUBLISHED = (KernelPrior(0.5, True), KernelPrior(1.0, False, "costs"))


@dataclass(frozen=True)
class Seen:
    """What a study's trials say, in the order of their numbers.

    Attributes:
        told: Candidates that finished a rung, by index.
        losses: Of them in full training, from the reference point, ``(n_told, n_objectives)``;
            the metric's is what their last rung lets expect where they are not ``is_full``.
        is_full: Which were trained in full.
        lowest: The metric's loss at the lowest rung, which never changes.
        pending: Candidates that have finished none.
        seconds: Of full trainings; NaN where that is not known.
    """

    told: Ints
    losses: Floats
    is_full: NDArray[np.bool_]
    lowest: Floats
    pending: Ints
    seconds: Floats


@dataclass(frozen=True)
class Prediction:
    """What one process expects.

    Attributes:
        mean: Of the losses, on the scale that comes with it.
        spread: Their standard deviation there.
        learning: How likely a network learns at all (``LEARNS``), whatever its mean.
        pending: Losses of what is in training, ``(n_pending, n_objectives)``.
        weight: Of its judgment; those of all processes sum to 1.
    """

    mean: Floats
    spread: Floats
    learning: Floats
    pending: Floats
    weight: float


class Ensemble:
    """The processes of a study.

    Args:
        request: What the study asks for.
        scaling: Of the descriptors.
    """

    def __init__(self, request: Request, scaling: Scaling) -> None:
        self._request, self._scaling = request, scaling
        self._space = request.candidates.space
        self._has_rungs = len(request.rung_costs) > 1
        self._sees_published = self._space.published is not None
        of_full = BELIEFS_OF_PUBLISHED if self._sees_published else BELIEFS
        usual = BELIEFS_OF_RUNGS if self._has_rungs else of_full
        in_published = (replace(usual[0], beside="published"),) if self._sees_published else ()
        self._beliefs = (*usual, *in_published)
        self._fits: dict[tuple[int, int], Floats] = {}

    def predict(self, seen: Seen, asked: Ints) -> tuple[Warp, list[Prediction]]:
        """Return what each process expects of candidates' first loss, and on which scale."""
        # Worse than chance is no worse than chance.
        losses, lowest = np.minimum(seen.losses[:, 0], 0.0), np.minimum(seen.lowest, 0.0)
        n_fitted = _largest_step(len(losses))
        warp = self._warp(losses)
        warped = warp(losses)
        middle, scale = warped.mean(), max(float(warped.std()), FLAT)
        # Beside the loss whether the network learns at all.
        learns = np.where(losses < LEARNS * losses.min(), 0.0, -1.0)
        targets = np.column_stack([standardized(warped), learns])
        parts = (seen.told, seen.pending, asked)
        rows = tuple(self.rows(indices) for indices in parts)
        costs = (seen.losses[:, 1:], *(self.costs(indices) for indices in parts[1:]))
        found, held_out = [], []
        for number, belief in enumerate(self._beliefs):
            beside = self._beside(belief, parts, costs, n_fitted)
            told, pending, open_ = map(_with, rows, beside)
            process = self._process(belief, told)
            theta = self._fitted(number, process, told.take(slice(n_fitted)), lowest[:n_fitted])
            believed = np.empty((0, 2))
            if len(pending):  # what is in training is taken to give what is expected of it
                believed, _ = process.predict(theta, told, targets, pending)
            every, values = told.join(pending), np.concatenate([targets, believed])
            means, spread = process.predict(theta, every, values, open_)
            expected = warp.back(believed[:, 0] * scale + middle)
            if self._sees_published:
                held_out.append(process.held_out(theta, told, targets[:, 0]))
            found.append(
                Prediction(
                    mean=means[:, 0] * scale + middle,
                    spread=spread * scale,
                    learning=np.clip(1 + means[:, 1], 0.0, 1.0),
                    pending=np.column_stack([expected, costs[1]]),
                    weight=1.0,
                )
            )
        weights = np.ones(len(found))
        if self._sees_published:
            weights[-1] = weight_of_published(held_out[-1] - held_out[0], len(losses))
        shares = weights / weights.sum()
        return warp, [replace(p, weight=w) for p, w in zip(found, shares, strict=True)]

    def rows(self, indices: Ints) -> Rows:
        """Return the descriptors of candidates."""
        return self._scaling.rows(self._space.features(indices))

    def costs(self, indices: Ints) -> Floats:
        """Return the expected losses of candidates' costs, ``(n, n_costs)``."""
        return self._request.costs.expected(self._space.architecture_of(indices))

    def _process(self, belief: KernelPrior, rows: Rows) -> GaussianProcess:
        return GaussianProcess(
            self._scaling.levels,
            rows.numeric.shape[1],
            nearness=belief.nearness,
            is_even=belief.is_even,
            has_own=belief.beside == "published",
        )

    def _fitted(self, number: int, process: GaussianProcess, told: Rows, lowest: Floats) -> Floats:
        """Return a process's hyperparameters, found from some trials once and for all."""
        n = len(told)
        if (number, n) not in self._fits:
            chosen = np.arange(n)
            if n > FITTED:
                chosen = np.random.default_rng(n).permutation(n)[:FITTED]
            # At the lowest rung, whose losses never change: a resumed study finds the same.
            known = lowest[chosen]
            fitted = process.fit(told.take(chosen), standardized(self._warp(known)(known)))
            self._fits[number, n] = fitted
        return self._fits[number, n]

    def _beside(
        self,
        belief: KernelPrior,
        parts: tuple[Ints, ...],
        costs: tuple[Floats, ...],
        n_fitted: int,
    ) -> list[Floats]:
        """Return the columns that a process sees beside the descriptors, for each part."""
        if belief.beside == "costs":  # in units of the first trained ones' spread
            first = costs[0][:n_fitted]
            level, reach = first.mean(axis=0), np.maximum(first.std(axis=0), FLAT)
            return [(cost - level) / reach for cost in costs]
        if belief.beside == "published":
            numbers = (self._space.architecture_of(indices) for indices in parts)
            return [self._published[architectures, None] for architectures in numbers]
        return [np.empty((len(indices), 0)) for indices in parts]

    @cached_property
    def _published(self) -> Floats:
        """Return what was published of each architecture, in spreads; 0 where nothing was."""
        published = self._space.published
        assert published is not None
        return standardized(np.nan_to_num(published, nan=float(np.nanmean(published))))

    def _warp(self, losses: Floats) -> Warp:
        return AS_IT_IS if self._has_rungs else Warp.of(losses)


def weight_of_published(advantage: float, n_told: int) -> float:
    """Return how much the process that sees what was published weighs, over any other.

    Source: that a belief from elsewhere fades with the trainings is of Hvarfner et al. 2022
    (piBO: Augmenting Acquisition Functions with User Beliefs for Bayesian Optimization), section
    3; here down to the weight of a process that learns from the trainings as the others do. The
    likelihood ratio is squared, so that a publication of which nothing is true is soon dropped.

    Args:
        advantage: Log density that it has for the losses found, each told from the others, less
            that of the same process without what was published.
        n_told: How many losses that are.
    """
    return float(max(1.0, PUBLISHED_WORTH / n_told) * np.exp(2 * min(0.0, advantage)))


def _with(rows: Rows, columns: Floats) -> Rows:
    return Rows(np.column_stack([rows.numeric, columns]), rows.categorical)


def _largest_step(n: int) -> int:
    """Return the number of trials, up to ``n``, from which hyperparameters are found."""
    if n <= REFIT_EACH:
        return n
    step = max(REFIT_STEP, n // REFIT_SHARE)
    return n - n % step
