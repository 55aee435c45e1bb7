"""What the sampler ``front`` rests on: expected gain, scale of losses, known costs."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import optuna
import pytest
from numpy.typing import NDArray

from archfront.search.front import ehvi
from archfront.search.front.ehvi import expected_improvement
from archfront.search.front.pareto import hypervolume
from archfront.search.front.warp import Warp
from archfront.search.records.objectives import Reference, objectives_for
from archfront.search.records.optuna_compat import OtherTrials, write_system_attr
from archfront.search.records.store import PROPOSAL, RUNGS
from archfront.search.samplers.base import OpenCandidates, Written
from archfront.search.samplers.request import MANY
from archfront.search.space.cost_model import CostModel
from archfront.search.space.space import Space
from tests.support.small_loop import LIMIT, STARTUP, Knows, Loop, sampler_of, simulated
from tests.support.small_spaces import mixed_space, recipe_config

Floats = NDArray[np.float64]

# ------------------------------------------------------------------ the expected gain


@pytest.mark.slow
@pytest.mark.parametrize("n_costs", [0, 1, 2])
def test_the_expected_gain_is_the_mean_of_drawn_gains(n_costs: int) -> None:
    rng = np.random.default_rng(n_costs)
    found = -rng.uniform(0, 1, (6, 1 + n_costs))
    mean, spread = -rng.uniform(0, 1, 5), rng.uniform(0.05, 0.4, 5)
    costs = -rng.uniform(0, 1, (5, n_costs))
    gains = expected_improvement(mean, spread, costs, found)
    origin = np.zeros(1 + n_costs)
    before = hypervolume(found, origin)
    draws = rng.normal(size=2000)
    for i in range(5):
        volumes = [
            hypervolume(np.vstack([found, [mean[i] + spread[i] * z, *costs[i]]]), origin)
            for z in draws
        ]
        drawn_gains = np.array(volumes) - before
        error = drawn_gains.std() / np.sqrt(len(draws))
        assert abs(gains[i] - drawn_gains.mean()) < 4 * error + 1e-9


@pytest.mark.parametrize("n_costs", [1, 2])
def test_of_many_found_candidates_the_dominated_ones_change_no_gain(
    n_costs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(n_costs)
    found = -rng.uniform(-0.1, 1, (60, 1 + n_costs))
    mean, spread = -rng.uniform(0, 1, 20), rng.uniform(0.05, 0.4, 20)
    costs = -rng.uniform(0, 1, (20, n_costs))
    wanted = expected_improvement(mean, spread, costs, found)
    monkeypatch.setattr(ehvi, "ALL_KEPT", 10)
    assert expected_improvement(mean, spread, costs, found) == pytest.approx(wanted, abs=1e-12)


def gain_by_cells(mean: float, spread: float, costs: Floats, found: Floats, warp: Warp) -> float:
    """Return the expected gain of one candidate, cell by cell of the grid of observed costs."""
    edges = [np.unique([-np.inf, *found[:, 1 + c], 0.0]) for c in range(len(costs))]
    total = 0.0
    for cell in itertools.product(*(pairwise(edge) for edge in edges)):
        lows, highs = np.array(cell).T
        sides = np.maximum(highs - np.maximum(lows, costs), 0)
        is_no_dearer = (found[:, 1:] <= lows).all(axis=1)
        level = found[is_no_dearer, 0].min(initial=0.0)
        gain = warp.undercut(np.array(level), np.array(mean), np.array(spread))
        total += float(sides.prod() * gain)
    return total


@pytest.mark.parametrize("n_costs", [1, 2, 3, 4])
@pytest.mark.parametrize("zero", [None, -1.3])
def test_the_expected_gain_is_the_sum_over_the_cells_of_a_grid(
    n_costs: int, zero: float | None
) -> None:
    rng, warp = np.random.default_rng(n_costs), Warp(zero)
    found = -rng.uniform(0, 1, (5, 1 + n_costs))
    found[3, 1] = found[2, 1]
    mean, spread = warp(-rng.uniform(0, 1, 4)), rng.uniform(0.05, 0.4, 4)
    costs = -rng.uniform(-0.1, 1, (4, n_costs))
    gains = expected_improvement(mean, spread, costs, found, warp)
    cells = [gain_by_cells(mean[i], spread[i], costs[i], found, warp) for i in range(4)]
    assert gains == pytest.approx(cells, abs=1e-12)
    assert gains.max() > 0


def test_many_costs_of_many_trainings_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of three costs and 40 trainings took 130 MB, one of 100 several GB."""
    rng = np.random.default_rng(0)
    size = rng.uniform(0.05, 0.95, (40, 1))  # larger ones are better and cost more of everything
    found = -np.hstack([1 - size**2, size * rng.uniform(0.9, 1, (40, 3))])
    mean, spread = -rng.uniform(0, 1, 200), rng.uniform(0.05, 0.4, 200)
    costs = -rng.uniform(0, 1, (200, 3))
    gains, peaks = [], []
    for most_bytes in (ehvi.MOST_BYTES, 200_000):
        monkeypatch.setattr(ehvi, "MOST_BYTES", most_bytes)
        tracemalloc.start()
        gains.append(expected_improvement(mean, spread, costs, found))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 15e6
    assert peaks[1] < 1.5e6
    assert gains[1] == pytest.approx(gains[0], abs=1e-12)


