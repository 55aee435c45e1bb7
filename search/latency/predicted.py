"""The prediction of latencies that were not measured, with a band of uncertainty.

A network's time is modeled as a sum over the kinds of work that the catalog counts: some
nanoseconds for each multiply-accumulate of a pointwise convolution, each element that a softmax
writes, each kernel that is started. What these cost on one device in one runtime is fitted to what
was measured there. No cost is negative, so that the sum extrapolates as time does.

Decisions, from a prototype on 103 architectures of 69 families on ONNX Runtime, 32 of them fitted,
20 random splits, median relative error of the others:

- MACs alone 0.165; a linear model of logarithms 0.128; a Gaussian process 0.12; such a sum 0.081.
- MACs and elements by kind are what matters: with totals only the sum gives 0.114.
- Fitted to relative errors and robustly: least squares gives 0.088, since a few networks run far
  slower than all that their operations tell. A Gaussian process on what the sum leaves adds
  nothing.
- Networks of one family leave the sum on the same side: multiplying by what their measured
  siblings show, drawn towards 1, brings the error from 0.54 of that of MACs alone to 0.48 (119
  architectures of 49 families, as above; eager 0.55 to 0.49, OpenVINO 0.50 to 0.44). Neighbors by
  kinds of work instead of families do as well at one reach of three and worse at the others.
- The band is conformal, so as wide as the errors on measurements that a fit did not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from archfront.search.catalog import Backbone, catalog
from archfront.search.records.evaluation import Prediction
from archfront.trainers.spec import Architecture
from archfront.trainers.tasks import TASKS

Array = NDArray[np.float64]

# With fewer, a 90 % band is infinite or means little.
MIN_MEASURED = 16
# Share of latencies that lie within the band, and within the wider one by which something is left
# out for good.
COVERAGE = 0.9
SURE = 0.98
# Relative errors above this count by their size, not their square.
ROBUST = 0.05
ROUNDS = 8
# Pulls the costs towards those at which every group of work takes an equal part of the time and
# all MACs, and all elements, cost the same, so that a kind which the measured networks hardly
# contain gets a usual cost; in units of one measurement's weight.
PULL = 0.03
# MACs, elements, kernels, weights, the call itself.
N_GROUPS = 5
# A family's own factor is drawn towards 1 as by half a sibling more, measured as predicted
# (benchmarks/LOG.md, "Predicted latencies").
SHRINKAGE = 0.5
# A fit for each measurement left out: beyond these, some stand for all.
MAX_LEFT_OUT = 200


@dataclass(frozen=True)
class Band:
    """Predicted latencies in ms, each of shape ``(n,)``.

    Attributes:
        p50_ms: The predicted p50.
        low_ms: Lower end of the band that holds ``COVERAGE`` of the measured ones.
        high_ms: Its upper end.
        least_ms: Lower end of the band that holds ``SURE`` of them.
    """

    p50_ms: Array
    low_ms: Array
    high_ms: Array
    least_ms: Array


class LatencyModel:
    """The model of p50s of one runtime, precision, batch and number of threads on one device.

    Args:
        architectures: What was measured, of backbones of the catalog.
        p50_ms: Its latencies.

    Raises:
        ValueError: If there are fewer than ``MIN_MEASURED`` or a latency is not above 0.
    """

    def __init__(self, architectures: Sequence[Architecture], p50_ms: Iterable[float]) -> None:
        measured = np.asarray(list(p50_ms), dtype=float)
        if len(measured) != len(architectures) or len(measured) < MIN_MEASURED:
            raise ValueError(
                f"at least {MIN_MEASURED} measured architectures are needed, each with its "
                f"latency; got {len(architectures)} and {len(measured)}"
            )
        if not (np.isfinite(measured).all() and (measured > 0).all()):
            raise ValueError(f"latencies are above 0 ms; got {measured.min():g}")
        amounts = work(architectures)
        self.n_measured = len(measured)
        families = _families(architectures)
        self._costs = _fit(amounts, measured)
        self._factors = _factors(amounts @ self._costs, measured, families)
        errors = _left_out_errors(amounts, measured, families)
        self._ratios = _ratio(errors, COVERAGE), _ratio(errors, SURE)

    def predict(self, architectures: Sequence[Architecture]) -> Band:
        """Return the predicted latencies of architectures of the catalog's backbones."""
        factors = [self._factors.get(family, 1.0) for family in _families(architectures)]
        p50_ms = work(architectures) @ self._costs * np.array(factors)
        usual, sure = self._ratios
        return Band(p50_ms, p50_ms / usual, p50_ms * usual, p50_ms / sure)

    def predict_each(self, architectures: Sequence[Architecture]) -> list[Prediction]:
        """Return the same, one record an architecture."""
        band = self.predict(architectures)
        columns = [getattr(band, item.name).tolist() for item in fields(Prediction)]
        return [Prediction(*row) for row in zip(*columns, strict=True)]


