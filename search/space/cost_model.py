"""The costs of every architecture of a space: measured, or predicted with an uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from archfront.search.latency.lookup import CostLookup
from archfront.search.latency.predicted import COVERAGE
from archfront.search.records.evaluation import Measurement
from archfront.search.records.objectives import Objective, Reference
from archfront.search.space.space import Space
from archfront.trainers.spec import Architecture

Floats = NDArray[np.float64]

# Standard deviation of a cost's natural logarithm before any measurement: a factor of 20.
UNKNOWN = 3.0
# Growth of a cost with each descriptor, both in logarithms, before any is measured. More work
# makes fewer images a second. Activations, which are written and read, count beside the work.
# Source: Radosavovic, Kosaraju, Girshick, He and Dollar 2020 (Designing Network Design Spaces,
# section 4); measured in benchmarks/LOG.md, "Work of training steps".
GROWTH = {
    "params_m": {"log10_params_m": 1.0},
    "size_mb": {"log10_params_m": 1.0},
    "macs_g": {"log10_macs_g": 1.0},
    "throughput_ips": {"log10_macs_g": -0.5, "log10_acts_m": -0.3},
}
USUAL_GROWTH = {"log10_macs_g": 0.5, "log10_acts_m": 0.3}
DESCRIPTORS = ("log10_params_m", "log10_macs_g", "log10_acts_m", "log10_input_size")
# Standard deviation of a growth around the usual one, and of what descriptors do not explain.
GROWTH_SPREAD = 0.3
UNEXPLAINED = 0.3
# Half the width of a 90 % band, in standard deviations.
BAND = float(ndtri((1 + COVERAGE) / 2))
# A predicted cost is replaced by three points of equal mean, variance and fourth moment.
# Source: Abramowitz and Stegun 1964, table 25.10 (Gauss-Hermite), n = 3.
NODES = ((-(3**0.5), 1 / 6), (0.0, 2 / 3), (3**0.5, 1 / 6))


@dataclass(frozen=True)
class Expected:
    """Natural logarithms of the costs of architectures, ``(n, n_costs)``.

    Attributes:
        mean: Measured or predicted logarithms.
        spread: Standard deviation; 0 where measured.
    """

    mean: Floats
    spread: Floats


class CostModel:
    """The costs that are objectives or limited, of every architecture of a space.

    Args:
        space: The candidates.
        known: The costs that are known or predicted of this device.
        objectives: The metric first.
        limits: Allowed values by name; None for no limit.
        reference: Reference point of the study.
    """

    def __init__(
        self,
        space: Space,
        known: CostLookup,
        objectives: Sequence[Objective],
        limits: Mapping[str, float | None],
        reference: Reference,
    ) -> None:
        self._space, self._known, self._reference = space, known, reference
        self.objectives = tuple(objectives)
        self._limits = {name: limit for name, limit in limits.items() if limit is not None}
        self._names = tuple(dict.fromkeys([*(o.name for o in objectives[1:]), *self._limits]))
        self._measured: dict[int, Measurement] = {}
        self._table: Expected | None = None
        for architecture, measurement in known.measured().items():
            self.learn(architecture, measurement)

    def learn(self, architecture: Architecture, measurement: Measurement) -> None:
        """Take in a measurement; that of an architecture outside of the space is ignored."""
        try:
            number = self._space.architecture_number(architecture)
        except KeyError:
            return
        self._measured[number] = measurement
        self._table = None

    def points(self, numbers: NDArray[np.int64]) -> list[tuple[float, Floats]]:
        """Return losses of architectures as weighted cases, each ``(n, n_objectives - 1)``.

        The losses are measured from the reference point. There is one case if all costs are
        measured, and three, of all costs together, if some are only predicted.
        """
        table = self._logs_of_all()
        mean, spread = table.mean[numbers], table.spread[numbers]
        n_costs = len(self.objectives) - 1
        if not spread[:, :n_costs].any():
            return [(1.0, self._losses(mean))]
        return [(weight, self._losses(mean + node * spread)) for node, weight in NODES]

    def expected(self, numbers: NDArray[np.int64]) -> Floats:
        """Return the mean losses of architectures over these cases."""
        mean: Floats = np.sum([weight * costs for weight, costs in self.points(numbers)], axis=0)
        return mean

    def chance(self, numbers: NDArray[np.int64]) -> Floats:
        """Return the probability that each architecture is within all limits, ``(n,)``."""
        table = self._logs_of_all()
        likely = np.ones(len(numbers))
        for name, limit in self._limits.items():
            column = self._names.index(name)
            mean, spread = table.mean[numbers, column], table.spread[numbers, column]
            room = np.log(limit) - mean
            likely *= np.where(spread > 0, ndtr(room / np.maximum(spread, 1e-9)), room >= -1e-9)
        return likely

    def values(self, number: int) -> dict[str, float]:
        """Return the measured or predicted costs of an architecture, in their own units."""
        row = np.exp(self._logs_of_all().mean[number])
        return {o.name: float(row[i]) for i, o in enumerate(self.objectives[1:])}

    def _losses(self, logs: Floats) -> Floats:
        columns = [
            o.losses(np.exp(logs[:, i])) - o.losses(self._reference.values[o.name])
            for i, o in enumerate(self.objectives[1:])
        ]
        return np.stack(columns, axis=1) if columns else np.empty((len(logs), 0))

    def _logs_of_all(self) -> Expected:
        if self._table is None:
            self._table = self._estimate()
        return self._table

    def _estimate(self) -> Expected:
        n = len(self._space.architectures)
        if not self._names:
            return Expected(np.zeros((n, 0)), np.zeros((n, 0)))
        numbers = sorted(self._measured)
        logs = np.array(
            [[_log(self._measured[i].value(name)) for name in self._names] for i in numbers]
        ).reshape(len(numbers), len(self._names))
        mean, spread = np.empty((n, len(self._names))), np.empty((n, len(self._names)))
        if len(numbers) == n and np.isfinite(logs).all():
            return Expected(logs, np.zeros_like(logs))
        names, table = self._described
        for column, name in enumerate(self._names):
            has = np.isfinite(logs[:, column])
            rows = np.array(numbers, dtype=int)[has]
            growth = GROWTH.get(name, USUAL_GROWTH)
            usual = [growth.get(descriptor, 0.0) for descriptor in names]
            found = _regress(table, np.array(usual), rows, logs[has, column])
            mean[:, column], spread[:, column] = found
            if name == "latency_ms":
                self._predict(mean[:, column], spread[:, column])
            mean[rows, column], spread[rows, column] = logs[has, column], 0.0
        return Expected(mean, spread)

    @cached_property
    def _described(self) -> tuple[list[str], Floats]:
        """Return names and natural logarithms of the descriptors that costs grow with."""
        features = self._space.architecture_features()
        chosen = [i for i, d in enumerate(features.numeric_names) if d in DESCRIPTORS]
        names = [features.numeric_names[i] for i in chosen]
        table = features.numeric[:, chosen] * np.log(10)
        # With the work of the heads, of which the descriptors have width and depth only.
        if "log10_macs_g" in names:
            table[:, names.index("log10_macs_g")] = np.log(self._space.macs_g)
        return names, table

    def _predict(self, mean: Floats, spread: Floats) -> None:
        """Put in the latencies that are predicted for this device, where there are any."""
        for number, band in self._known.bands(self._space.architectures).items():
            mean[number] = np.log(band.p50_ms)
            spread[number] = np.log(band.high_ms / band.low_ms) / (2 * BAND)


def _log(value: float) -> float:
    return float(np.log(value)) if value > 0 else float("nan")


def _regress(
    table: Floats, usual: Floats, rows: NDArray[np.int64], logs: Floats
) -> tuple[Floats, Floats]:
    """Return mean and spread of a linear model for every row, fitted to the known rows.

    Source: Bishop 2006 (Pattern Recognition and Machine Learning), equations 3.50, 3.51 and 3.59,
    with the growths drawn towards the usual ones.
    """
    centered = table - (table[rows] if len(rows) else table).mean(axis=0)
    design = np.column_stack([np.ones(len(table)), centered])
    before = np.append(logs.mean() if len(rows) else 0.0, usual)
    precision = np.diag(np.append(UNKNOWN, np.full(len(usual), GROWTH_SPREAD)) ** -2)
    seen = design[rows] / UNEXPLAINED
    covariance = np.linalg.inv(precision + seen.T @ seen)
    shift = covariance @ (seen.T @ (logs - design[rows] @ before)) / UNEXPLAINED
    variance = UNEXPLAINED**2 + ((design @ covariance) * design).sum(axis=1)
    return design @ (before + shift), np.sqrt(variance)
