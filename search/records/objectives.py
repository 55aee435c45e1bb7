"""Objectives of a study and the reference point of its hypervolume."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archfront.search.errors import unknown
from archfront.search.records.evaluation import Evaluation, trained_outcome


@dataclass(frozen=True)
class Objective:
    """A named value with a direction.

    Attributes:
        name: Name of the metric, or of a value of ``Measurement``.
        direction: Whether more or less is better.
        is_known: Whether the value is known before training, as a latency is.
        unit: Unit for people; empty for a share.
        is_log: Compare ratios instead of differences; the values must be above zero.
    """

    name: str
    direction: Literal["maximize", "minimize"]
    is_known: bool
    unit: str = ""
    is_log: bool = False

    def losses(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the values turned so that lower is better; base-2 logarithms where ``is_log``.

        Raises:
            ValueError: If a logarithm is asked of a value that is not above zero.
        """
        numbers = np.asarray(values, dtype=float)
        if self.is_log:
            if (numbers <= 0).any():
                raise ValueError(f"{self.name} must be above 0; got {numbers.min():g}.")
            numbers = np.log2(numbers)
        return -numbers if self.direction == "maximize" else numbers

    def value(self, evaluation: Evaluation) -> float:
        """Return this objective of a trained evaluation, in its own unit."""
        if not self.is_known:
            return trained_outcome(evaluation).metric
        if evaluation.measurement is None:
            raise ValueError(f"Trial {evaluation.trial} has no measurement of {self.name}.")
        return evaluation.measurement.value(self.name)


# What a Measurement can add to the metric as an objective.
MEASURED: dict[str, Objective] = {
    "latency_ms": Objective("latency_ms", "minimize", True, "ms", is_log=True),
    "params_m": Objective("params_m", "minimize", True, "million", is_log=True),
    "macs_g": Objective("macs_g", "minimize", True, "billion", is_log=True),
    "size_mb": Objective("size_mb", "minimize", True, "MB", is_log=True),
    "memory_mb": Objective("memory_mb", "minimize", True, "MB", is_log=True),
    "energy_mj": Objective("energy_mj", "minimize", True, "mJ", is_log=True),
    "throughput_ips": Objective("throughput_ips", "maximize", True, "images/s", is_log=True),
}


def objectives_for(metric: str, names: Sequence[str] = ("latency_ms",)) -> tuple[Objective, ...]:
    """Return the metric, to maximize, and the named measured values.

    Raises:
        ConfigError: If a name is not in ``MEASURED``.
    """
    for name in names:
        if name not in MEASURED:
            raise unknown("objective", name, MEASURED)
    return (Objective(metric, "maximize", is_known=False), *(MEASURED[name] for name in names))


@dataclass(frozen=True)
class Reference:
    """The fixed point that hypervolumes are measured from, stored when the study starts.

    Attributes:
        values: Worst value that still counts per objective, in the objective's own unit.
    """

    values: dict[str, float]

    @classmethod
    def at_start(
        cls,
        objectives: Sequence[Objective],
        *,
        chance: float,
        limits: Mapping[str, float | None],
        slowest: Mapping[str, float],
    ) -> Reference:
        """Return chance level for the metric and, for each cost, its limit or the worst seen.

        Raises:
            ValueError: If a cost has neither a limit nor a worst value, or one is not finite.
        """
        values: dict[str, float] = {}
        for objective in objectives:
            limit = limits.get(objective.name)
            worst = slowest.get(objective.name) if limit is None else limit
            value = worst if objective.is_known else chance
            if value is None or not math.isfinite(value):
                raise ValueError(
                    f"The reference of {objective.name} must be a finite number: its limit or the "
                    f"worst value measured; got {value}."
                )
            values[objective.name] = float(value)
        return cls(values)

    def losses(self, table: ArrayLike, objectives: Sequence[Objective]) -> NDArray[np.float64]:
        """Return values ``(n, k)`` as losses measured from this point, which is the origin.

        A share counts by its difference, a latency by its halvings (base-2 logarithm of the
        ratio): so hypervolumes of studies with one reference compare, whatever they measured.
        """
        values = np.asarray(table, dtype=float).reshape(-1, len(objectives))
        columns = [
            objective.losses(values[:, index]) - objective.losses(self.values[objective.name])
            for index, objective in enumerate(objectives)
        ]
        return np.stack(columns, axis=1)
