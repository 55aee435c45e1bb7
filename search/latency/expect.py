"""The latencies that are expected of architectures, from those measured on the same device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from archfront.search.latency.predicted import MIN_MEASURED, LatencyModel, is_predictable
from archfront.search.records.evaluation import Prediction
from archfront.trainers.spec import Architecture

# The model is fitted again whenever the number of measurements has grown by this factor.
GROWTH = 1.1


class Expectations:
    """Predictions from a growing number of measurements.

    Args:
        measured_ms: p50s by architecture, of one device, runtime, precision and batch, in the
            order of their measuring. The predictions depend on nothing else, so that a study
            that was stopped goes on with the same expectations.
    """

    def __init__(self, measured_ms: Mapping[Architecture, float]) -> None:
        self._measured = {a: ms for a, ms in measured_ms.items() if is_predictable(a)}
        self._model: LatencyModel | None = None

    def learn(self, architecture: Architecture, p50_ms: float) -> None:
        """Take in a measurement."""
        if is_predictable(architecture):
            self._measured[architecture] = p50_ms

    def of(self, architecture: Architecture) -> Prediction | None:
        """Return the expected latency; None with too few measurements or an unknown backbone."""
        return self.bands([architecture]).get(0)

    def bands(self, architectures: Sequence[Architecture]) -> dict[int, Prediction]:
        """Return the expected latencies by position, of those architectures that have one."""
        if len(self._measured) < MIN_MEASURED:
            return {}
        positions = [i for i, a in enumerate(architectures) if is_predictable(a)]
        if not positions:
            return {}
        predictions = self._fitted().predict_each([architectures[i] for i in positions])
        return dict(zip(positions, predictions, strict=True))

    def _fitted(self) -> LatencyModel:
        """Return the model, fitted again where enough was measured since."""
        n_fitted = _largest_step(len(self._measured))
        if self._model is None or n_fitted != self._model.n_measured:
            first = list(self._measured.items())[:n_fitted]
            self._model = LatencyModel([a for a, _ in first], [ms for _, ms in first])
        return self._model


def _largest_step(n_measured: int) -> int:
    """Return the largest number up to ``n_measured`` at which the model is fitted again."""
    step = MIN_MEASURED
    while (following := math.ceil(step * GROWTH)) <= n_measured:
        step = following
    return step
