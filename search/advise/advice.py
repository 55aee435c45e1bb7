"""The front to expect before any training: published accuracy against measured latency.

Only what could be on that front is measured. A network could be unless another one is at least as
accurate and no slower than the prediction allows it to be. The next network to be measured is the
one that would add most to the front's hypervolume if its prediction were true.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from archfront.search.catalog import Backbone, Published, match
from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError
from archfront.search.front.pareto import front_mask, hypervolume
from archfront.search.latency.predicted import MIN_MEASURED, Band, LatencyModel
from archfront.search.prepare.select_backbones import select
from archfront.search.records.evaluation import Failed, Measurement
from archfront.trainers.spec import Architecture

MeasureResult = Measurement | Failed
Array = np.ndarray

# Accuracy of guessing one of ImageNet's classes, in percent.
CHANCE = 0.1
# Before there is a model, the next networks have at most MACS_STEP times the MACs of one that took
# at most FAR_OVER times the limit.
MACS_STEP = 8.0
FAR_OVER = 3.0


@dataclass(frozen=True)
class Option:
    """Published weights at the input size of their published accuracy.

    Attributes:
        backbone: Its row of the catalog.
        published: Weights, size and ImageNet-1k top-1.
        architecture: The architecture to measure, for the classes and channels of the user's data.
    """

    backbone: Backbone
    published: Published
    architecture: Architecture

    @property
    def licence(self) -> str:
        """Return the license of the weights."""
        return self.backbone.licence(self.published.tag)

    @property
    def macs_g(self) -> float:
        """Return the catalog's multiply-accumulates at the input size, in billions."""
        return self.backbone.costs_at(self.published.input_size).macs_g


@dataclass(frozen=True)
class Field:
    """The options to choose from.

    Attributes:
        options: Each architecture once, with its most accurate published weights.
        unpublished: Backbones of the space without a published accuracy.
        left_out: Number of the published weights that are left out, by reason.
    """

    options: tuple[Option, ...]
    unpublished: tuple[str, ...]
    left_out: Mapping[str, int]


def options_of(config: Config, *, classes: int, channels: int) -> Field:
    """Return the published networks of a configuration's space.

    A network is taken at the input sizes of its published accuracies, whatever
    ``space.input_sizes`` says, since what it gives at another size was not published.

    Raises:
        ConfigError: If it is another task than classification, or nothing is left of the space.
    """
    if config.task.name != "classification":
        raise ConfigError(
            "task: advise compares published accuracies, which are of classification; got "
            f"{config.task.name}. Run a study; archfront run task={config.task.name} ... "
            "--dry-run tells what it would take."
        )
    rows = select(config.space, Path(config.tracking.root))
    found: dict[Architecture, Option] = {}
    left_out = {"weights of another license": 0, "a size or head that cannot be built": 0}
    for row in rows:
        for entry in row.published:  # the best first
            head = next(iter(row.heads_among(config.space.heads)), None)
            if not match(config.space.licences, [row.licence(entry.tag)]):
                left_out["weights of another license"] += 1
            elif head is None or not (row.is_built and row.takes(entry.input_size)):
                left_out["a size or head that cannot be built"] += 1
            else:
                architecture = Architecture(
                    task=config.task.name,
                    backbone=row.name,
                    head=head,
                    input_size=entry.input_size,
                    classes=classes,
                    channels=channels,
                    fused=row.is_fusable,
                )
                found.setdefault(architecture, Option(row, entry, architecture))
    unpublished = tuple(row.name for row in rows if not row.published)
    return Field(tuple(found.values()), unpublished, {k: n for k, n in left_out.items() if n})