def is_predictable(architecture: Architecture) -> bool:
    """Return whether the catalog knows enough: nearly all the work is the backbone's."""
    row = catalog().get(architecture.backbone)
    task = TASKS.get(architecture.task)
    is_bare = task is not None and task.is_image_level
    return row is not None and row.is_built and is_bare


def work(architectures: Sequence[Architecture]) -> Array:
    """Return the amounts of work ``(n, kinds)``: MACs and elements by kind, kernels, weights, 1.

    Raises:
        ValueError: If a backbone is not in the catalog or was not built.
    """
    rows = catalog()
    amounts = []
    for architecture in architectures:
        if not is_predictable(architecture):
            raise ValueError(f"the catalog knows no costs of {architecture.backbone!r}")
        row = rows[architecture.backbone].with_head(architecture.head)
        costs = row.costs_at(architecture.input_size)
        amounts.append(
            [
                *(costs.macs_g * share for share in row.macs_shares),
                *(costs.elements_m * share for share in row.elements_shares),
                row.n_ops,
                row.params_m,
                1.0,
            ]
        )
    return np.array(amounts)


def _fit(amounts: Array, measured: Array) -> Array:
    """Return the cost in ms of a unit of each kind of work, none below 0.

    The sum of absolute relative errors is made small by least squares whose weights are renewed.
    Source: Holland and Welsch 1977 (Robust regression using iteratively reweighted least squares),
    with Huber's weights.
    """
    from scipy.optimize import nnls

    # In units of a group's mean share, a part of 1 means that the group takes all the time.
    shares = amounts / measured[:, None]
    units = np.concatenate(
        [np.full(group.shape[1], group.sum(axis=1).mean()) for group in _groups(shares)]
    )
    scaled = shares / units
    n_kinds, pull = len(units), np.sqrt(PULL)
    weights = np.ones(len(measured))
    for _ in range(ROUNDS):
        rows = np.vstack([scaled * weights[:, None], pull * np.eye(n_kinds)])
        wanted = np.concatenate([weights, np.full(n_kinds, pull / N_GROUPS)])
        parts, _ = nnls(rows, wanted)
        errors = np.abs(scaled @ parts - 1)
        weights = np.sqrt(ROBUST / np.maximum(errors, ROBUST))
    costs: Array = parts / units
    return costs


def _groups(amounts: Array) -> list[Array]:
    """Return the columns of MACs, of elements, and of each other kind of work."""
    n_macs, n_elements = len(Backbone.macs_shares), len(Backbone.elements_shares)
    starts = [n_macs, n_macs + n_elements, n_macs + n_elements + 1, n_macs + n_elements + 2]
    groups = np.split(amounts, starts, axis=1)
    assert len(groups) == N_GROUPS
    return groups


def _families(architectures: Sequence[Architecture]) -> list[str]:
    return [catalog()[architecture.backbone].family for architecture in architectures]


def _factors(predicted: Array, measured: Array, families: Sequence[str]) -> dict[str, float]:
    """Return by family the ratio of its measurements to the predictions, drawn towards 1."""
    errors: dict[str, list[float]] = {}
    for family, error in zip(families, np.log(measured / predicted), strict=True):
        errors.setdefault(family, []).append(float(error))
    return {
        family: float(np.exp(sum(several) / (len(several) + SHRINKAGE)))
        for family, several in errors.items()
    }


def _left_out_errors(amounts: Array, measured: Array, families: Sequence[str]) -> Array:
    """Return the errors, in logarithms, of predicting each measurement from the others, sorted."""
    n_measured = len(measured)
    left_out = np.unique(np.linspace(0, n_measured - 1, MAX_LEFT_OUT).astype(int))
    errors = []
    for i in left_out:
        others = np.arange(n_measured) != i
        costs = _fit(amounts[others], measured[others])
        siblings = [family for family, is_other in zip(families, others, strict=True) if is_other]
        factors = _factors(amounts[others] @ costs, measured[others], siblings)
        p50_ms = amounts[i] @ costs * factors.get(families[i], 1.0)
        errors.append(abs(np.log(p50_ms / measured[i])))
    return np.sort(errors)


def _ratio(errors: Array, coverage: float) -> float:
    """Return the ratio of prediction and truth that a share of networks stays within.

    With few measurements, the largest error of all.
    Source: Barber et al. 2021 (Predictive inference with the jackknife+), the plain jackknife with
    the conformal quantile.
    """
    rank = int(np.ceil(coverage * (len(errors) + 1)))
    return float(np.exp(errors[min(rank, len(errors)) - 1]))