def test_nothing_is_gained_beyond_the_reference_and_all_before_anything_is_found() -> None:
    nothing = np.empty((0, 2))
    mean, spread = np.array([-0.5, -0.5]), np.array([1e-9, 1e-9])
    gains = expected_improvement(mean, spread, np.array([[-2.0], [0.5]]), nothing)
    assert gains == pytest.approx([1.0, 0.0])


# ------------------------------------------------------------------ the scale of losses


@pytest.mark.parametrize("zero", [None, -1.3])
def test_what_is_expected_below_a_level_is_the_mean_of_draws(zero: float | None) -> None:
    warp = Warp(zero)
    mean, spread = warp(np.array([-0.9, -0.4])), np.array([0.2, 0.5])
    levels = np.array([-1.0, -0.5, 0.0])
    expected = warp.undercut(levels, mean[:, None], spread[:, None])
    draws = np.random.default_rng(0).normal(size=(2, 100_000))
    losses = warp.back(mean[:, None] + spread[:, None] * draws)
    for i, level in enumerate(levels):
        below = np.maximum(level - losses, 0)
        error = below.std(axis=1) / np.sqrt(below.shape[1])
        assert (np.abs(expected[:, i] - below.mean(axis=1)) < 4 * error).all()
    assert warp.back(warp(levels)) == pytest.approx(levels)
    unsure = warp.undercut(levels, mean[:, None], np.array([[30.0], [300.0]]))
    assert np.isfinite(unsure).all()


def test_losses_of_which_few_are_much_worse_are_seen_on_a_logarithm() -> None:
    rng = np.random.default_rng(0)
    even, tailed = rng.normal(-0.5, 0.1, 40), np.exp(rng.normal(size=40)) - 5
    assert Warp.of(even) == Warp(None)
    assert Warp.of(-tailed) == Warp(None)  # few much better ones
    logged = Warp.of(tailed)
    assert logged.zero is not None
    assert logged.zero < tailed.min()
    assert Warp.of(tailed[:4]) == Warp(None)  # too few to tell
    assert Warp.of(np.zeros(5)) == Warp(None)


# ------------------------------------------------------------------ the costs


def costs_of(space: Space, *, is_blank: bool, limit: float | None = None) -> CostModel:
    goals = objectives_for("accuracy", ("latency_ms", "params_m"))
    reference = Reference({"accuracy": 0.1, "latency_ms": 100.0, "params_m": 50.0})
    knows: object = Knows(space, is_blank=is_blank)
    return CostModel(space, knows, goals, {"latency_ms": limit}, reference)  # type: ignore[arg-type]


def test_measured_costs_are_certain_and_others_a_band() -> None:
    space = mixed_space()
    numbers = np.arange(len(space.architectures))
    ((weight, losses),) = costs_of(space, is_blank=False).points(numbers)
    wanted = [simulated(space, n * len(space.recipes))[1:] for n in numbers]
    assert weight == 1
    assert losses == pytest.approx(np.log2(np.array(wanted) / [100.0, 50.0]))
    blank = costs_of(space, is_blank=True)
    cases = blank.points(numbers)
    assert sum(weight for weight, _ in cases) == pytest.approx(1)
    assert (cases[2][1] > cases[1][1]).all()
    known = Knows(space).measured()
    for architecture in list(known)[:8]:
        blank.learn(architecture, known[architecture])
    assert blank.points(numbers[:8])[0][1] == pytest.approx(losses[:8])
    middle = blank.points(numbers[8:])[1][1][:, 0]
    assert np.corrcoef(middle, losses[8:, 0])[0, 1] > 0.8


