"""The look-up of an architecture's costs, before a job is submitted for it.

The one place where a driver looks them up: it gives a measurement, a reason why there is none, or
None, and then the architecture must be measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from archfront.search.latency.database import Entry, LatencyKey
from archfront.search.latency.expect import Expectations
from archfront.search.latency.key import MeasureSettings, is_under, latency_key
from archfront.search.latency.tiled import expected_of_image, of_image, of_run
from archfront.search.records.evaluation import (
    Failed,
    Measurement,
    Prediction,
    Rejected,
)
from archfront.search.records.failure_kinds import LASTING, FailureKind
from archfront.trainers.spec import Architecture

Answer = Measurement | Rejected | Failed | None


class Table(Protocol):
    """A table of latencies."""

    def get(self, key: LatencyKey) -> Measurement | None:
        """Return what was measured."""

    def put(self, key: LatencyKey, measurement: Measurement, *, is_final: bool = False) -> None:
        """Remember a measurement."""

    def failure(self, key: LatencyKey) -> Failed | None:
        """Return why it could not be measured."""

    def put_failure(self, key: LatencyKey, failed: Failed) -> None:
        """Remember that it cannot be measured."""

    def entries(self) -> list[Entry]:
        """Return everything that was measured, on every device."""


class CostLookup(Protocol):
    """The look-up of the costs of a study's architectures."""

    def lookup(self, architecture: Architecture) -> Answer:
        """Return a measurement, the reason why there is none, or None if it must be measured."""

    def expected(self, architecture: Architecture) -> Prediction | None:
        """Return the expected latency of an architecture; None if there is none."""

    def measured(self) -> Mapping[Architecture, Measurement]:
        """Return all measurements under the study's settings."""

    def bands(self, architectures: Sequence[Architecture]) -> Mapping[int, Prediction]:
        """Return the expected latencies by position, of those architectures that have one."""

    def learn(self, architecture: Architecture, result: Measurement | Failed) -> None:
        """Take in the result of measuring an architecture."""


class DeviceCosts:
    """The costs that this device remembers, and learns.

    Where images are cut into tiles, it remembers those of one tile, and gives those of an image.

    Args:
        table: The table that remembers them.
        settings: How architectures are measured.
        needed: Names of the values that a measurement must have; one that lacks any is taken
            again.
        lasting: Kinds of failures that are remembered.
        latency_ms_max: An architecture that can only be slower is rejected without being measured.
    """

    def __init__(
        self,
        table: Table,
        settings: MeasureSettings,
        needed: Sequence[str] = (),
        lasting: Sequence[FailureKind] = LASTING,
        latency_ms_max: float | None = None,
    ) -> None:
        self._table, self._settings = table, settings
        self._needed, self._lasting = tuple(needed), tuple(lasting)
        self._latency_ms_max = latency_ms_max

    def lookup(self, architecture: Architecture) -> Answer:
        """Return a measurement, the reason why there is none, or None if it must be measured."""
        key = latency_key(architecture, self._settings)
        found = self._table.get(key)
        if found is not None:
            return of_image(found, self._settings.tiles) if self._serves(found) else None
        failed = self._table.failure(key)
        if failed is not None:
            return remembered(failed)
        if self._latency_ms_max is not None:
            expected = self.expected(architecture)
            if expected is not None and expected.least_ms > self._latency_ms_max:
                over = {"latency_ms": (expected.least_ms, self._latency_ms_max)}
                return Rejected(over, is_predicted=True)
        return None

    def _serves(self, found: Measurement) -> bool:
        """Return whether a measurement has all values that are needed now."""
        batch = self._settings.throughput_batch
        return found.has(self._needed) and batch in (None, found.throughput_batch)

    def expected(self, architecture: Architecture) -> Prediction | None:
        """Return the latency expected from the measurements so far under the same settings."""
        return self._of_image(self._expectations.of(architecture))

    def _of_image(self, expected: Prediction | None) -> Prediction | None:
        return expected_of_image(expected, self._settings.tiles, self._settings.batch_size)

    @cached_property
    def _expectations(self) -> Expectations:
        """Return the expectations from this device's measurements, read at the first use."""
        return Expectations({a: m.latency.p50_ms for a, m in self._entries().items()})

    def _entries(self) -> dict[Architecture, Measurement]:
        return {
            entry.key.architecture: entry.measurement
            for entry in self._table.entries()
            if is_under(entry.key, self._settings)
        }

    def measured(self) -> Mapping[Architecture, Measurement]:
        """Return all measurements under the study's settings."""
        tiles = self._settings.tiles
        return {a: of_image(m, tiles) for a, m in self._entries().items() if self._serves(m)}

    def bands(self, architectures: Sequence[Architecture]) -> Mapping[int, Prediction]:
        """Return the expected latencies by position, of those architectures that have one."""
        found = self._expectations.bands(architectures)
        of_images = ((i, self._of_image(expected)) for i, expected in found.items())
        return {i: expected for i, expected in of_images if expected is not None}

    def learn(self, architecture: Architecture, result: Measurement | Failed) -> None:
        """Remember a measurement, or a failure that would come again."""
        key = latency_key(architecture, self._settings)
        if isinstance(result, Measurement):
            result = of_run(result)
            self._expectations.learn(architecture, result.latency.p50_ms)
            before = self._table.get(key)
            is_final = before is not None and not self._serves(before)
            self._table.put(key, result, is_final=is_final)
        elif result.kind in self._lasting:
            self._table.put_failure(key, result)


class ImportedCosts:
    """The costs imported for a device that is not at hand, where nothing can be measured.

    Args:
        measurements: The imported measurements by architecture.
        words: The device and runtime, for people.
    """

    def __init__(self, measurements: Mapping[Architecture, Measurement], words: str) -> None:
        self._measurements, self._words = measurements, words

    def lookup(self, architecture: Architecture) -> Answer:
        """Return the imported measurement, or Failed if none was imported."""
        found = self._measurements.get(architecture)
        return found or Failed("build", f"no latency of {self._words} was imported for it")

    def expected(self, architecture: Architecture) -> Prediction | None:
        """Return None: no latency of another device is predicted."""
        return None

    def measured(self) -> Mapping[Architecture, Measurement]:
        """Return the imported measurements."""
        return self._measurements

    def bands(self, architectures: Sequence[Architecture]) -> Mapping[int, Prediction]:
        """Return no expected latencies, like ``expected``."""
        return {}

    def learn(self, architecture: Architecture, result: Measurement | Failed) -> None:
        """Ignore the result: an architecture that was not imported stays unknown."""


def remembered(failed: Failed) -> Failed:
    """Return the failure that a study records for a failure of the table."""
    return replace(failed, message=f"remembered: {failed.message}", is_remembered=True)
