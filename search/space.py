"""The finite space of candidates: which there are, how many, how one is chosen axis by axis."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import product
from typing import Any, Protocol

import numpy as np

from search.candidate import Candidate, short_hash
from search.catalog import Backbone, catalog, match, timm_version
from search.config import RecipeConfig, SpaceConfig
from search.errors import ConfigError
from trainers.spec import Architecture, Recipe, Weights


class Suggester(Protocol):
    """What ``Space.suggest`` asks; Optuna's ``Trial`` is one."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Return a whole number between both ends."""


@dataclass(frozen=True)
class Axes:
    """What one backbone can be combined with."""

    backbone: Backbone
    heads: tuple[str, ...]
    input_sizes: tuple[int, ...]


@dataclass(frozen=True)
class Features:
    """Descriptors known before training, one row a candidate.

    Attributes:
        numeric: Shape ``(n, len(numeric_names))``; scales that span decades are in log10.
        categorical: Shape ``(n, len(categorical_names))``; codes, equal codes are equal values.
    """

    numeric: np.ndarray
    categorical: np.ndarray
    numeric_names: tuple[str, ...]
    categorical_names: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """All candidates of a study.

    A candidate's index is ``architecture index * len(recipes) + recipe index``.

    Attributes:
        axes: One entry a backbone, in the catalog's order.
        recipes: The grid of recipes, the last axis fastest.
        weights: First weights by backbone.
        task: Task of every architecture.
        classes: Classes of the dataset.
        channels: Channels of its images.
        dropped: What was left out and why, in words.
    """

    axes: tuple[Axes, ...]
    recipes: tuple[Recipe, ...]
    weights: Mapping[str, Weights]
    task: str
    classes: int
    channels: int
    dropped: tuple[str, ...] = ()

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """Return every architecture, in index order."""
        return tuple(
            Architecture(self.task, a.backbone.name, head, size, self.classes, self.channels)
            for a in self.axes
            for head in a.heads
            for size in a.input_sizes
        )

    @cached_property
    def _numbers(self) -> dict[Architecture | Recipe, int]:
        numbers: dict[Architecture | Recipe, int] = {}
        numbers.update((a, i) for i, a in enumerate(self.architectures))
        numbers.update((r, i) for i, r in enumerate(self.recipes))
        return numbers

    @property
    def size(self) -> int:
        """Return the number of candidates."""
        return len(self.architectures) * len(self.recipes)

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of everything that the space consists of, and of its axes' choices."""
        weights = {name: [w.tag, w.sha256] for name, w in self.weights.items()}
        architectures = [asdict(a) for a in self.architectures]
        recipes = [asdict(r) for r in self.recipes]
        families = [[f, [a.backbone.name for a in axes]] for f, axes in self._families.items()]
        return short_hash([architectures, recipes, weights, families, version("timm")])

    def at(self, index: int) -> Candidate:
        """Return the candidate of an index from 0 to ``size - 1``."""
        if not 0 <= index < self.size:
            raise IndexError(f"a candidate's index lies from 0 to {self.size - 1}; got {index}")
        number, recipe = divmod(index, len(self.recipes))
        architecture = self.architectures[number]
        return Candidate(architecture, self.weights[architecture.backbone], self.recipes[recipe])

    def index(self, candidate: Candidate) -> int:
        """Return the index of a candidate; KeyError when it is not of this space."""
        number = self._numbers[candidate.architecture]
        return number * len(self.recipes) + self._numbers[candidate.recipe]

    def architecture_number(self, architecture: Architecture) -> int:
        """Return the index of an architecture; KeyError when it is not of this space."""
        return self._numbers[architecture]

    def sample(self, rng: np.random.Generator) -> Candidate:
        """Return a candidate drawn uniformly."""
        return self.at(int(rng.integers(self.size)))

    def suggest(self, trial: Suggester) -> Candidate:
        """Return the candidate that a trial chooses: family, member, head, size, recipe.

        Every name stands for one fixed list of choices, since Optuna refuses a list that changes.
        """
        families = self._families
        family = trial.suggest_categorical("family", list(families))
        names = [a.backbone.name for a in families[family]]
        name = trial.suggest_categorical(f"size@{family}", names)
        axes = next(a for a in families[family] if a.backbone.name == name)
        head = trial.suggest_categorical(self._head_axis(axes), list(axes.heads))
        size = axes.input_sizes[0]
        if len(axes.input_sizes) > 1:
            size = axes.input_sizes[trial.suggest_int("input_size#", 0, len(axes.input_sizes) - 1)]
        values = {
            axis: grid[trial.suggest_int(f"{axis}#", 0, len(grid) - 1)]
            if axis in ORDERED
            else trial.suggest_categorical(axis, list(grid))
            for axis, grid in self._grids.items()
        }
        architecture = Architecture(self.task, name, head, size, self.classes, self.channels)
        return Candidate(architecture, self.weights[name], Recipe(**values))

    def features(self, indices: Sequence[int] | np.ndarray) -> Features:
        """Return the descriptors of candidates by index."""
        number, recipe = np.divmod(np.asarray(indices, dtype=np.int64), len(self.recipes))
        backbones = {a.backbone.name: a.backbone for a in self.axes}
        rows = [
            (np.log10(backbones[a.backbone].params_m), np.log10(a.input_size))
            for a in self.architectures
        ]
        codes = {
            "family": [backbones[a.backbone].family for a in self.architectures],
            "backbone": [a.backbone for a in self.architectures],
            "head": [a.head for a in self.architectures],
        }
        grids = np.array([_recipe_numbers(r) for r in self.recipes])
        augment = np.unique([r.augment for r in self.recipes], return_inverse=True)[1]
        coded = np.stack([np.unique(v, return_inverse=True)[1] for v in codes.values()], axis=1)
        return Features(
            numeric=np.concatenate([np.array(rows)[number], grids[recipe]], axis=1),
            categorical=np.concatenate([coded[number], augment[recipe, None]], axis=1),
            numeric_names=(
                "log10_params_m",
                "log10_input_size",
                "log10_lr",
                "weight_decay",
                "log10_batch_size",
                "dropout",
                "freeze",
            ),
            categorical_names=(*codes, "augment"),
        )

    def choices(self, candidate: Candidate) -> dict[str, Any]:
        """Return the answers with which ``suggest`` gives this candidate, by axis."""
        a = candidate.architecture
        axes = next(x for x in self.axes if x.backbone.name == a.backbone)
        family = axes.backbone.family
        answers: dict[str, Any] = {
            "family": family,
            f"size@{family}": a.backbone,
            self._head_axis(axes): a.head,
        }
        if len(axes.input_sizes) > 1:
            answers["input_size#"] = axes.input_sizes.index(a.input_size)
        for axis, grid in self._grids.items():
            value = getattr(candidate.recipe, axis)
            answers[f"{axis}#" if axis in ORDERED else axis] = (
                grid.index(value) if axis in ORDERED else value
            )
        return answers

    @cached_property
    def _families(self) -> dict[str, list[Axes]]:
        families: dict[str, list[Axes]] = {}
        for axes in sorted(self.axes, key=lambda a: (a.backbone.family, a.backbone.params_m)):
            families.setdefault(axes.backbone.family, []).append(axes)
        return families

    def _head_axis(self, axes: Axes) -> str:
        """Return the name of the head's axis: one for each list of heads that occurs."""
        return "head" if axes.heads == self.axes[0].heads else "head@" + "+".join(axes.heads)

    @cached_property
    def _grids(self) -> dict[str, tuple[Any, ...]]:
        names = asdict(self.recipes[0])
        return {n: tuple(dict.fromkeys(getattr(r, n) for r in self.recipes)) for n in names}