@dataclass
class Advice:
    """The expected front so far; it grows as networks are measured.

    Args:
        options: The options to choose from.
        limits: Returns the limits that a measurement exceeds.
        latency_ms_max: The limit of the latency; None for no limit.
    """

    options: Sequence[Option]
    limits: Callable[[Measurement], Mapping[str, tuple[float, float]]]
    latency_ms_max: float | None = None
    answers: dict[int, MeasureResult] = field(default_factory=dict)
    _model: LatencyModel | None = None

    def learn(self, index: int, answer: MeasureResult) -> None:
        """Take in the result of measuring an option."""
        self.answers[index] = answer
        measured = self._measured()
        if len(measured) >= MIN_MEASURED:
            self._model = LatencyModel(
                [self.options[i].architecture for i in measured],
                [m.latency.p50_ms for m in measured.values()],
            )

    def next(self) -> int | None:
        """Return the option to measure next; None when no other could be on the front."""
        if self._model is None:
            is_turn = len(self.answers) % 2 == 1
            found = self._strangest() if is_turn else None
            return next(self._starts(), None) if found is None else found
        left = self.candidates()
        if not left:
            return None
        band = self.band(left)
        gains = self._gains(left, band.p50_ms)
        if not gains.any():
            gains = self._gains(left, band.least_ms)
        return left[int(np.argmax(gains))] if gains.any() else left[int(np.argmin(band.least_ms))]

    def candidates(self) -> list[int]:
        """Return the options not measured yet that could be on the front, by index."""
        left = [i for i in range(len(self.options)) if i not in self.answers]
        if self._model is None or not left:
            return left
        least_ms = self.band(left).least_ms
        top1 = np.array([self.options[i].published.top1 for i in left])
        possible = np.ones(len(left), dtype=bool)
        if self.latency_ms_max is not None:
            possible &= least_ms <= self.latency_ms_max
        for index, measurement in self._feasible().items():
            is_beaten = (self.options[index].published.top1 >= top1) & (
                measurement.latency.p50_ms <= least_ms
            )
            possible &= ~is_beaten
        return [i for i, is_possible in zip(left, possible, strict=True) if is_possible]

    def band(self, indices: Sequence[int]) -> Band:
        """Return the predicted latencies of options; there must be a model."""
        assert self._model is not None
        return self._model.predict([self.options[i].architecture for i in indices])

    @property
    def has_model(self) -> bool:
        """Return whether enough is measured to predict the rest."""
        return self._model is not None

    def front(self) -> list[int]:
        """Return the front of the measured options within the limits, the fastest first."""
        feasible = self._feasible()
        if not feasible:
            return []
        losses = [[m.latency.p50_ms, -self.options[i].published.top1] for i, m in feasible.items()]
        members = [i for i, kept in zip(feasible, front_mask(losses), strict=True) if kept]
        return sorted(members, key=lambda i: feasible[i].latency.p50_ms)

    def _measured(self) -> dict[int, Measurement]:
        return {i: a for i, a in self.answers.items() if isinstance(a, Measurement)}

    def _feasible(self) -> dict[int, Measurement]:
        return {i: m for i, m in self._measured().items() if not self.limits(m)}

    def _starts(self) -> Iterator[int]:
        """Yield the options to measure before there is a model.

        They are fronts of published accuracy against MACs, peeled off one after the other, so
        that all of them could be on the front; of each the lightest and heaviest first, then
        those halfway, so that the model sees the whole range.
        """
        left, macs_g_max = list(range(len(self.options))), self._macs_g_max()
        while left:
            losses = [[self.options[i].macs_g, -self.options[i].published.top1] for i in left]
            layer = [i for i, kept in zip(left, front_mask(losses), strict=True) if kept]
            layer.sort(key=lambda i: self.options[i].macs_g)
            near = [i for i in layer if self.options[i].macs_g <= macs_g_max]
            yield from (
                near[place] for place in _halving(len(near)) if near[place] not in self.answers
            )
            left = [i for i in left if i not in set(layer)]

    def _strangest(self) -> int | None:
        """Return the option whose kinds of work differ most from those measured or tried so far.

        The model cannot predict the cost of a kind of work that it never saw.
        """
        macs_g_max = self._macs_g_max()
        near = [
            i
            for i, option in enumerate(self.options)
            if option.macs_g <= macs_g_max and i not in self.answers
        ]
        if not near:
            return None
        kinds = np.array(
            [[*o.backbone.macs_shares, *o.backbone.elements_shares] for o in self.options]
        )
        apart = np.linalg.norm(kinds[near, None] - kinds[None, list(self.answers)], axis=2)
        return near[int(apart.min(axis=1).argmax())]

    def _macs_g_max(self) -> float:
        """Return the most work worth measuring: a step beyond the networks that were not too slow.

        The rate of small networks says nothing of large ones, so the limit is approached in steps.
        """
        if self.latency_ms_max is None:
            return math.inf
        known = [(self.options[i].macs_g, m.latency.p50_ms) for i, m in self._measured().items()]
        too_slow_ms = FAR_OVER * self.latency_ms_max
        lightest = min(option.macs_g for option in self.options)
        reached = max((macs for macs, ms in known if ms <= too_slow_ms), default=lightest)
        too_heavy = min((macs for macs, ms in known if ms > too_slow_ms), default=math.inf)
        return min(MACS_STEP * reached, too_heavy)

    def _gains(self, indices: Sequence[int], p50_ms: Array) -> Array:
        """Return what each option would add to the hypervolume with these latencies."""
        feasible = self._feasible()
        known = [
            [np.log(m.latency.p50_ms), -self.options[i].published.top1]
            for i, m in feasible.items()
        ]
        slowest = self.latency_ms_max or max(
            float(p50_ms.max()), *(m.latency.p50_ms for m in feasible.values()), 0.0
        )
        reference = [np.log(slowest) + 1e-9, -CHANCE]
        before = hypervolume(known, reference) if known else 0.0
        gains = [
            hypervolume([*known, [np.log(ms), -self.options[i].published.top1]], reference)
            - before
            for i, ms in zip(indices, p50_ms, strict=True)
        ]
        return np.array(gains)


def _halving(n: int) -> list[int]:
    """Return 0 to ``n - 1``: the first, the last, the middle, the quarters and so on."""
    order: dict[int, None] = {}
    parts = 1
    while len(order) < n:
        order.update((round(part * (n - 1) / parts), None) for part in range(parts + 1))
        parts *= 2
    return list(order)
