"""A replay table as a space of candidates, each row one architecture with one recipe."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from replay_tables import Table

from archfront.search.records.candidate import Candidate, short_hash
from archfront.search.space.axes import Axes, Suggester
from archfront.search.space.descriptors import Features
from archfront.trainers.spec import Architecture, Recipe, Weights

# Families of a table that names none: this many, equally large, by their work.
N_BINS = 8


class TableSpace:
    """What the loop and the samplers use of ``space.Space``, over the rows of a table.

    A candidate's index is its row. Where the categorical columns span a grid whose every cell is
    a row, each of them is an axis. Else there are two, as in the real space: a family, then one
    of its members, ordered by parameters.

    Args:
        table: The rows.
    """

    task = "classification"
    # The axes of backbones that are networks; a row is only a name.
    axes: tuple[Axes, ...] = ()
    dropped: tuple[str, ...] = ()
    weights: Mapping[str, Weights] = MappingProxyType({})  # nothing is trained
    recipes = (Recipe(lr=0.001, weight_decay=0.0, batch_size=1, augment="none", dropout=0.0),)

    def __init__(self, table: Table) -> None:
        self.table = table
        self._published = None if table.prior is None else table.prior / 100
        self.architectures = tuple(
            Architecture("classification", id_, "avg", 224, classes=2, channels=3)
            for id_ in table.ids
        )
        self._candidates = tuple(
            Candidate(a, Weights(), recipe) for a in self.architectures for recipe in self.recipes
        )
        self._rows = {id_: row for row, id_ in enumerate(table.ids)}

    @property
    def published(self) -> NDArray[np.float64] | None:
        """Return what was published of each architecture for another dataset, as a share.

        NaN where nothing was; None where nothing was of any.
        """
        return self._published

    @property
    def is_from_scratch(self) -> bool:
        """Return whether networks have no first weights, of which nothing is published then."""
        return self._published is None

    def with_published(self, published: NDArray[np.float64] | None) -> TableSpace:
        """Return the same space with other published values."""
        other = copy.copy(self)
        other._published = published
        other.__dict__.pop("fingerprint", None)
        return other

    @property
    def size(self) -> int:
        """Return the number of candidates."""
        return len(self._candidates)

    @property
    def macs_g(self) -> NDArray[np.float64]:
        """Return 1 for each: a table tells costs in trainings, not how long one takes."""
        return np.ones(len(self.architectures))

    @property
    def step_s(self) -> NDArray[np.float64]:
        """Return 1 for each, as ``macs_g`` does."""
        return np.ones(len(self.architectures))

    @cached_property
    def fingerprint(self) -> str:
        """Return a hash of the rows' names, the axes and what was published."""
        published = None if self._published is None else self._published.tobytes().hex()
        axes = self._grid if self.table.has_grid else self._families
        return short_hash([self.table.name, list(self.table.ids), axes, published])

    def at(self, index: int) -> Candidate:
        """Return the candidate of an index from 0 to ``size - 1``."""
        if not 0 <= index < self.size:
            raise IndexError(f"a candidate's index lies from 0 to {self.size - 1}; got {index}")
        return self._candidates[index]

    def index(self, candidate: Candidate) -> int:
        """Return the index of a candidate; KeyError when it is not of this space."""
        return self._rows[candidate.architecture.backbone]

    def architecture_number(self, architecture: Architecture) -> int:
        """Return the index of an architecture; KeyError when it is not of this space."""
        return self._rows[architecture.backbone]

    def architecture_of(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the numbers of the architectures of candidates: with one recipe their indices."""
        return np.asarray(indices, dtype=np.int64)

    def first_index(self, number: int) -> int:
        """Return the index of the one candidate of an architecture."""
        return number

    def suggest(self, trial: Suggester) -> Candidate:
        """Return the candidate that a trial chooses."""
        if self.table.has_grid:
            cell = tuple(trial.suggest_categorical(n, values) for n, values in self._grid.items())
            return self._candidates[self._cells[cell]]
        family = trial.suggest_categorical("family", list(self._families))
        id_ = trial.suggest_categorical(f"size@{family}", self._families[family])
        return self._candidates[self._rows[id_]]

    def choices(self, candidate: Candidate) -> dict[str, Any]:
        """Return the answers with which ``suggest`` gives this candidate, by axis."""
        row = self.index(candidate)
        if self.table.has_grid:
            return dict(zip(self._grid, self.table.labels[row].tolist(), strict=True))
        family = self._family_names[row]
        return {"family": family, f"size@{family}": self.table.ids[row]}

    def features(self, indices: Sequence[int] | np.ndarray) -> Features:
        """Return the descriptors of candidates by index, a missing number as its median."""
        rows = np.asarray(indices, dtype=np.int64)
        return Features(
            numeric=self._numeric[rows],
            categorical=self._codes[rows],
            numeric_names=self.table.numeric_names,
            categorical_names=self.table.categorical_names,
            levels=tuple(map(tuple, self._levels)),
        )

    def architecture_features(self, numbers: np.ndarray | None = None) -> Features:
        """Return the descriptors of architectures by number; None for all of them."""
        return self.features(np.arange(self.size) if numbers is None else numbers)

    @cached_property
    def _grid(self) -> dict[str, list[str]]:
        return dict(zip(self.table.categorical_names, self._levels, strict=True))

    @cached_property
    def _cells(self) -> dict[tuple[str, ...], int]:
        return {tuple(cell): row for row, cell in enumerate(self.table.labels.tolist())}

    @cached_property
    def _families(self) -> dict[str, list[str]]:
        """Return the members of each family, the smallest first."""
        families: dict[str, list[str]] = {}
        by_size = np.argsort(self._column("log_params", "log_macs"), kind="stable")
        for row in sorted(by_size.tolist(), key=lambda row: self._family_names[row]):
            families.setdefault(self._family_names[row], []).append(self.table.ids[row])
        return families

    @cached_property
    def _family_names(self) -> list[str]:
        """Return the family of each row: as the table says, else a bin by its work."""
        if "family" in self.table.categorical_names:
            column = self.table.categorical_names.index("family")
            return self.table.labels[:, column].tolist()
        ranks = np.argsort(np.argsort(self._column("log_macs"), kind="stable"))
        return [f"bin{rank * N_BINS // len(ranks)}" for rank in ranks.tolist()]

    def _column(self, *names: str) -> NDArray[np.float64]:
        """Return the first of these numeric columns that there is, else the order of the rows."""
        for name in names:
            if name in self.table.numeric_names:
                return self._numeric[:, self.table.numeric_names.index(name)]
        return np.arange(len(self.table.ids), dtype=float)

    @cached_property
    def _numeric(self) -> NDArray[np.float64]:
        """Return the numbers, each that is missing or infinite replaced by its column's median."""
        columns = [_filled(column) for column in self.table.numeric.T]
        return np.array(columns).reshape(len(columns), len(self.table.ids)).T

    @cached_property
    def _levels(self) -> list[list[str]]:
        """Return the labels of each categorical column, in the order of their codes."""
        return [levels.tolist() for levels, _ in self._coded]

    @cached_property
    def _coded(self) -> list[tuple[NDArray[np.str_], NDArray[np.int64]]]:
        return [np.unique(labels, return_inverse=True) for labels in self.table.labels.T]

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        """Return the labels as numbers, equal codes for equal labels."""
        codes = [codes for _, codes in self._coded]
        return np.array(codes, dtype=np.int64).reshape(-1, len(self.table.ids)).T


def _filled(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a column with the median in place of what is missing or infinite."""
    is_there = np.isfinite(column)
    return np.where(is_there, column, np.median(column[is_there]) if is_there.any() else 0.0)
