"""The metrics that are expected of candidates: an ensemble of Gaussian processes.

A single process soon becomes too sure, so the processes have different priors of their length
scales. One has few weights, which few trainings determine; the other has one for each descriptor
and sees the costs as well.

Where results of pretrained weights are published a third process, else like the first, sees them:
as a number with a weight and a trend of its own, since it says more than any size does. While
there are few trainings its prediction weighs most, later as much as another's; and it weighs less,
the worse it predicts the observed losses compared with the first. By likelihood alone it
outweighed the others, and what was published too low was never tried; as a descriptor for all
processes it was worse still (benchmarks/LOG.md, "A third process for the publication").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from archfront.search.front.pareto import front_mask
from archfront.search.front.warp import AS_IT_IS, FLAT, Warp
from archfront.search.samplers.posterior import Posterior
from archfront.search.samplers.request import Request
from archfront.search.samplers.surrogate import GaussianProcess, Rows, Scaling, standardized

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Up to here hyperparameters are found anew for every trial, later for every fifth, later for
# every twentieth part more; and from this many trials at most. More often was no better
# (benchmarks/LOG.md, "Processes not adopted").
REFIT_EACH, REFIT_STEP, REFIT_SHARE = 30, 5, 20
FITTED = 250
# This many trainings say as much as the published results of all (benchmarks/LOG.md, "A third
# process for the publication").
PUBLISHED_WORTH = 24
# A network learns if it gets this share of the way from chance to the best: what never does is
# above chance by luck (benchmarks/LOG.md, "Names, the logarithm and the probability of
# learning").
LEARNS = 0.03
# Trainings that a process knows at most, since its time grows with their third power; of these at
# most so many are in flight (benchmarks/LOG.md, "How many workers one driver serves").
KNOWN, KNOWN_PENDING = 1_000, 400
# Of the trainings that it knows, this share are those next to the front, the others any.
NEAR = 0.5


@dataclass(frozen=True)
class KernelPrior:
    """The prior of a ``GaussianProcess``.

    Attributes:
        log_lengthscale_shift: Natural logarithm by which length scales are longer than usual.
        is_isotropic: Whether all numbers have one weight, and all names have one.
        extra: What it sees in addition to the descriptors: ``costs``, ``published`` or nothing.
    """

    log_lengthscale_shift: float
    is_isotropic: bool
    extra: str = ""


# Few weights are better while there are only few trainings; with rungs, many
# short trainings soon determine more of them (benchmarks/LOG.md, "Rungs on replay tables").
PRIORS = (KernelPrior(0.0, True), KernelPrior(-0.5, False, "costs"))
PRIORS_WITH_RUNGS = (KernelPrior(0.0, False), KernelPrior(-0.5, False, "costs"))
# Where something is published, the first has a twin that sees it as well: two that are nearly
# alike are soon too sure together, so each is less sure (benchmarks/LOG.md, "Alike processes
# are less sure").
PRIORS_WITH_PUBLISHED = (KernelPrior(-0.25, True), KernelPrior(-0.5, False, "costs"))


@dataclass(frozen=True)
class Observations:
    """The observations of a study's trials, in the order of their numbers.

    Attributes:
        observed: Indices of the candidates that finished a rung.
        losses: Their losses in full training, from the reference point,
            ``(n_observed, n_objectives)``; that of the metric is extrapolated from the last rung
            where they are not ``is_full``.
        is_full: Which of them were trained in full.
        lowest_rung: The metric's loss at the lowest rung, which never changes.
        pending: Indices of the candidates that have finished no rung.
        seconds: Seconds of full trainings; NaN where that is not known.
    """

    observed: Ints
    losses: Floats
    is_full: NDArray[np.bool_]
    lowest_rung: Floats
    pending: Ints
    seconds: Floats


@dataclass(frozen=True)
class ProcessPrediction:
    """The prediction of one process.

    Attributes:
        posterior: Of both targets, standardized.
        middle: Where the first target is 0, on the scale that comes with the prediction.
        scale: Its unit there.
        pending: Losses of the candidates in training, ``(n_pending, n_objectives)``.
        weight: Weight of the prediction; those of all processes sum to 1.
    """

    posterior: Posterior
    middle: float
    scale: float
    pending: Floats
    weight: float

    @property
    def mean(self) -> Floats:
        """Return the means of the losses, on the scale that comes with the prediction."""
        means: Floats = self.posterior.mean[:, 0] * self.scale + self.middle
        return means

    @property
    def spread(self) -> Floats:
        """Return their standard deviations on this scale."""
        return self.posterior.spread * self.scale

    @property
    def learning(self) -> Floats:
        """Return the probabilities that a network learns at all (``LEARNS``)."""
        learning: Floats = np.clip(1 + self.posterior.mean[:, 1], 0.0, 1.0)
        return learning

    def take(self, rows: Ints) -> ProcessPrediction:
        """Return the prediction of some of the candidates."""
        return replace(self, posterior=self.posterior.take(rows))

    def assuming(self, row: int, costs: Floats, warp: Warp) -> ProcessPrediction:
        """Return the prediction with one more candidate in training, which gives its mean.

        Args:
            row: Place of the candidate.
            costs: Its losses of the costs, ``(n_costs,)``.
            warp: The scale that came with the prediction.
        """
        expected = np.append(warp.back(self.mean[[row]]), costs)
        return replace(
            self,
            posterior=self.posterior.assuming(row),
            pending=np.concatenate([self.pending, expected[None]]),
        )


class Ensemble:
    """The processes of a study.

    Args:
        request: The request of the study.
        scaling: Scaling of the descriptors.
    """

    def __init__(self, request: Request, scaling: Scaling) -> None:
        self._request, self._scaling = request, scaling
        self._space = request.candidates.space
        self._has_rungs = len(request.rung_costs) > 1
        self._sees_published = self._space.published is not None
        of_full = PRIORS_WITH_PUBLISHED if self._sees_published else PRIORS
        usual = PRIORS_WITH_RUNGS if self._has_rungs else of_full
        in_published = (replace(usual[0], extra="published"),) if self._sees_published else ()
        self._priors = (*usual, *in_published)
        self._fits: dict[tuple[int, int], Floats] = {}

    def predict(
        self, seen: Observations, candidates: Ints
    ) -> tuple[Warp, list[ProcessPrediction]]:
        """Return the prediction of each process of the candidates' first loss, and its scale."""
        # Worse than chance is no worse than chance.
        losses, lowest_rung = np.minimum(seen.losses[:, 0], 0.0), np.minimum(seen.lowest_rung, 0.0)
        n_fitted = _largest_step(len(losses))
        warp = self._warp(losses)
        warped = warp(losses)
        middle, scale = warped.mean(), max(float(warped.std()), FLAT)
        # The second target is whether the network learns at all.
        learns = np.where(losses < LEARNS * losses.min(), 0.0, -1.0)
        targets = np.column_stack([standardized(warped), learns])
        parts = (seen.observed, seen.pending, candidates)
        rows = tuple(self.rows(indices) for indices in parts)
        costs = (seen.losses[:, 1:], *(self.costs(indices) for indices in parts[1:]))
        kept, last = known_rows(seen), slice(-min(len(seen.pending), KNOWN_PENDING), None)
        found, held_out = [], []
        for number, prior in enumerate(self._priors):
            extra = self._extra(prior, parts, costs, n_fitted)
            observed, pending, open_ = map(_with, rows, extra)
            process = self._process(prior, observed)
            theta = self._fitted(
                number, process, observed.take(slice(n_fitted)), lowest_rung[:n_fitted]
            )
            known, values = observed.take(kept), targets[kept]
            assumed = np.empty((0, 2))
            if len(pending):  # a candidate in training is assumed to give its mean
                assumed = process.means(theta, known, values, pending)
            if self._sees_published:
                held_out.append(process.held_out(theta, known, values[:, 0]))
            known, values = known.join(pending.take(last)), np.concatenate([values, assumed[last]])
            expected = warp.back(assumed[:, 0] * scale + middle)
            found.append(
                ProcessPrediction(
                    posterior=process.posterior(theta, known, values, open_),
                    middle=middle,
                    scale=scale,
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

    def _process(self, prior: KernelPrior, rows: Rows) -> GaussianProcess:
        return GaussianProcess(
            self._scaling.levels,
            rows.numeric.shape[1],
            log_lengthscale_shift=prior.log_lengthscale_shift,
            is_isotropic=prior.is_isotropic,
            has_own=prior.extra == "published",
        )

    def _fitted(
        self, number: int, process: GaussianProcess, observed: Rows, lowest_rung: Floats
    ) -> Floats:
        """Return a process's hyperparameters, fitted to the first trials once and for all."""
        n = len(observed)
        if (number, n) not in self._fits:
            chosen = np.arange(n)
            if n > FITTED:
                chosen = np.random.default_rng(n).permutation(n)[:FITTED]
            # At the lowest rung, whose losses never change: a resumed study finds the same.
            known = lowest_rung[chosen]
            fitted = process.fit(observed.take(chosen), standardized(self._warp(known)(known)))
            self._fits[number, n] = fitted
        return self._fits[number, n]

    def _extra(
        self,
        prior: KernelPrior,
        parts: tuple[Ints, ...],
        costs: tuple[Floats, ...],
        n_fitted: int,
    ) -> list[Floats]:
        """Return the columns that a process sees in addition to the descriptors, for each part."""
        if prior.extra == "costs":  # in units of the first trained ones' spread
            first = costs[0][:n_fitted]
            level, reach = first.mean(axis=0), np.maximum(first.std(axis=0), FLAT)
            return [(cost - level) / reach for cost in costs]
        if prior.extra == "published":
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


def weight_of_published(advantage: float, n_observed: int) -> float:
    """Return the weight of the process that sees published results, over that of any other.

    Source: that a prior from elsewhere fades with the trainings is of Hvarfner et al. 2022
    (piBO: Augmenting Acquisition Functions with User Beliefs for Bayesian Optimization), section
    3; here down to the weight of a process that learns from the trainings as the others do. The
    likelihood ratio is squared, so that a misleading publication is soon dropped.

    Args:
        advantage: Log density of this process for the losses found, each predicted from the
            others, less that of the same process without the published results.
        n_observed: Number of these losses.
    """
    return float(max(1.0, PUBLISHED_WORTH / n_observed) * np.exp(2 * min(0.0, advantage)))


def known_rows(seen: Observations) -> slice | Ints:
    """Return which observed trainings processes know: all, unless there are very many.

    Those next to the front, by how far the metric's loss is above the least at their costs, tell
    most of what may join it; others, drawn, tell of the rest of the space.
    """
    n = len(seen.observed)
    most = KNOWN - min(len(seen.pending), KNOWN_PENDING)
    if n <= most:
        return slice(None)
    front = seen.losses[front_mask(seen.losses)]
    is_cheaper = (front[None, :, 1:] <= seen.losses[:, None, 1:]).all(axis=2)
    behind = seen.losses[:, 0] - np.where(is_cheaper, front[:, 0], np.inf).min(axis=1)
    order = np.argsort(behind, kind="stable")
    n_near = int(NEAR * most)
    others = np.random.default_rng(n).choice(order[n_near:], most - n_near, replace=False)
    return np.sort(np.append(order[:n_near], others))


def _with(rows: Rows, columns: Floats) -> Rows:
    return Rows(np.column_stack([rows.numeric, columns]), rows.categorical)


def _largest_step(n: int) -> int:
    """Return the number of trials, up to ``n``, from which hyperparameters are found."""
    if n <= REFIT_EACH:
        return n
    step = max(REFIT_STEP, n // REFIT_SHARE)
    return n - n % step
