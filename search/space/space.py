"""The finite space of candidates: their indices, their number, and the axes they are chosen by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from archfront.search.records.candidate import Candidate, short_hash
from archfront.search.space.axes import Axes, Suggester
from archfront.search.space.decoders import FIXED
from archfront.search.space.descriptors import Descriptors, Features
from archfront.search.space.size import Summary, drop_reason
from archfront.trainers.networks.hf.names import digest_of, is_hub
from archfront.trainers.spec import DETECTIONS, Architecture, Recipe, Weights


@dataclass(frozen=True)
class Space:
    """All candidates of a study.

    A candidate's index is ``architecture number * len(recipes) + recipe number``.

    Attributes:
        axes: One entry a backbone, in the catalog's order.
        recipes: The grid of recipes, the last axis fastest.
        weights: First weights by backbone.
        task: Task of every architecture.
        classes: Classes of the dataset.
        channels: Channels of its images.
        dropped: The backbones left out, like ``name: reason``.
        detections: Objects of an image that a detector finds at most.
        object_share: Side of a usual object as a share of its image's; None where the images
            have no objects.
    """

    axes: tuple[Axes, ...]
    recipes: tuple[Recipe, ...]
    weights: Mapping[str, Weights]
    task: str
    classes: int
    channels: int
    dropped: tuple[str, ...] = ()
    detections: int = DETECTIONS
    object_share: float | None = None

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """Return every architecture, in index order."""
        return tuple(
            self._architecture(axes, head, size, shape)
            for axes in self.axes
            for head in axes.heads
            for size in axes.input_sizes
            for shape in axes.of(head).shapes(size)
        )

    def _architecture(
        self, axes: Axes, head: str, size: int, shape: Mapping[str, Any]
    ) -> Architecture:
        return Architecture(
            self.task,
            axes.backbone.name,
            head,
            size,
            self.classes,
            self.channels,
            fused=axes.backbone.is_fusable,
            detections=self.detections,
            **shape,
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

    def summary(self) -> Summary:
        """Return the size of the space and the reasons why backbones were left out."""
        macs = self._described.macs_g
        params = [axes.backbone.params_m for axes in self.axes]
        return Summary(
            candidates=self.size,
            backbones=len(self.axes),
            families=len(self._families),
            architectures=len(self.architectures),
            recipes=len(self.recipes),
            fused=sum(axes.backbone.is_fusable for axes in self.axes),
            macs_g=(float(macs.min()), float(macs.max())),
            params_m=(min(params), max(params)),
            left_out=dict(Counter(map(drop_reason, self.dropped)).most_common()),
        )

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of everything that the space consists of, and of its axes' choices."""
        weights = {name: [w.tag, w.sha256] for name, w in self.weights.items()}
        architectures = [a.as_dict() for a in self.architectures]
        recipes = [r.as_dict() for r in self.recipes]
        families = [[f, [a.backbone.name for a in axes]] for f, axes in self._families.items()]
        content = [architectures, recipes, weights, families, version("timm")]
        names = [axes.backbone.name for axes in self.axes if is_hub(axes.backbone.name)]
        return short_hash([*content, *([digest_of(name) for name in names],) * bool(names)])

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
        """Return the number of an architecture; KeyError when it is not of this space."""
        return self._numbers[architecture]

    def architecture_of(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the numbers of the architectures of candidates, which are given by index."""
        numbers: np.ndarray = np.asarray(indices, dtype=np.int64) // len(self.recipes)
        return numbers

    def first_index(self, number: int) -> int:
        """Return the index of the first candidate of an architecture: that of the first recipe."""
        return number * len(self.recipes)

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
            name_of_sizes = self._size_axis(axes)
            size = axes.input_sizes[trial.suggest_int(name_of_sizes, 0, len(axes.input_sizes) - 1)]
        shape: dict[str, Any] = {"finest": axes.of(head).finest.get(size, 0)}
        for part, name_of_part, choices in self._shape_axes(axes, head):
            if len(choices) == 1:
                shape[part] = choices[0]
            elif part == "neck":
                shape[part] = trial.suggest_categorical(name_of_part, list(choices))
            else:
                shape[part] = choices[trial.suggest_int(name_of_part, 0, len(choices) - 1)]
        values = {
            axis: grid[trial.suggest_int(f"{axis}#", 0, len(grid) - 1)]
            if axis in ORDERED
            else trial.suggest_categorical(axis, list(grid))
            for axis, grid in self._grids.items()
        }
        architecture = self._architecture(axes, head, size, shape)
        return Candidate(architecture, self.weights[name], Recipe(**values))

    def _shape_axes(self, axes: Axes, head: str) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
        """Yield field, axis name and choices of a head's neck, width and depth, if it has any."""
        decoders = axes.of(head)
        for part in ("neck", "width", "depth"):
            choices = getattr(decoders, part)
            if len(choices) > 1:
                ordered = "" if part == "neck" else "#"
                yield part, f"{part}@{'+'.join(map(str, choices))}{ordered}", choices
            elif choices != getattr(FIXED, part):
                yield part, "", choices

    @cached_property
    def _described(self) -> Descriptors:
        share = 1.0 if self.object_share is None else self.object_share
        return Descriptors(self.axes, self.architectures, self.recipes, self.weights, share)

    @cached_property
    def is_usual(self) -> np.ndarray:
        """Return which architectures have the first of all heads and shapes that are asked for.

        Lists of heads, necks, widths and depths begin with what one would try first.
        """
        return np.array(
            [
                head == axes.heads[0] and place == 0
                for axes in self.axes
                for head in axes.heads
                for size in axes.input_sizes
                for place, _ in enumerate(axes.of(head).shapes(size))
            ]
        )

    @property
    def macs_g(self) -> np.ndarray:
        """Return the multiply-accumulates of each architecture in billions, its head's too."""
        return self._described.macs_g

    @property
    def step_s(self) -> np.ndarray:
        """Return about the seconds of an image in training steps of each architecture."""
        return self._described.step_s

    def step_s_of(self, batch_size: int) -> np.ndarray:
        """Return ``Descriptors.step_s_of``."""
        return self._described.step_s_of(batch_size)

    def features(self, indices: Sequence[int] | np.ndarray) -> Features:
        """Return the descriptors of candidates by index."""
        return self._described.features(indices)

    def architecture_features(self, numbers: np.ndarray | None = None) -> Features:
        """Return the descriptors of the first candidates of architectures.

        Args:
            numbers: Numbers of the architectures; None for all of them.
        """
        every = np.arange(len(self.architectures)) if numbers is None else numbers
        return self.features(every * len(self.recipes))

    @property
    def unseen_octaves(self) -> np.ndarray:
        """Return how often the field of each architecture doubles until it has a usual object.

        0 where it has one already, and for images without objects.
        """
        if self.object_share is None:
            return np.zeros(len(self.architectures))
        octaves: np.ndarray = np.maximum(0.0, -self._described.seen / np.log10(2))
        return octaves

    @property
    def is_from_scratch(self) -> bool:
        """Return whether no network has first weights."""
        return all(weights.source == "none" for weights in self.weights.values())

    @property
    def published(self) -> np.ndarray | None:
        """Return the published accuracy of each architecture's weights on ImageNet, as a share.

        NaN where there is none; None where training starts from nothing, of which a published
        accuracy of pretrained weights says too little to begin a search with.
        """
        return None if self.is_from_scratch else self._described.published

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
            answers[self._size_axis(axes)] = axes.input_sizes.index(a.input_size)
        for part, name, choices in self._shape_axes(axes, a.head):
            if len(choices) > 1:
                value = getattr(a, part)
                answers[name] = value if part == "neck" else choices.index(value)
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

    def _size_axis(self, axes: Axes) -> str:
        """Return the name of the input size's axis: one for each list of sizes that occurs."""
        sizes = axes.input_sizes
        is_usual = sizes == max((a.input_sizes for a in self.axes), key=len)
        return "input_size#" if is_usual else f"input_size@{'+'.join(map(str, sizes))}#"

    @cached_property
    def _grids(self) -> dict[str, tuple[Any, ...]]:
        names = dict.fromkeys(name for recipe in self.recipes for name in recipe.as_dict())
        return {n: tuple(dict.fromkeys(getattr(r, n) for r in self.recipes)) for n in names}


# Axes whose grid has an order that a sampler may use; the others are names.
ORDERED = frozenset({"lr", "weight_decay", "batch_size", "dropout", "layer_decay"})
