"""Every sampler proposes whole, open candidates, and the same ones after a resume."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import Trial, TrialState

from archfront.search.records.optuna_compat import locked_journal as journal
from archfront.search.records.optuna_compat import reopened
from archfront.search.samplers import SAMPLERS
from archfront.search.samplers.base import OpenCandidates, distributions
from tests.support.small_loop import LIMIT, STARTUP, Loop, simulated
from tests.support.small_spaces import MIXED, lone_space, mixed_space, recipe_config

# A proposal of the Gaussian process takes a tenth of a second, so it goes fewer steps.
STEPS = {"gp": STARTUP + 3}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep Optuna's lines about every study out of the output."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@cache
def uninterrupted(name: str, seed: int, n: int, limit: float = float("inf")) -> list[int]:
    """Return what a run that nothing stops proposes."""
    return Loop(name, mixed_space(), seed=seed, limit=limit).run(n)


def steps(name: str, wanted: int) -> int:
    return min(wanted, STEPS.get(name, wanted))


@pytest.mark.parametrize("name", SAMPLERS)
class TestSamplerContract:
    @pytest.mark.slow
    def test_the_same_seed_proposes_the_same(self, name: str) -> None:
        n = steps(name, STARTUP * 4 + 1)
        assert Loop(name, mixed_space(), seed=5, limit=LIMIT).run(n) == uninterrupted(
            name, 5, n, limit=LIMIT
        )

    @pytest.mark.slow
    def test_another_seed_proposes_something_else(self, name: str) -> None:
        n = STARTUP + 2
        runs = [tuple(Loop(name, mixed_space(), seed=seed).run(n)) for seed in range(4)]
        assert len(set(runs)) == 4
        assert len({run[0] for run in runs}) > 1

    @pytest.mark.slow
    def test_a_small_space_is_proposed_whole_and_nothing_twice(self, name: str) -> None:
        is_slow = name == "gp"
        space = mixed_space(
            (MIXED[1], MIXED[4], MIXED[5]),
            input_sizes=(224,) if is_slow else (32, 64, 224),
            recipe=recipe_config(lr=(0.001,) if is_slow else (0.001, 0.003)),
        )
        loop = Loop(name, space)
        assert sorted(loop.run(space.size + 1)) == list(range(space.size))
        assert not loop.candidates.has_any()

    @pytest.mark.slow
    @pytest.mark.parametrize("cut", [1, STARTUP + 1, STARTUP * 3])
    def test_a_resumed_study_goes_on_with_the_same_proposals(
        self, name: str, cut: int, tmp_path: Path
    ) -> None:
        n = steps(name, STARTUP * 4 + 1)
        cut = min(cut, n - 1)
        whole = uninterrupted(name, 5, n, limit=LIMIT)
        path = tmp_path / "optuna.journal"
        first = Loop(name, mixed_space(), seed=5, limit=LIMIT, storage=journal(path)).run(cut)
        second = Loop(name, mixed_space(), seed=5, limit=LIMIT, storage=journal(path)).run(n - cut)
        assert first + second == whole

    @pytest.mark.slow
    def test_a_trial_left_between_two_axes_goes_on_to_the_same_candidate(
        self, name: str, tmp_path: Path
    ) -> None:
        done = STARTUP + 1
        whole = uninterrupted(name, 1, done + 1)
        n_axes = len(mixed_space().choices(mixed_space().at(whole[-1])))
        for written in (0, 1, 3, n_axes - 1, n_axes):
            path = tmp_path / f"{written}.journal"
            loop = Loop(name, mixed_space(), seed=1, storage=journal(path))
            assert loop.run(done) == whole[:-1]
            half = loop.study.ask()
            with contextlib.suppress(KeyboardInterrupt):
                loop.space.suggest(Dying(half, written))
            again = Loop(name, mixed_space(), seed=1, storage=journal(path))
            (frozen,) = again.study.get_trials(states=(TrialState.RUNNING,))
            assert len(frozen.params) == written
            trial = reopened(again.study, frozen)
            assert again.space.index(again.space.suggest(trial)) == whole[-1]

    @pytest.mark.slow
    def test_a_half_chosen_trial_keeps_its_axes_when_the_rest_is_closed(self, name: str) -> None:
        """The trials around it have ended meanwhile and closed what it would have become.

        It once asked for an axis that was not part of the new proposal, on every resume again.
        """
        space = mixed_space()
        for written in (1, 5):
            loop = Loop(name, space, seed=2)
            loop.run(STARTUP + 1)
            half = loop.study.ask()
            with pytest.raises(KeyboardInterrupt):
                space.suggest(Dying(half, written))
            before = dict(half.params)
            for index in range(space.size):
                answers = space.choices(space.at(index))
                agrees = before.items() <= answers.items()
                if not agrees or index % 3:
                    loop.candidates.close(index)
            trial = reopened(loop.study, half)
            index = space.index(space.suggest(trial))
            assert before.items() <= trial.params.items()
            agreeing = [i for i in range(space.size) if loop.candidates.is_open(i)]
            assert not agreeing or index in agreeing

    def test_failed_trials_are_no_end(self, name: str) -> None:
        loop = Loop(name, mixed_space(), seed=4)
        n = steps(name, 12)
        for number in range(n):
            trial, index = loop.ask()
            loop.tell(trial, index, fails=number % 2 == 0)
        states = Counter(t.state for t in loop.study.get_trials(deepcopy=False))
        assert states == {TrialState.FAIL: n - n // 2, TrialState.COMPLETE: n // 2}

    def test_nothing_but_failures_is_no_end(self, name: str) -> None:
        loop = Loop(name, mixed_space(), limit=0.0)
        tried = loop.run(1000)
        assert len(tried) == len(loop.space.architectures)

    @pytest.mark.slow
    def test_an_architecture_over_a_limit_never_comes_again(self, name: str) -> None:
        space = mixed_space()
        loop = Loop(name, space, limit=LIMIT)
        indices = loop.run(steps(name, 24))
        numbers = [space.architecture_number(space.at(i).architecture) for i in indices]
        over = [n for n, i in zip(numbers, indices, strict=True) if simulated(space, i)[1] > LIMIT]
        assert over
        assert len(over) == len(set(over))

    def test_a_space_of_one_is_proposed_once(self, name: str) -> None:
        loop = Loop(name, lone_space())
        assert loop.run(3) == [0]
        assert not loop.candidates.has_any()

    @pytest.mark.parametrize("objectives", [1, 2, 3])
    def test_one_two_or_three_objectives(self, name: str, objectives: int) -> None:
        loop = Loop(name, mixed_space(), objectives=objectives)
        assert len(loop.run(STARTUP + 3)) == STARTUP + 3

    def test_what_is_recorded_is_the_candidate(self, name: str) -> None:
        space = mixed_space()
        loop = Loop(name, space, seed=8)
        indices = loop.run(steps(name, 16))
        for frozen, index in zip(loop.study.get_trials(deepcopy=False), indices, strict=True):
            assert frozen.params == space.choices(space.at(index))
            assert frozen.distributions.items() <= distributions(space).items()

    def test_trials_in_flight_are_not_proposed_again(self, name: str) -> None:
        loop = Loop(name, mixed_space(), seed=6)
        flights = [loop.ask() for _ in range(3)]
        indices = [index for _, index in flights]
        for _ in range(steps(name, 12) - 3):
            loop.tell(*flights.pop(0))
            flights.append(loop.ask())
            indices.append(flights[-1][1])
        assert len(set(indices)) == len(indices)


class Dying:
    """A trial whose driver dies when it asks for one axis more than so many."""

    def __init__(self, trial: Trial, axes: int) -> None:
        self._trial, self._left = trial, axes

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self._count()
        return self._trial.suggest_categorical(name, choices)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        self._count()
        return self._trial.suggest_int(name, low, high)

    def _count(self) -> None:
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1


def test_nsga2_resumes_over_many_generations(tmp_path: Path) -> None:
    n = STARTUP * 8
    whole = Loop("nsga2", mixed_space(), seed=9).run(n)
    path = tmp_path / "optuna.journal"
    parts = []
    for _ in range(4):
        parts += Loop("nsga2", mixed_space(), seed=9, storage=journal(path)).run(n // 4)
    assert parts == whole
    study = Loop("nsga2", mixed_space(), storage=journal(path)).study
    generations = {
        value
        for trial in study.get_trials(deepcopy=False)
        for key, value in trial.system_attrs.items()
        if key.endswith(":generation")
    }
    assert len(generations) >= 7


def test_a_trial_that_was_begun_goes_on_when_nothing_is_open_any_more() -> None:
    """The trials around it closed the rest of the space; a dead end would end every resume."""
    loop = Loop("random", mixed_space())
    begun = loop.study.ask()
    for index in range(loop.space.size):
        loop.candidates.close(index)
    trial = reopened(loop.study, begun)
    candidate = loop.space.suggest(trial)
    assert trial.params == loop.space.choices(candidate)


def test_a_sampler_that_repeats_itself_is_helped_out() -> None:
    """Its first answer is taken once; then the choice is uniform over what is open."""
    constant = optuna.samplers.RandomSampler
    space = mixed_space()
    loop = Loop("", space, make=lambda seed: constant(seed=1))
    indices = loop.run(space.size)
    assert sorted(indices) == list(range(space.size))


def test_a_sampler_may_answer_everything_at_once() -> None:
    """What it says of axes that the candidate does not have is left out."""

    class Fixed(optuna.samplers.RandomSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return distributions(space)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {
                name: d.choices[0] if hasattr(d, "choices") else d.high
                for name, d in search_space.items()
            }

    space = mixed_space()
    loop = Loop("", space, make=lambda seed: Fixed(seed=seed))
    trial, index = loop.ask()
    assert space.at(index).architecture.backbone == "mobile_a"
    assert trial.params == space.choices(space.at(index))
    assert "size@resnet" not in trial.params


def test_every_axis_of_a_space_is_declared_once_with_all_its_choices() -> None:
    space = mixed_space()
    found = distributions(space)
    for index in range(space.size):
        assert space.choices(space.at(index)).keys() <= found.keys()
    assert found["size@resnet"] == optuna.distributions.CategoricalDistribution(
        ["resnet_a", "resnet_b", "resnet_c"]
    )
    assert found["input_size#"] == optuna.distributions.IntDistribution(0, 2)


# ------------------------------------------------------------------ open candidates


@pytest.mark.parametrize("seed", range(20))
def test_open_candidates_agree_with_a_plain_set_after_any_operations(seed: int) -> None:
    space = mixed_space()
    recipes = len(space.recipes)
    chance = random.Random(seed)
    rng = np.random.default_rng(seed)
    candidates, plain = OpenCandidates(space), set(range(space.size))
    for _ in range(chance.randrange(1, 300)):
        index = chance.randrange(space.size)
        first = index - index % recipes
        match chance.randrange(4):
            case 0:
                candidates.close_architecture(index)
                plain -= set(range(first, first + recipes))
            case 1 if plain:
                drawn = candidates.draw(rng)
                assert drawn in plain
                candidates.close(drawn)
                plain.discard(drawn)
            case _:
                candidates.close(index)
                plain.discard(index)
        assert candidates.has_any() is bool(plain)
    assert {i for i in range(space.size) if candidates.is_open(i)} == plain
    assert candidates.counts().sum() == len(plain)
    expected = [len(plain & set(range(n, n + recipes))) for n in range(0, space.size, recipes)]
    assert candidates.counts().tolist() == expected


def test_an_open_candidate_is_drawn_uniformly() -> None:
    space = mixed_space()
    candidates = OpenCandidates(space)
    for index in range(space.size):
        if index % 7 and index != 4:
            candidates.close(index)
    candidates.close_architecture(28)
    rng = np.random.default_rng(0)
    counts = Counter(candidates.draw(rng) for _ in range(16_000))
    assert set(counts) == {i for i in range(space.size) if candidates.is_open(i)}
    n = len(counts)
    statistic = sum((c - 16_000 / n) ** 2 / (16_000 / n) for c in counts.values())
    assert statistic < 3 * n  # about n on average


def test_seen_backbones_are_left_out_while_there_are_others() -> None:
    space = mixed_space()
    candidates = OpenCandidates(space)
    numbers = candidates.architectures()
    names = [space.architectures[number].backbone for number in numbers]

    def proposable() -> set[str]:
        return {names[i] for i, count in enumerate(candidates.counts()) if count}

    candidates.allow(numbers, [space.at(0)])
    assert proposable() == set(names) - {names[0]}
    candidates.allow(numbers, map(space.at, range(space.size)))
    assert proposable() == set(names)


def test_nothing_open_is_an_error() -> None:
    candidates = OpenCandidates(lone_space())
    candidates.close(0)
    candidates.close(0)
    assert not candidates.has_any()
    with pytest.raises(ValueError, match="no candidate is open"):
        candidates.draw(np.random.default_rng(0))