# Axes whose grid has an order that a sampler may use; the others are names.
ORDERED = frozenset({"lr", "weight_decay", "batch_size", "dropout"})


def select(config: SpaceConfig) -> list[Backbone]:
    """Return the backbones that patterns and limits leave, without importing torch.

    Raises:
        ConfigError: For every pattern that matches nothing, or when nothing is left.
    """
    rows = catalog()
    names = list(rows)
    problems = [
        f"space.backbones: no timm architecture is called {pattern!r}{_near(pattern, names)}. "
        f"The catalog has {len(names)} of timm {timm_version()}."
        for pattern in config.backbones
        if not match([pattern], names)
    ]
    if problems:
        raise ConfigError(*problems)
    excluded = set(match(config.exclude, names))
    chosen = [rows[name] for name in match(config.backbones, names) if name not in excluded]
    buildable = [row for row in chosen if not row.problem]
    limit = config.params_m_max
    left = [row for row in buildable if limit is None or row.params_m <= limit]
    if not left:
        reasons = {
            "excluded by space.exclude": len(excluded & set(match(config.backbones, names))),
            "not buildable": len(chosen) - len(buildable),
            f"over space.params_m_max={limit}": len(buildable) - len(left),
        }
        words = ", ".join(f"{count} {why}" for why, count in reasons.items() if count)
        raise ConfigError(f"space: no backbone is left: {words}. Widen the patterns or limits.")
    return left


def build_space(
    config: SpaceConfig,
    backbones: Sequence[Backbone],
    weights: Mapping[str, Weights],
    *,
    task: str,
    classes: int,
    channels: int,
    heads_for: Callable[[str, Sequence[str]], tuple[str, ...]],
    dropped: tuple[str, ...] = (),
) -> Space:
    """Return the space over backbones whose weights are known to be there.

    Args:
        config: What was asked for.
        backbones: What ``select`` gave and weights left.
        weights: First weights by backbone.
        task: Name of the task.
        classes: Classes of the dataset.
        channels: Channels of its images.
        heads_for: Gives those of the heads asked for that a backbone can carry.
        dropped: What was left out before, in words.

    Raises:
        ConfigError: When no combination is left.
    """
    axes, left_out = [], list(dropped)
    for backbone in backbones:
        heads = heads_for(backbone.name, config.heads)
        sizes = config.input_sizes
        if backbone.sizes == "fixed":
            sizes = tuple(s for s in sizes if s == backbone.input_size)
        if heads and sizes:
            axes.append(Axes(backbone, heads, sizes))
        elif not sizes:
            left_out.append(f"{backbone.name}: takes {backbone.input_size} px only")
        else:
            left_out.append(f"{backbone.name}: has no head of {', '.join(config.heads)}")
    if not axes:
        raise ConfigError(f"space: nothing is left: {'; '.join(left_out)}.")
    recipes = _recipes(config.recipe)
    chosen = {a.backbone.name: weights[a.backbone.name] for a in axes}
    return Space(tuple(axes), recipes, chosen, task, classes, channels, tuple(left_out))


def _recipes(config: RecipeConfig) -> tuple[Recipe, ...]:
    grids = {name: getattr(config, name) for name in Recipe.__dataclass_fields__}
    return tuple(
        Recipe(**dict(zip(grids, values, strict=True))) for values in product(*grids.values())
    )


def _recipe_numbers(recipe: Recipe) -> tuple[float, ...]:
    return (
        float(np.log10(recipe.lr)),
        recipe.weight_decay,
        float(np.log10(recipe.batch_size)),
        recipe.dropout,
        float(recipe.freeze),
    )


def _near(pattern: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(pattern.strip("*?"), names, n=3)
    return f" (near: {', '.join(near)})" if near else ""