def test_what_is_measured_over_a_limit_has_no_chance_and_the_unknown_some() -> None:
    space = mixed_space()
    numbers = np.arange(len(space.architectures))
    cost = np.array([simulated(space, n * len(space.recipes))[1] for n in numbers])
    known = costs_of(space, is_blank=False, limit=LIMIT).chance(numbers)
    assert known.tolist() == (cost <= LIMIT).tolist()
    unknown = costs_of(space, is_blank=True, limit=LIMIT).chance(numbers)
    assert ((unknown > 0) & (unknown < 1)).all()


# ------------------------------------------------------------------ the sampler


def volume(loop: Loop) -> float:
    goals = objectives_for("accuracy", ("latency_ms",))
    reference = Reference({"accuracy": 0.1, "latency_ms": 100.0})
    values = [t.values for t in loop.study.get_trials(deepcopy=False) if t.values]
    return hypervolume(reference.losses(values, goals), np.zeros(2))


def test_fewer_trainings_are_needed_than_by_chance() -> None:
    space = mixed_space()
    found = {}
    for name in ("front", "random"):
        loops = [Loop(name, space, seed=seed) for seed in range(3)]
        for loop in loops:
            loop.run(STARTUP + 8)
        found[name] = np.mean([volume(loop) for loop in loops])
    assert found["front"] > found["random"]


def test_the_start_is_spread_over_cost_and_each_proposal_says_why() -> None:
    space = mixed_space()
    loop = Loop("front", space, seed=3)
    indices = loop.run(STARTUP + 2)
    notes = [t.system_attrs[PROPOSAL] for t in loop.study.get_trials(deepcopy=False)]
    assert [n["chosen_by"] for n in notes] == ["start"] * STARTUP + ["improvement"] * 2
    costs = [simulated(space, i)[1] for i in indices]
    assert [n["costs"]["latency_ms"] for n in notes] == pytest.approx(costs)
    assert max(costs[:STARTUP]) > 10 * min(costs[:STARTUP])
    for note in notes[STARTUP:]:
        assert note["metric_low"] < note["metric"] < note["metric_high"]
        assert note["gain"] > 0


def test_what_is_known_to_be_over_a_limit_is_not_proposed_while_there_is_else() -> None:
    space = mixed_space()
    loop = Loop("front", space, seed=1)
    loop.sampler = sampler_of("front", loop.candidates, 1, limits={"latency_ms": LIMIT})
    loop.study.sampler = loop.sampler
    assert all(simulated(space, i)[1] <= LIMIT for i in loop.run(STARTUP + 6))


def test_a_study_goes_well_with_no_cost_known_beforehand() -> None:
    loop = Loop("front", mixed_space(), seed=2)
    loop.sampler = sampler_of("front", loop.candidates, 2, is_blank=True)
    loop.study.sampler = loop.sampler
    assert len(set(loop.run(STARTUP + 4))) == STARTUP + 4


@pytest.mark.parametrize("luck", [0.0, 0.01])
def test_what_never_learns_is_soon_left_alone(luck: float) -> None:
    """However little it costs, and however much it would gain if it learned."""
    space, rng, seed = mixed_space(), np.random.default_rng(1), 0
    loop = Loop("front", space, seed=seed)
    proposed = []
    for _ in range(STARTUP + 20):
        trial, index = loop.ask()
        accuracy, cost, _ = simulated(space, index)
        never_learns = cost < 20
        by_chance = 0.1 + luck * rng.normal()
        loop.study.tell(trial, [by_chance if never_learns else accuracy, cost])
        proposed.append(never_learns)
    assert any(proposed)
    assert sum(proposed[STARTUP:]) <= 10


