"""The descriptors of every candidate that are known before training: numbers and names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from archfront.trainers.spec import Architecture, Recipe, Weights
from archfront.trainers.tasks import TASKS

if TYPE_CHECKING:
    from archfront.search.catalog.backbones import Backbone
    from archfront.search.space.axes import Axes

T = TypeVar("T")

# Seconds of a training step on one core: of an image for each billion of multiply-accumulates and
# each million of activations; of a batch for each million of parameters and each operation.
IMAGE_S = {"macs_g": 0.0274, "acts_m": 0.0044}
BATCH_S = {"params_m": 0.0059, "n_ops": 0.00011}

# What of a recipe is a name.
RECIPE_NAMES = ("augment", "loss", "flips")


@dataclass(frozen=True)
class Features:
    """Descriptors known before training, one row a candidate.

    Attributes:
        numeric: Shape ``(n, len(numeric_names))``; scales that span decades are in log10.
        categorical: Shape ``(n, len(categorical_names))``; codes, equal codes are equal values.
        levels: The values behind the codes, by categorical column.
    """

    numeric: np.ndarray
    categorical: np.ndarray
    numeric_names: tuple[str, ...]
    categorical_names: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]


class Descriptors:
    """The descriptors of a space's candidates.

    Args:
        axes: One entry a backbone.
        architectures: In index order.
        recipes: In index order.
        weights: First weights by backbone.
        object_share: Side of a usual object as a share of its image's; 1 where the image is it.
    """

    def __init__(
        self,
        axes: Sequence[Axes],
        architectures: Sequence[Architecture],
        recipes: Sequence[Recipe],
        weights: Mapping[str, Weights],
        object_share: float = 1.0,
    ) -> None:
        self._axes, self._architectures = axes, architectures
        self._recipes, self._weights = recipes, weights
        self._object_share = object_share

    @cached_property
    def macs_g(self) -> np.ndarray:
        """Return the multiply-accumulates of each architecture, about those of its head too."""
        heads = [TASKS[a.task].grid(a.head).macs_g(a) for a in self._architectures]
        macs: np.ndarray = 10 ** self._numbers[:, 2] + np.array(heads)
        return macs

    @cached_property
    def step_s(self) -> np.ndarray:
        """Return ``step_s_of`` the largest batch of the recipes."""
        return self.step_s_of(max(recipe.batch_size for recipe in self._recipes))

    def step_s_of(self, batch_size: int) -> np.ndarray:
        """Return about the seconds of an image in training steps of each architecture.

        Those of one core of a machine; of another one their ratios are of use. Memory and
        calls bind small networks, and a batch shares calls and the step of the weights, so
        multiply-accumulates alone say little (benchmarks/LOG.md, "Steps of networks as they are
        trained").
        """
        params, activations = 10 ** self._numbers[:, 0], 10 ** self._numbers[:, 3]
        n_ops = np.array([self._backbones[a.backbone, a.head].n_ops for a in self._architectures])
        of_batch = BATCH_S["params_m"] * params + BATCH_S["n_ops"] * n_ops
        found: np.ndarray = (
            IMAGE_S["macs_g"] * self.macs_g
            + IMAGE_S["acts_m"] * activations
            + of_batch / batch_size
        )
        return found

    def features(self, indices: Sequence[int] | np.ndarray) -> Features:
        """Return the descriptors of candidates by index."""
        number, recipe = np.divmod(np.asarray(indices, dtype=np.int64), len(self._recipes))
        (levels, codes), (grids, own_levels, own_codes) = self._names, self._of_recipes
        return Features(
            numeric=np.column_stack([self._numbers[number], self.seen[number], grids[recipe]]),
            categorical=np.column_stack([codes[number], own_codes[recipe]]),
            numeric_names=(
                "log10_params_m",
                "log10_input_size",
                "log10_macs_g",
                "log10_acts_m",
                "log10_width",
                "depth",
                "log10_seen_objects",
                "log10_lr",
                "weight_decay",
                "log10_batch_size",
                "dropout",
                "freeze",
                "layer_decay",
            ),
            categorical_names=("family", "backbone", "head", "neck", *RECIPE_NAMES),
            levels=(*levels, *own_levels),
        )

    @cached_property
    def seen(self) -> np.ndarray:
        """Return log10 of how many sides of a usual object a position of the deepest map sees.

        By the effective receptive field where it was measured (``Backbone.seen_px``). Where
        nothing is known of a backbone the mean of the others stands, and 0 where nothing is
        known of any.
        """
        objects = self._object_share * np.array([a.input_size for a in self._architectures])
        fields_px = np.array(self._of_each(lambda backbone, size: backbone.seen_px(size)))
        logs = np.log10(fields_px / objects)
        unknown = np.isnan(logs)
        return np.where(unknown, 0.0 if unknown.all() else logs[~unknown].mean(), logs)

    @cached_property
    def published(self) -> np.ndarray | None:
        """Return the published accuracy of each architecture's weights on ImageNet, as a share.

        NaN where there is none; None where there is none of any.
        """
        shares = self._top1 / 100
        return None if np.isnan(shares).all() else shares

    @cached_property
    def _top1(self) -> np.ndarray:
        """Return the published top-1 of each architecture in percent; NaN where there is none.

        Of the weights that are used where they are known, else the best of the backbone.
        """
        top1: dict[str, float] = {}
        for axes in self._axes:
            entries, tag = axes.backbone.published, self._weights[axes.backbone.name].tag
            used = [entry.top1 for entry in entries if entry.tag == tag]
            best = [entry.top1 for entry in entries[:1]]
            top1[axes.backbone.name] = max(used or best, default=np.nan)
        return np.array([top1[a.backbone] for a in self._architectures])

    @cached_property
    def _backbones(self) -> dict[tuple[str, str], Backbone]:
        """Return the backbones by name and head, with their costs under it."""
        return {
            (axes.backbone.name, head): axes.backbone.with_head(head)
            for axes in self._axes
            for head in axes.heads
        }

    def _of_each(self, find: Callable[[Backbone, int], T]) -> list[T]:
        """Return what is found of each architecture's backbone at its input size."""
        found: dict[tuple[int, int], T] = {}  # most heads leave the backbone as it is
        values = []
        for a in self._architectures:
            backbone = self._backbones[a.backbone, a.head]
            place = id(backbone), a.input_size
            if place not in found:
                found[place] = find(backbone, a.input_size)
            values.append(found[place])
        return values

    @cached_property
    def _numbers(self) -> np.ndarray:
        """Return the numbers of each architecture, in log10 except the depth."""
        costs = self._of_each(lambda backbone, size: backbone.costs_at(size))
        rows = [
            (
                self._backbones[a.backbone, a.head].params_m,
                a.input_size,
                costs_at.macs_g,
                costs_at.acts_m,
                max(a.width, 1),
                10.0**a.depth,
            )
            for a, costs_at in zip(self._architectures, costs, strict=True)
        ]
        numbers: np.ndarray = np.log10(np.array(rows))
        return numbers

    @cached_property
    def _names(self) -> tuple[tuple[tuple[str, ...], ...], np.ndarray]:
        """Return the names of each column, and the codes of each architecture."""
        families = {axes.backbone.name: axes.backbone.family for axes in self._axes}
        return _coded(
            [families[a.backbone] for a in self._architectures],
            [a.backbone for a in self._architectures],
            [a.head for a in self._architectures],
            [a.neck for a in self._architectures],
        )

    @cached_property
    def _of_recipes(self) -> tuple[np.ndarray, tuple[tuple[str, ...], ...], np.ndarray]:
        """Return the numbers of each recipe, the names of each column, and the codes of each."""
        columns = ([getattr(r, name) for r in self._recipes] for name in RECIPE_NAMES)
        return np.array([_recipe_numbers(r) for r in self._recipes]), *_coded(*columns)


def _coded(*columns: list[str]) -> tuple[tuple[tuple[str, ...], ...], np.ndarray]:
    """Return the names of each column, and the codes of each row."""
    found = [np.unique(column, return_inverse=True) for column in columns]
    levels = tuple(tuple(map(str, names)) for names, _ in found)
    return levels, np.stack([codes for _, codes in found], axis=1)


def _recipe_numbers(recipe: Recipe) -> tuple[float, ...]:
    return (
        float(np.log10(recipe.lr)),
        recipe.weight_decay,
        float(np.log10(recipe.batch_size)),
        recipe.dropout,
        float(recipe.freeze),
        recipe.layer_decay,
    )
