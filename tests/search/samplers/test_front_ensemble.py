"""What the processes of the sampler ``front`` make of published accuracy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from archfront.search.catalog import Published, Tag
from archfront.search.front.pareto import front_mask
from archfront.search.records.objectives import Reference, objectives_for
from archfront.search.samplers.base import OpenCandidates
from archfront.search.samplers.ensemble import (
    KNOWN,
    KNOWN_PENDING,
    PRIORS,
    PUBLISHED_WORTH,
    Ensemble,
    Observations,
    known_rows,
    weight_of_published,
)
from archfront.search.samplers.request import Request
from archfront.search.samplers.surrogate import Scaling
from archfront.search.space.cost_model import CostModel
from archfront.search.space.space import Space
from archfront.trainers.spec import Weights
from tests.support.small_loop import Knows
from tests.support.small_spaces import backbone, mixed_space, recipe_config

N, N_OBSERVED = 60, 20


def published_space(*, unknown: int = 0) -> Space:
    """Return backbones whose published top-1 is drawn; of the last ``unknown`` there is none."""
    top1 = np.random.default_rng(1).uniform(60, 90, N)
    backbones = tuple(
        replace(
            backbone(f"b{k}", f"family_{k % 3}", 1.0 + k),
            tags=(Tag("t", "mit"),),
            published=() if k >= N - unknown else (Published("t", 224, float(top1[k])),),
        )
        for k in range(N)
    )
    recipe = recipe_config(lr=(0.001,), augment=("light",))
    space = mixed_space(backbones, heads=("avg",), input_sizes=(64,), recipe=recipe)
    return replace(space, weights={name: Weights("pretrained", "t") for name in space.weights})


def from_scratch(space: Space) -> Space:
    """Return a space of untrained networks, of which nothing is published."""
    return replace(space, weights={name: Weights() for name in space.weights})


def ensemble_of(space: Space) -> Ensemble:
    goals = objectives_for("accuracy", ("latency_ms",))
    reference = Reference({"accuracy": 0.1, "latency_ms": 100.0})
    knows: Any = Knows(space)
    costs = CostModel(space, knows, goals, {}, reference)
    request = Request(OpenCandidates(space), 0, 4, costs, reference, rung_costs=(1.0,))
    return Ensemble(request, Scaling(space.features(np.arange(space.size))))


def seen_of(ensemble: Ensemble, accuracies: np.ndarray) -> Observations:
    observed = np.random.default_rng(2).permutation(N)[:N_OBSERVED]
    losses = 0.1 - accuracies[observed]
    return Observations(
        observed=observed,
        losses=np.column_stack([losses, ensemble.costs(observed)]),
        is_full=np.ones(N_OBSERVED, bool),
        lowest_rung=losses,
        pending=np.empty(0, int),
        seconds=np.full(N_OBSERVED, np.nan),
    )


@pytest.mark.parametrize("unknown", [0, 5])
def test_a_publication_that_tells_is_listened_to(unknown: int) -> None:
    space = published_space(unknown=unknown)
    assert space.published is not None
    assert np.isnan(space.published).sum() == unknown
    accuracies = np.nan_to_num(space.published, nan=0.75) ** 2
    ensemble = ensemble_of(space)
    seen = seen_of(ensemble, accuracies)
    candidates = np.setdiff1d(np.arange(N), seen.observed)
    warp, predictions = ensemble.predict(seen, candidates)
    assert len(predictions) == len(PRIORS) + 1
    errors = [
        np.abs(warp.back(p.mean) - (0.1 - accuracies[candidates])).mean() for p in predictions
    ]
    assert errors[-1] < min(errors[:-1]) / 2
    # As much as the others together, times what it is worth so early.
    weights = [p.weight for p in predictions]
    assert sum(weights) == pytest.approx(1)
    assert weights[-1] / weights[0] == pytest.approx(PUBLISHED_WORTH / N_OBSERVED)


def test_a_publication_that_misleads_is_not() -> None:
    space = published_space()
    ensemble = ensemble_of(space)
    # Size tells all, and with what was published it has nothing to do.
    accuracies = 0.5 + 0.3 * np.log10(1.0 + np.arange(N)) / 2
    seen = seen_of(ensemble, accuracies)
    _, predictions = ensemble.predict(seen, np.setdiff1d(np.arange(N), seen.observed))
    assert predictions[-1].weight < predictions[0].weight / 4


def test_without_a_publication_all_processes_judge_alike() -> None:
    ensemble = ensemble_of(from_scratch(published_space()))
    seen = seen_of(ensemble, np.linspace(0.2, 0.8, N))
    _, predictions = ensemble.predict(seen, np.setdiff1d(np.arange(N), seen.observed))
    assert [p.weight for p in predictions] == [0.5, 0.5]


def test_beside_a_publication_the_process_that_is_alike_is_less_sure() -> None:
    space = published_space()
    spreads = []
    for of in (from_scratch(space), space):
        ensemble = ensemble_of(of)
        seen = seen_of(ensemble, 0.5 + 0.3 * np.sin(np.arange(N) / 8))
        _, predictions = ensemble.predict(seen, np.setdiff1d(np.arange(N), seen.observed))
        spreads.append(predictions[0].spread)
    assert (spreads[1] > spreads[0]).mean() > 0.9


@pytest.mark.parametrize("n_pending", [0, 30, 10_000])
def test_of_very_many_trainings_those_next_to_the_front_and_some_others_are_known(
    n_pending: int,
) -> None:
    rng = np.random.default_rng(0)

    def seen(n: int) -> Observations:
        losses, none = rng.uniform(-1, 0, (n, 2)), np.zeros(n)
        pending = np.arange(n_pending)
        return Observations(np.arange(n), losses, np.ones(n, bool), none, pending, none)

    most = KNOWN - min(n_pending, KNOWN_PENDING)
    assert known_rows(seen(most)) == slice(None)
    many = seen(3 * KNOWN)
    rows = known_rows(many)
    assert len(np.unique(rows)) == most
    assert np.isin(np.flatnonzero(front_mask(many.losses)), rows).all()
    assert (rows >= KNOWN).sum() > most / 2  # neither the first nor the last ones alone
    assert (rows < 2 * KNOWN).sum() > most / 2


def test_a_publication_counts_for_most_early_and_no_more_for_telling_much() -> None:
    assert weight_of_published(0.0, PUBLISHED_WORTH // 3) == pytest.approx(3)
    assert weight_of_published(0.0, PUBLISHED_WORTH) == pytest.approx(1)
    assert weight_of_published(0.0, 10 * PUBLISHED_WORTH) == pytest.approx(1)
    assert weight_of_published(50.0, PUBLISHED_WORTH) == pytest.approx(1)
    assert weight_of_published(-1.5, PUBLISHED_WORTH) == pytest.approx(np.exp(-3))