def test_seconds_count_where_the_budget_is_time() -> None:
    space = mixed_space()
    found = {}
    for is_timed in (False, True):
        candidates = OpenCandidates(space)
        sampler = sampler_of("front", candidates, 0)
        sampler._request = replace(sampler._request, is_timed=is_timed)
        loop = Loop("front", space)
        loop.candidates, loop.sampler, loop.study.sampler = candidates, sampler, sampler
        for _ in range(STARTUP + 3):
            trial, index = loop.ask()
            trial.set_user_attr("train_s", float(simulated(space, index)[1] ** 2))
            loop.tell(trial, index)
        (*_, last) = loop.study.get_trials(deepcopy=False)
        found[is_timed] = (last.system_attrs[PROPOSAL]["train_s"], volume(loop))
    assert found[False][0] is None
    assert found[True][0] > 0


def test_trials_in_training_are_counted() -> None:
    """What is in training takes some of the gain that is left, as if its result were told."""
    space = mixed_space()
    gains = []
    for is_pending in (True, False):
        loop = Loop("front", space, seed=5)
        loop.run(STARTUP)
        trial, _ = loop.ask()
        if not is_pending:
            loop.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        loop.ask()
        (*_, last) = loop.study.get_trials(deepcopy=False)
        gains.append(last.system_attrs[PROPOSAL]["gain"])
    assert gains[0] < 0.9 * gains[1]


def low_only(n_full: int) -> Loop:
    """Return a study of two rungs: eight trials, some trained in full, the others to the lower.

    A short training reaches 0.2 less.
    """
    loop = Loop("front", mixed_space(), seed=5, rung_costs=(0.25, 1.0))
    for number in range(8):
        trial, index = loop.ask()
        accuracy = simulated(loop.space, index)[0]
        metrics = [accuracy - 0.2, accuracy][: 2 if number < n_full else 1]
        write_system_attr(loop.study, trial, RUNGS, metrics)
        if number < n_full:
            loop.tell(trial, index)
    return loop


def test_several_proposals_of_one_fit_are_those_of_a_fit_each_while_nothing_ends() -> None:
    space = mixed_space(recipe=recipe_config(lr=(0.001, 0.002, 0.004)))
    loop = Loop("front", space)
    loop.run(8)
    for _ in range(2 * MANY + 1):
        loop.ask()
    assert loop.sampler._ahead is not None
    assert loop.sampler._ahead[1] == 2
    ahead = loop.ask()[1]
    assert loop.sampler._ahead is not None
    assert loop.sampler._ahead[1] == 1
    # A sampler that is new to the same records fits to all that are in training.
    trial = loop.study.get_trials(deepcopy=False)[-1]
    before = OtherTrials(loop.study, trial)
    fresh = sampler_of("front", loop.candidates, seed=0)
    loop.candidates._is_open.flat[ahead] = True
    assert space.index(space.suggest(Written(fresh._propose(before, trial)))) == ahead


def test_what_lower_rungs_gave_is_learned_from() -> None:
    """Of a short training it is known how much a full one adds once some were trained in full."""
    expected = {}
    for n_full in (0, 6):
        loop = low_only(n_full)
        _, index = loop.ask()
        (*_, last) = loop.study.get_trials(deepcopy=False)
        proposal = last.system_attrs[PROPOSAL]
        assert proposal["chosen_by"] == "improvement"
        assert (proposal["gain"] is None) == (n_full == 0)
        expected[n_full] = proposal["metric"] - simulated(loop.space, index)[0]
    assert abs(expected[6]) < 0.1
    assert expected[0] < expected[6]


def test_a_study_with_rungs_goes_on_with_the_same_proposal() -> None:
    """Hyperparameters are of the lowest rung, so they are the same whenever they are found."""
    loops = [low_only(3), low_only(3)]
    asked = []
    for loop, is_resumed in zip(loops, (False, True), strict=True):
        loop.ask()
        trial = loop.study.get_trials(deepcopy=False)[4]
        metric = trial.system_attrs[RUNGS][0]
        write_system_attr(loop.study, trial, RUNGS, [metric, metric + 0.3])
        if is_resumed:
            loop.study.sampler = sampler_of("front", loop.candidates, 5, rung_costs=(0.25, 1.0))
        asked.append([loop.ask()[1] for _ in range(3)])
    assert asked[0] == asked[1]
