"""The base of all samplers: a proposal is whole, within the space, open, the same on resume."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from archfront.search.records.candidate import Candidate
from archfront.search.records.optuna_compat import OtherTrials
from archfront.search.space.space import Space

# A sampler that repeats itself gets this many draws; then the choice is uniform over the open
# candidates.
DRAWS = 8
# Draws to complete a trial that was half chosen, so that an open candidate comes out.
COMPLETIONS = 256


class OpenCandidates:
    """Which candidates of a space may still be proposed.

    A candidate is closed once it was proposed; an architecture, with all its recipes, once it was
    over a limit or could not be built. Of what is open, what the time that is left holds is
    allowed (``allow``).
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._is_open = np.ones((len(space.architectures), len(space.recipes)), dtype=bool)
        self._is_allowed = np.ones((len(space.architectures), 1), dtype=bool)

    def allow(self, numbers: np.ndarray, seen: Iterable[Candidate] = ()) -> None:
        """Restrict what may be proposed next to some architectures, of those that are open.

        Args:
            numbers: Their numbers.
            seen: Candidates whose backbones are not proposed, unless no other is left.
        """
        known = {candidate.architecture.backbone for candidate in seen}
        if known:
            backbones = [self.space.architectures[number].backbone for number in numbers]
            is_other = ~np.isin(backbones, list(known))
            numbers = numbers[is_other] if is_other.any() else numbers
        self._is_allowed[:] = False
        self._is_allowed[numbers] = True

    def architectures(self) -> np.ndarray:
        """Return the numbers of the architectures with a recipe that is not closed."""
        return np.flatnonzero(self._is_open.any(axis=1))

    def close(self, index: int) -> None:
        """Close one candidate."""
        self._is_open.flat[index] = False

    def close_architecture(self, index: int) -> None:
        """Close every recipe of a candidate's architecture."""
        self._is_open[self.space.architecture_of([index])] = False

    def is_open(self, index: int) -> bool:
        """Return whether a candidate may be proposed."""
        return bool(self._proposable.flat[index])

    def are_open(self, indices: np.ndarray) -> np.ndarray:
        """Return which of some candidates may be proposed, ``(len(indices),)``."""
        are_open: np.ndarray = self._proposable.flat[indices]
        return are_open

    def has_any(self) -> bool:
        """Return whether any candidate is left that is not closed."""
        return bool(self._is_open.any())

    @property
    def _proposable(self) -> np.ndarray:
        return self._is_open & self._is_allowed

    def recipes(self, number: int) -> np.ndarray:
        """Return which recipes of an architecture are open."""
        return np.flatnonzero(self._proposable[number])

    def counts(self) -> np.ndarray:
        """Return the number of open recipes of every architecture."""
        counts: np.ndarray = self._proposable.sum(axis=1)
        return counts

    def sample(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Return up to ``size`` open candidates, all of them or drawn uniformly, in order."""
        found = np.flatnonzero(self._proposable)
        if len(found) > size:
            found = np.sort(rng.choice(found, size, replace=False))
        return found

    def draw(self, rng: np.random.Generator) -> int:
        """Return an open candidate, each with the same chance; ValueError when none is left."""
        drawn = self.sample(1, rng)
        if len(drawn) == 0:
            raise ValueError("no candidate is open")
        return int(drawn[0])


class ProposalSampler(BaseSampler, abc.ABC):
    """A sampler that proposes whole open candidates, the same ones after a resume.

    Args:
        candidates: The candidates that may be proposed.
        seed: Seed of the study.
    """

    def __init__(self, candidates: OpenCandidates, seed: int) -> None:
        self._candidates = candidates
        self._seed = seed
        self._distributions = distributions(candidates.space)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return every axis that any candidate of the space has."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the axes of one open candidate, without those that it does not have.

        A trial whose driver died between two axes has some of them written. The same proposal
        comes out again, unless the trials around it have ended since and changed what a sampler
        says or what is open: then the written axes stand and the others are drawn.
        """
        if self._candidates.has_any():
            proposal = self._propose(study, trial)
            if trial.params.items() <= proposal.items():
                return proposal
        return self._complete(study, trial)

    @abc.abstractmethod
    def _propose(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Return the axes of one open candidate, decided by the study's other trials alone."""

    def _complete(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Return axes that agree with the written ones, of an open candidate if there is one."""
        space = self._candidates.space
        draft: _Draft
        for draw in range(COMPLETIONS):
            sampler = RandomSampler(seed=_seed(self._seed, trial.number, DRAWS + 1, draw))
            draft = _Draft(sampler, study, trial, written=trial.params)
            if self._candidates.is_open(space.index(space.suggest(draft))):
                break
        return draft.params

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Raise, since a proposal is whole."""
        raise AssertionError(f"{param_name} was not part of the proposal")


class WrappedSampler(ProposalSampler):
    """An Optuna sampler, made anew for each proposal and asked until the proposal is open.

    Args:
        make: Gives a sampler from a seed.
        candidates: The candidates that may be proposed.
        seed: Seed of the study.
    """

    def __init__(
        self, make: Callable[[int], BaseSampler], candidates: OpenCandidates, seed: int
    ) -> None:
        super().__init__(candidates, seed)
        self._make = make

    def _propose(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        space, others = self._candidates.space, OtherTrials(study, trial)
        for draw in range(DRAWS):
            draft = _Draft(self._make(_seed(self._seed, trial.number, draw)), others, trial)
            if self._candidates.is_open(space.index(space.suggest(draft))):
                return draft.params
        rng = np.random.default_rng([self._seed, trial.number, DRAWS])
        return space.choices(space.at(self._candidates.draw(rng)))


class _Draft:
    """A proposal of a sampler, of which no axis is written to the trial.

    Samplers may write notes of their own: a generation, what they propose while others run.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        study: Study,
        trial: FrozenTrial,
        written: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.params: dict[str, Any] = {}
        self._written = written
        self._sampler, self._study, self._trial = sampler, study, trial
        self._space = sampler.infer_relative_search_space(study, trial)
        self._relative = sampler.sample_relative(study, trial, self._space)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._suggest(name, CategoricalDistribution(choices))

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return int(self._suggest(name, IntDistribution(low, high)))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        value: Any
        if name in self._written:
            value = self._written[name]
        elif distribution.single():
            value = _only(distribution)
        elif name in self._relative:
            value = self._relative[name]
        else:
            value = self._sampler.sample_independent(self._study, self._trial, name, distribution)
        self.params[name] = value
        return value


class Written:
    """Gives the axes that a trial has written, so that its candidate comes out."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the written choice; KeyError when there is none yet."""
        return self._answers[name]

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Return the written choice; KeyError when there is none yet."""
        return int(self._answers[name])


class _Walk(Written):
    """Notes the axes on the way to a known candidate."""

    def __init__(self, answers: dict[str, Any], found: dict[str, BaseDistribution]) -> None:
        super().__init__(answers)
        self._found = found

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self._found[name] = CategoricalDistribution(choices)
        return super().suggest_categorical(name, choices)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        self._found[name] = IntDistribution(low, high)
        return super().suggest_int(name, low, high)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the distribution of every axis of a space by its name."""
    found: dict[str, BaseDistribution] = {}
    numbered = reversed(list(enumerate(space.architectures)))
    first = {(a.backbone, a.head): number for number, a in numbered}
    for number in first.values():  # one candidate of each backbone and head shows every axis
        space.suggest(_Walk(space.choices(space.at(space.first_index(number))), found))
    return found


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _only(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, IntDistribution)
    return distribution.low
