"""The sampler ``front``: costs are known before training, only the metric is uncertain.

It starts with candidates spread over the front that is expected without training: published
accuracy against cost, or capacity where nothing is published (``Start``). Then it proposes what
adds most to the hypervolume in expectation, under Gaussian processes of the metric over all
descriptors (``Ensemble``). What was published leads two of three candidates of the start, capacity
the third: a misleading publication cannot hold the search.

Networks that hardly learn are few and far worse than the others. Losses are therefore seen on a
logarithm where they look more normal on it (``Warp``), and a candidate's gain is multiplied by the
probability that it learns at all: on a logarithm alone, cells of NAS-Bench-201 that cost next to
nothing and never learn were tried again and again. With rungs losses are seen as they are: many
short trainings show what is far worse (benchmarks/LOG.md, "Rungs on replay tables").

A training that ended at a lower rung counts with the loss that its rung predicts of a full one. To
count the uncertainty of this prediction as noise found less (the same entry).

Its state is the study's storage. Hyperparameters are fitted anew to the trials, never to earlier
hyperparameters, so that a resumed study goes on with the same proposal.

With many trainings in flight several proposals are made of one fit: each as if those before it
were in training and gave what is expected of them. So the results that ended meanwhile, one in
twenty of those in flight, come in later, and a resumed study may go on with other proposals.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from archfront.search.front.extrapolation import RungTrial, expected_losses
from archfront.search.front.pareto import hypervolume
from archfront.search.records.optuna_compat import write_system_attr
from archfront.search.records.proposal import Proposal
from archfront.search.records.store import PROPOSAL, RUNGS, TRAIN_S
from archfront.search.samplers.base import ProposalSampler, Written
from archfront.search.samplers.ensemble import Ensemble, Observations
from archfront.search.samplers.prospects import Prospects
from archfront.search.samplers.request import MANY, Request
from archfront.search.samplers.start import Start
from archfront.search.samplers.surrogate import Scaling
from archfront.search.space.cost_model import BAND

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Candidates whose gain is computed for one proposal: all of a small space. More trials make each
# more expensive, so there are fewer then, down to the second number.
SCORED, SCORED_LEAST = 200_000, 1_000
# The scales of descriptors are those of this many candidates.
SCALED = 20_000
# Of one fit, one more proposal is made for so many trainings in flight, of so many of the most
# promising candidates (benchmarks/LOG.md, "How many workers one driver serves").
AHEAD, PROMISING = MANY, 250


class FrontSampler(ProposalSampler):
    """Proposes what adds most to the front."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.candidates, request.seed)
        self._request = request
        self._space = request.candidates.space
        self._indices: dict[int, int] = {}
        self._losses: dict[int, tuple[list[float], RungTrial]] = {}
        # What is expected after the proposals so far, and how many more are made of it.
        self._ahead: tuple[Prospects, int] | None = None
        size = self._space.size
        rng = np.random.default_rng([request.seed, 1])
        sample = np.arange(size) if size <= SCALED else rng.integers(size, size=SCALED)
        scaling = Scaling(self._space.features(sample))
        self._start = Start(request, scaling)
        self._ensemble = Ensemble(request, scaling)

    def _propose(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        rng = np.random.default_rng([self._seed, trial.number])
        index, proposal = self._next_ahead(rng) or self._next(study, trial, rng)
        write_system_attr(study, trial, PROPOSAL, asdict(proposal))
        return self._space.choices(self._space.at(index))

    def _next(
        self, study: Study, trial: FrozenTrial, rng: np.random.Generator
    ) -> tuple[int, Proposal]:
        """Return a proposal by all that is known now."""
        seen = self._observations(study, trial)
        n_tried = len(seen.observed) + len(seen.pending)
        if len(seen.observed) == 0 or n_tried < self._request.startup:
            tried = self._space.architecture_of(np.append(seen.observed, seen.pending))
            number = self._start.choose(tried)
            recipe = self._start.recipe(number, rng)
            return self._space.first_index(number) + recipe, self._proposal("start", number)
        return self._best(self._prospects(seen, rng), len(seen.pending) // AHEAD, rng)

    def _next_ahead(self, rng: np.random.Generator) -> tuple[int, Proposal] | None:
        """Return a proposal by what was known for an earlier one, where that is to be used."""
        if self._ahead is None:
            return None
        prospects, n_more = self._ahead
        rows = np.flatnonzero(self._candidates.are_open(prospects.candidates))
        if len(rows) == 0:
            self._ahead = None
            return None
        return self._best(prospects.take(rows), n_more - 1, rng)

    def _observations(self, study: Study, trial: FrozenTrial) -> Observations:
        objectives, reference = self._request.costs.objectives, self._request.reference
        observed, found, seconds, pending = [], [], [], []
        for other in study.get_trials(deepcopy=False):
            index = self._index(other)
            if other.number == trial.number or other.state == TrialState.FAIL or index is None:
                continue
            metrics = other.system_attrs.get(RUNGS)
            if metrics is None and other.state == TrialState.COMPLETE:
                metrics = other.values[:1]  # a study of full trainings only
            if metrics is None:
                pending.append(index)
                continue
            observed.append(index)
            kept = self._losses.get(other.number)
            if kept is None or kept[0] != metrics:
                losses = reference.losses(metrics, objectives[:1])[:, 0]
                kept = metrics, RungTrial(other.number, tuple(losses.tolist()), ())
                self._losses[other.number] = kept
            found.append(kept[1])
            share = self._request.rung_costs[len(metrics) - 1]
            seconds.append(other.user_attrs.get(TRAIN_S, np.nan) / share)
        n_rungs = len(self._request.rung_costs)
        means, _ = expected_losses(found, n_rungs)
        numbers = np.array(observed, int)
        return Observations(
            observed=numbers,
            losses=np.column_stack([means, self._ensemble.costs(numbers)]),
            is_full=np.array([len(each.losses) == n_rungs for each in found], bool),
            lowest_rung=np.array([each.losses[0] for each in found], float),
            pending=np.array(pending, int),
            seconds=np.array(seconds, float),
        )

    def _index(self, trial: FrozenTrial) -> int | None:
        """Return the candidate of a trial; None while some of its axes are not yet written."""
        if trial.number not in self._indices:
            try:
                candidate = self._space.suggest(Written(trial.params))
            except KeyError:
                return None
            self._indices[trial.number] = self._space.index(candidate)
        return self._indices[trial.number]

    def _prospects(self, seen: Observations, rng: np.random.Generator) -> Prospects:
        """Return the candidates that are looked at, with what is expected of them."""
        n_scored = max(SCORED_LEAST, SCORED // (len(seen.observed) + len(seen.pending)))
        candidates = self._candidates.sample(n_scored, rng)
        architectures = self._space.architecture_of(candidates)
        warp, predictions = self._ensemble.predict(seen, candidates)
        full = seen.losses[seen.is_full]
        return Prospects(
            candidates=candidates,
            found=seen.losses,
            warp=warp,
            predictions=tuple(predictions),
            cases=self._request.costs.points(architectures),
            costs=self._request.costs.expected(architectures),
            chance=self._request.costs.chance(architectures),
            seconds=self._seconds(seen, candidates),
            whole=hypervolume(full, np.zeros(full.shape[1])),
        )

    def _best(
        self, prospects: Prospects, n_more: int, rng: np.random.Generator
    ) -> tuple[int, Proposal]:
        """Return the candidate with the largest expected gain.

        Args:
            prospects: The candidates.
            n_more: Proposals that are to be made of them afterwards.
            rng: Source of the choice between equal ones.
        """
        gain, seconds = prospects.gains(), prospects.seconds
        score = gain if seconds is None else gain / seconds
        best = int(rng.choice(np.flatnonzero(score == score.max())))
        self._ahead = None
        if n_more > 0:
            promising = np.argsort(-score, kind="stable")[:PROMISING]
            promising = np.append(best, promising[promising != best])
            self._ahead = prospects.take(promising).assuming(0), n_more
        whole, predictions = prospects.whole, prospects.predictions
        mean = sum(p.weight * p.mean[best] for p in predictions)
        band = BAND * np.sqrt(sum(p.weight * p.spread[best] ** 2 for p in predictions))
        expected = prospects.warp.back(mean + np.array([-band, 0.0, band]))
        objective = self._request.costs.objectives[0]
        chance = self._request.reference.values[objective.name]
        sign = 1.0 if objective.direction == "maximize" else -1.0
        low, metric, high = sorted((chance - sign * expected).tolist())
        index = int(prospects.candidates[best])
        proposal = self._proposal(
            "improvement",
            int(self._space.architecture_of([index])[0]),
            metric=metric,
            metric_low=low,
            metric_high=high,
            gain=float(gain[best] / whole) if whole > 0 else None,
            train_s=None if seconds is None else float(seconds[best]),
        )
        return index, proposal

    def _seconds(self, seen: Observations, candidates: Ints) -> Floats | None:
        """Return the seconds that trainings will take, where time is what runs out."""
        known = np.flatnonzero(seen.seconds > 0)
        if not self._request.is_timed or len(known) < 2:
            return None
        return _regressed_seconds(
            self._ensemble.rows(seen.observed[known]).numeric,
            np.log(seen.seconds[known]),
            self._ensemble.rows(candidates).numeric,
        )

    def _proposal(self, chosen_by: str, number: int, **expected: float | None) -> Proposal:
        costs = self._request.costs
        is_measured = len(costs.points(np.array([number]))) == 1
        return Proposal(chosen_by, costs.values(number), is_measured, **expected)


def _regressed_seconds(observed: Floats, logs: Floats, candidates: Floats) -> Floats:
    """Return seconds by a ridge on standardized descriptors, within twice what was seen."""
    middle, logs_middle = observed.mean(axis=0), logs.mean()
    centered = observed - middle
    gram = centered.T @ centered + np.eye(observed.shape[1])
    slopes = np.linalg.solve(gram, centered.T @ (logs - logs_middle))
    expected = logs_middle + (candidates - middle) @ slopes
    seconds: Floats = np.exp(np.clip(expected, logs.min() - np.log(2), logs.max() + np.log(2)))
    return seconds
