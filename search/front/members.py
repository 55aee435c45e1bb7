"""From evaluations to the front: objectives, the fixed reference point and the members."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.errors import unknown
from search.front.pareto import front_mask, hypervolume, knee
from search.records.candidate import Candidate
from search.records.evaluation import Evaluation, Trained

__all__ = [
    "MEASURED",
    "FrontMember",
    "Objective",
    "Reference",
    "build_front",
    "final_evaluations",
    "front_hypervolume",
    "front_mask",
    "hypervolume",
    "knee",
    "losses_of",
    "objectives_for",
]


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
            return _trained(evaluation).metric
        if evaluation.measurement is None:
            raise ValueError(f"Trial {evaluation.trial} has no measurement of {self.name}.")
        return evaluation.measurement.value(self.name)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON content; ``Objective(**content)`` gives the equal objective back."""
        return asdict(self)


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

    def as_dict(self) -> dict[str, float]:
        """Return plain JSON content; ``Reference(content)`` gives the equal point back."""
        return dict(self.values)


@dataclass(frozen=True)
class FrontMember:
    """A trained candidate that no other dominates.

    Attributes:
        trial: Number of the trial.
        candidate: What was trained.
        rung: Rung of the evaluation.
        metric: The study's metric on the validation split, with its bootstrap interval.
        metric_low: Lower end.
        metric_high: Upper end.
        latency_ms: Median latency.
        latency_p95_ms: 95th percentile of the latency.
        params_m: Parameters in millions.
        macs_g: Multiply-accumulates in billions.
        size_mb: Size of the artifact in 10^6 bytes.
        memory_mb: Peak memory in 10^6 bytes; None where it was not measured, as the next two.
        throughput_ips: Images per second.
        energy_mj: Energy of one image in millijoules.
        is_knee: Whether it is the front's knee.
        ties: Trials of the other members whose metric is a statistical tie with this one.
    """

    trial: int
    candidate: Candidate
    rung: int
    metric: float
    metric_low: float
    metric_high: float
    latency_ms: float
    latency_p95_ms: float
    params_m: float
    macs_g: float
    size_mb: float
    memory_mb: float | None
    throughput_ips: float | None
    energy_mj: float | None
    is_knee: bool
    ties: tuple[int, ...]

    def as_row(self) -> dict[str, Any]:
        """Return one flat row of plain values, as ``archfront front --json`` gives it.

        A number that is not known, as of an imported latency, is None.
        """
        architecture, weights = self.candidate.architecture, self.candidate.weights
        own = {name: value for name, value in vars(self).items() if name != "candidate"}
        own |= {n: None for n, v in own.items() if isinstance(v, float) and math.isnan(v)}
        return {
            "trial": own.pop("trial"),
            "candidate_id": self.candidate.id,
            "backbone": architecture.backbone,
            "head": architecture.head,
            "input_size": architecture.input_size,
            **own,
            "ties": list(self.ties),
            **{name: getattr(architecture, name) for name in ("neck", "width", "depth", "finest")},
            **asdict(self.candidate.recipe),
            "weights": weights.source,
            "weights_tag": weights.tag,
        }


def final_evaluations(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return the full training of each trial that has one, by trial: the latest attempt.

    What was found at a rung below the top is no value of a candidate.
    """
    final: dict[int, Evaluation] = {}
    for evaluation in evaluations:
        if evaluation.kind != "trained" or not evaluation.is_top:
            continue
        held = final.setdefault(evaluation.trial, evaluation)
        if evaluation.attempt > held.attempt:
            final[evaluation.trial] = evaluation
    return [final[trial] for trial in sorted(final)]


def losses_of(
    evaluations: Sequence[Evaluation], objectives: Sequence[Objective]
) -> NDArray[np.float64]:
    """Return the losses of trained evaluations, ``(n_evaluations, n_objectives)``."""
    columns = [o.losses([o.value(evaluation) for evaluation in evaluations]) for o in objectives]
    return np.stack(columns, axis=1)


def build_front(
    evaluations: Iterable[Evaluation],
    objectives: Sequence[Objective],
    *,
    is_tie: Callable[[Evaluation, Evaluation], bool] | None = None,
) -> list[FrontMember]:
    """Return the members of the front, fastest first; of equal latencies the better first.

    Args:
        evaluations: All of a study; only full trainings count, one per trial.
        objectives: The metric first.
        is_tie: Whether two members' metrics are a statistical tie, as
            ``search.front.intervals.tie_test`` gives it; without it no ties are told.

    Raises:
        ValueError: If a trained value is not finite.
    """
    final = final_evaluations(evaluations)
    if not final:
        return []
    mask = front_mask(losses_of(final, objectives))
    chosen = [evaluation for evaluation, is_front in zip(final, mask, strict=True) if is_front]
    middle = chosen[knee(losses_of(chosen, objectives))].trial
    ties = _ties(chosen, is_tie) if is_tie else {}
    members = [_member(e, is_knee=e.trial == middle, ties=ties.get(e.trial, ())) for e in chosen]
    return sorted(members, key=lambda m: (m.latency_ms, -m.metric, m.trial))


def front_hypervolume(
    evaluations: Iterable[Evaluation], objectives: Sequence[Objective], reference: Reference
) -> float:
    """Return the hypervolume of a study's full trainings, measured from its reference."""
    table = [[o.value(e) for o in objectives] for e in final_evaluations(evaluations)]
    return hypervolume(reference.losses(table, objectives), np.zeros(len(objectives)))


def _ties(
    chosen: Sequence[Evaluation], is_tie: Callable[[Evaluation, Evaluation], bool]
) -> dict[int, tuple[int, ...]]:
    tied: dict[int, list[int]] = {evaluation.trial: [] for evaluation in chosen}
    for index, first in enumerate(chosen):
        for second in chosen[index + 1 :]:
            if is_tie(first, second):
                tied[first.trial].append(second.trial)
                tied[second.trial].append(first.trial)
    return {trial: tuple(sorted(others)) for trial, others in tied.items()}


def _trained(evaluation: Evaluation) -> Trained:
    if not isinstance(evaluation.outcome, Trained):
        raise ValueError(f"Trial {evaluation.trial} was {evaluation.kind}, not trained.")
    return evaluation.outcome


def _member(evaluation: Evaluation, *, is_knee: bool, ties: tuple[int, ...]) -> FrontMember:
    trained, measured = _trained(evaluation), evaluation.measurement
    if measured is None:
        raise ValueError(f"Trial {evaluation.trial} was trained without a measurement.")
    return FrontMember(
        trial=evaluation.trial,
        candidate=evaluation.candidate,
        rung=evaluation.rung,
        metric=trained.metric,
        metric_low=trained.metric_low,
        metric_high=trained.metric_high,
        latency_ms=measured.latency.p50_ms,
        latency_p95_ms=measured.latency.p95_ms,
        params_m=measured.params_m,
        macs_g=measured.macs_g,
        size_mb=measured.size_mb,
        memory_mb=measured.memory_mb,
        throughput_ips=measured.throughput_ips,
        energy_mj=measured.energy_mj,
        is_knee=is_knee,
        ties=ties,
    )
