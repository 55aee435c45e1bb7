"""The sampler ``front``: costs are known before training, only the metric is uncertain.

It starts with candidates spread over the front that can be told without training: published
accuracy against cost, or capacity where nothing is published (``Start``). Then it proposes what
adds most to the hypervolume in expectation, under Gaussian processes of the metric over all
descriptors. Two processes that believe differently how far one training speaks for others share
the judgment, since one alone soon becomes too sure: one has few weights, which few trainings tell,
the other has one for each descriptor and sees the costs as well. What was published leads two of
three candidates of the start, capacity the third, and is no descriptor: on tables of timm's
results the processes found more without it, and a misleading one cannot hold the search.

Networks that hardly learn are few and far worse than the others. Losses are therefore seen on a
logarithm where they look more normal on it (``Warp``), and a candidate's gain counts as far as
both processes believe that it learns at all: on a logarithm alone, cells of NAS-Bench-201 that
cost next to nothing and never learn were tried again and again. With rungs losses are seen as they
are: many short trainings tell what is far worse (tables of short trainings).

A training that ended at a lower rung counts as what its rung lets expect of a full one. To count
how unsure that is as noise found less on tables of short trainings.

Its state is the study's storage. Hyperparameters are found anew from the trials, not from the ones
before, so that a resumed study goes on with the same proposal.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.costs import BAND
from search.pareto import hypervolume
from search.records import Proposal
from search.rungs import Climber, expected_losses
from search.samplers.improvement import expected_improvement
from search.samplers.proposal import ProposalSampler, Written
from search.samplers.request import PROPOSAL, RUNGS, TRAIN_S, Request
from search.samplers.start import Start
from search.samplers.surrogate import Process, Rows, Scaling, standardized
from search.samplers.warp import AS_IT_IS, FLAT, Warp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Candidates whose gain is computed for one proposal: all of a small space. More trials make each
# dearer, so there are fewer then, down to the second number.
SCORED, SCORED_LEAST = 200_000, 1_000
# Scales are those of so many candidates.
SCALED = 20_000
# Up to here hyperparameters are found anew for every trial, later for every fifth, later for
# every twentieth part more; and from so many trials at most.
REFIT_EACH, REFIT_STEP, REFIT_SHARE = 30, 5, 20
FITTED = 250
# A network learns if it gets this share of the way from chance to the best: what never does is
# above chance by luck.
LEARNS = 0.03


@dataclass(frozen=True)
class _Belief:
    """What a process believes of the metric before anything is seen, as ``Process`` says it."""

    nearness: float
    is_even: bool
    has_costs: bool


# Few weights are better while few trainings are all there is (tables of timm results); with
# rungs, many short ones soon tell more of them (tables of short trainings).
BELIEFS = (_Belief(0.0, True, False), _Belief(1.0, False, True))
BELIEFS_OF_RUNGS = (_Belief(0.0, False, False), _Belief(1.0, False, True))


@dataclass(frozen=True)
class _Seen:
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


class FrontSampler(ProposalSampler):
    """Proposes what adds most to the front."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.candidates, request.seed)
        self._request = request
        self._space = request.candidates.space
        self._indices: dict[int, int] = {}
        self._fits: dict[tuple[int, int], Floats] = {}
        size = self._space.size
        rng = np.random.default_rng([request.seed, 1])
        sample = np.arange(size) if size <= SCALED else rng.integers(size, size=SCALED)
        self._scaling = Scaling(self._space.features(sample))
        self._start = Start(request, self._scaling)

    def _propose(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        seen = self._seen(study, trial)
        rng = np.random.default_rng([self._seed, trial.number])
        if len(seen.told) == 0 or len(seen.told) + len(seen.pending) < self._request.startup:
            n_recipes, tried = len(self._space.recipes), np.append(seen.told, seen.pending)
            number = self._start.choose(tried // n_recipes)
            index = number * n_recipes + int(rng.choice(self._candidates.recipes(number)))
            proposal = self._proposal("start", number)
        else:
            index, proposal = self._improve(seen, rng)
        study._storage.set_trial_system_attr(trial._trial_id, PROPOSAL, asdict(proposal))
        return self._space.choices(self._space.at(index))

    # ------------------------------------------------------------------ what was seen

    def _seen(self, study: Study, trial: FrozenTrial) -> _Seen:
        objectives, reference = self._request.costs.objectives, self._request.reference
        told, found, seconds, pending = [], [], [], []
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
            told.append(index)
            losses = reference.losses(metrics, objectives[:1])[:, 0]
            found.append(Climber(other.number, tuple(losses.tolist()), ()))
            share = self._request.rung_costs[len(metrics) - 1]
            seconds.append(other.user_attrs.get(TRAIN_S, np.nan) / share)
        n_rungs = len(self._request.rung_costs)
        means, _ = expected_losses(found, n_rungs)
        numbers = np.array(told, int)
        return _Seen(
            told=numbers,
            losses=np.column_stack([means, self._costs(numbers)]),
            is_full=np.array([len(climber.losses) == n_rungs for climber in found], bool),
            lowest=np.array([climber.losses[0] for climber in found], float),
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

    # ------------------------------------------------------------------ the improvement

    def _improve(self, seen: _Seen, rng: np.random.Generator) -> tuple[int, Proposal]:
        """Return the candidate with the largest expected gain."""
        n_scored = max(SCORED_LEAST, SCORED // (len(seen.told) + len(seen.pending)))
        asked = self._candidates.sample(n_scored, rng)
        architectures = asked // len(self._space.recipes)
        warp, predictions = self._predictions(seen, asked)
        cases = self._request.costs.points(architectures)
        gain = np.zeros(len(asked))
        for prediction in predictions:
            found = np.concatenate([seen.losses, prediction.pending])
            for weight, costs in cases:
                gain += weight * expected_improvement(
                    prediction.mean, prediction.spread, costs, found, warp
                )
        gain *= self._request.costs.chance(architectures) / len(predictions)
        gain *= np.prod([prediction.learning for prediction in predictions], axis=0)
        seconds = self._seconds(seen, asked)
        score = gain if seconds is None else gain / seconds
        best = int(rng.choice(np.flatnonzero(score == score.max())))
        full = seen.losses[seen.is_full]
        whole = hypervolume(full, np.zeros(full.shape[1]))
        mean = np.mean([p.mean[best] for p in predictions])
        band = BAND * np.sqrt(np.mean([p.spread[best] ** 2 for p in predictions]))
        expected = warp.back(mean + np.array([-band, 0.0, band]))
        objective = self._request.costs.objectives[0]
        chance = self._request.reference.values[objective.name]
        sign = 1.0 if objective.direction == "maximize" else -1.0
        low, metric, high = sorted((chance - sign * expected).tolist())
        proposal = self._proposal(
            "improvement",
            int(architectures[best]),
            metric=metric,
            metric_low=low,
            metric_high=high,
            gain=float(gain[best] / whole) if whole > 0 else None,
            train_s=None if seconds is None else float(seconds[best]),
        )
        return int(asked[best]), proposal

    def _predictions(self, seen: _Seen, asked: Ints) -> tuple[Warp, list[_Prediction]]:
        """Return what each process expects of the candidates' first loss, and on which scale."""
        # Worse than chance is no worse than chance.
        losses, lowest = np.minimum(seen.losses[:, 0], 0.0), np.minimum(seen.lowest, 0.0)
        n_fitted = _largest_step(len(losses))
        warp = self._warp(losses)
        warped = warp(losses)
        middle, scale = warped.mean(), max(float(warped.std()), FLAT)
        # Beside the loss whether the network learns at all.
        learns = np.where(losses < LEARNS * losses.min(), 0.0, -1.0)
        targets = np.column_stack([standardized(warped), learns])
        pending_costs = self._costs(seen.pending)
        plain = tuple(self._rows(indices) for indices in (seen.told, seen.pending, asked))
        costs = (seen.losses[:, 1:], pending_costs, self._costs(asked))
        found = []
        for number, belief in enumerate(BELIEFS_OF_RUNGS if self._has_rungs else BELIEFS):
            told, pending, open_ = _with(plain, costs, n_fitted) if belief.has_costs else plain
            process = Process(
                self._scaling.levels,
                told.numeric.shape[1],
                nearness=belief.nearness,
                is_even=belief.is_even,
            )
            if (number, n_fitted) not in self._fits:
                chosen = np.arange(n_fitted)
                if n_fitted > FITTED:
                    chosen = np.random.default_rng(n_fitted).permutation(n_fitted)[:FITTED]
                # At the lowest rung, whose losses never change: a resumed study finds the same.
                known = lowest[chosen]
                fitted = process.fit(told.take(chosen), standardized(self._warp(known)(known)))
                self._fits[number, n_fitted] = fitted
            theta = self._fits[number, n_fitted]
            believed = np.empty((0, 2))
            if len(pending):  # what is in training is taken to give what is expected of it
                believed, _ = process.predict(theta, told, targets, pending)
            rows, values = told.join(pending), np.concatenate([targets, believed])
            means, spread = process.predict(theta, rows, values, open_)
            expected = warp.back(believed[:, 0] * scale + middle)
            found.append(
                _Prediction(
                    mean=means[:, 0] * scale + middle,
                    spread=spread * scale,
                    learning=np.clip(1 + means[:, 1], 0.0, 1.0),
                    pending=np.column_stack([expected, pending_costs]),
                )
            )
        return warp, found

    @property
    def _has_rungs(self) -> bool:
        return len(self._request.rung_costs) > 1

    def _warp(self, losses: Floats) -> Warp:
        return AS_IT_IS if self._has_rungs else Warp.of(losses)

    def _rows(self, indices: Ints) -> Rows:
        return self._scaling.rows(self._space.features(indices))

    def _costs(self, indices: Ints) -> Floats:
        """Return the expected losses of candidates' costs, ``(n, n_costs)``."""
        return self._request.costs.expected(indices // len(self._space.recipes))

    def _seconds(self, seen: _Seen, asked: Ints) -> Floats | None:
        """Return the seconds that trainings will take, where time is what runs out."""
        known = np.flatnonzero(seen.seconds > 0)
        if not self._request.is_timed or len(known) < 2:
            return None
        return _regressed_seconds(
            self._rows(seen.told[known]).numeric,
            np.log(seen.seconds[known]),
            self._rows(asked).numeric,
        )

    def _proposal(self, chosen_by: str, number: int, **expected: float | None) -> Proposal:
        costs = self._request.costs
        is_measured = len(costs.points(np.array([number]))) == 1
        return Proposal(chosen_by, costs.values(number), is_measured, **expected)


@dataclass(frozen=True)
class _Prediction:
    """What one process expects.

    Attributes:
        mean: Of the losses, on the scale that comes with it.
        spread: Their standard deviation there.
        learning: How likely a network learns at all (``LEARNS``), whatever its mean.
        pending: Losses of what is in training, ``(n_pending, n_objectives)``.
    """

    mean: Floats
    spread: Floats
    learning: Floats
    pending: Floats


def _with(rows: tuple[Rows, ...], costs: tuple[Floats, ...], n_fitted: int) -> tuple[Rows, ...]:
    """Return rows with their costs beside, in units of the first trained ones' spread."""
    first = costs[0][:n_fitted]
    level, reach = first.mean(axis=0), np.maximum(first.std(axis=0), FLAT)
    return tuple(
        Rows(np.column_stack([each.numeric, (cost - level) / reach]), each.categorical)
        for each, cost in zip(rows, costs, strict=True)
    )


def _largest_step(n: int) -> int:
    """Return the number of trials, up to ``n``, from which hyperparameters are found."""
    if n <= REFIT_EACH:
        return n
    step = max(REFIT_STEP, n // REFIT_SHARE)
    return n - n % step


def _regressed_seconds(told: Floats, logs: Floats, asked: Floats) -> Floats:
    """Return seconds by a ridge on standardized descriptors, within twice what was seen."""
    middle, logs_middle = told.mean(axis=0), logs.mean()
    centered = told - middle
    gram = centered.T @ centered + np.eye(told.shape[1])
    slopes = np.linalg.solve(gram, centered.T @ (logs - logs_middle))
    expected = logs_middle + (asked - middle) @ slopes
    seconds: Floats = np.exp(np.clip(expected, logs.min() - np.log(2), logs.max() + np.log(2)))
    return seconds
