"""From evaluations to the front: objectives, the fixed reference point and the members."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archfront.search.front.pareto import front_mask, hypervolume, knee
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation, Fidelity, Trained, trained_outcome
from archfront.search.records.fold_scores import FoldMean
from archfront.search.records.objectives import Objective, Reference

# Finds the trials that tie with each of some trainings, by trial.
Ties = Callable[[Sequence[Evaluation]], Mapping[int, tuple[int, ...]]]
# Evaluators compute in single precision: a metric that equals a baseline may be this far over it.
ROUNDING = 1e-6
NAMED = 0.5  # share of the best metric below which what was not trained in full has no name


@dataclass(frozen=True)
class Baseline:
    """The best answer that needs no image.

    Attributes:
        name: What it answers, in words.
        value: Its metric on the validation split.
    """

    name: str
    value: float


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
        memory_mb: Peak memory in 10^6 bytes; None where it was not measured, like the next two.
        throughput_ips: Images per second.
        energy_mj: Energy of one image in millijoules.
        is_knee: Whether it is the front's knee.
        ties: Trials of the other members whose metric is a statistical tie with this one.
        fidelity: How far it was trained; None in studies whose front is of full trainings only.
        not_better_than: Name of the baseline that its interval does not lie above; else empty.
        is_stable: Whether its latency was measured on a quiet machine.
        knn: Share of the training images that their nearest neighbor's label fits, by the features
            of its probe; None where it had none.
        folds: The metric's mean over folds of train and val; None where there were none.
        trained_on: Name of the cluster's node that trained it; None on the driver's machine.
        measured_on: The same of its measurement.
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
    fidelity: Fidelity | None = None
    not_better_than: str = ""
    is_stable: bool = True
    knn: float | None = None
    folds: FoldMean | None = None
    trained_on: str | None = None
    measured_on: str | None = None

    @property
    def is_full(self) -> bool:
        """Return whether it was trained in full."""
        return self.fidelity is None or self.fidelity.is_full

    def as_row(self) -> dict[str, Any]:
        """Return one flat row of plain values, as ``archfront front --json`` gives it.

        A number that is not known, as of an imported latency, is None.
        """
        architecture, weights = self.candidate.architecture, self.candidate.weights
        apart = ("candidate", "fidelity", "folds")
        own = {name: value for name, value in vars(self).items() if name not in apart}
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
            "trained": "full" if self.fidelity is None else str(self.fidelity),
            "is_full": self.is_full,
            **self._fold_values(),
        }

    def _fold_values(self) -> dict[str, Any]:
        """Return what folds say; nothing where there were none."""
        folds = self.folds
        if folds is None:
            return {}
        return {
            "fold_metric": folds.metric,
            "fold_metric_low": folds.low,
            "fold_metric_high": folds.high,
            "n_folds": folds.n_folds,
        }


def final_evaluations(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return the training of each trial that counts, by trial.

    Of the rungs of a trial whose networks may join the front it is the one with the best metric,
    of equal ones the highest: more training that spoiled a network takes nothing from the front.
    Of two attempts at a rung the latest counts.
    """
    latest: dict[tuple[int, int], Evaluation] = {}
    for evaluation in evaluations:
        if not evaluation.can_join_front:
            continue
        held = latest.setdefault((evaluation.trial, evaluation.rung), evaluation)
        if evaluation.attempt > held.attempt:
            latest[evaluation.trial, evaluation.rung] = evaluation
    final: dict[int, Evaluation] = {}
    for (trial, _), evaluation in sorted(latest.items()):
        held = final.setdefault(trial, evaluation)
        if trained_outcome(evaluation).metric >= trained_outcome(held).metric:
            final[trial] = evaluation
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
    ties: Ties | None = None,
    baseline: Baseline | None = None,
    folds: Mapping[int, FoldMean] = MappingProxyType({}),
) -> list[FrontMember]:
    """Return the members of the front, fastest first; of equal latencies the better first.

    The knee is one of those that ``named_members`` chooses from, where there are any. Where all of
    these were judged on folds, it is that of their means: the same members are then compared by
    more images, and by images that did not choose them.

    Args:
        evaluations: All of a study; one training of each trial counts (``final_evaluations``).
        objectives: The metric first.
        ties: Finds the members whose metrics are statistical ties; None for no ties.
        baseline: What a member has to be better than by its interval; None for nothing.
        folds: Means over folds by trial, of the members that have one.

    Raises:
        ValueError: If a trained value is not finite.
    """
    every = list(evaluations)
    final = final_evaluations(every)
    if not final:
        return []
    mask = front_mask(losses_of(final, objectives))
    chosen = distinct(e for e, is_front in zip(final, mask, strict=True) if is_front)
    better = [e for e in chosen if not _beaten_by(e, baseline)] or chosen
    middle = _knee(_learned(better, trained_outcome), objectives, folds)
    tied = ties(chosen) if ties else {}
    members = [
        replace(
            _member(e, baseline, is_knee=e.trial == middle, ties=tied.get(e.trial, ())),
            folds=folds.get(e.trial),
        )
        for e in chosen
    ]
    scores = _neighbor_scores(every)
    members = [replace(member, knn=scores.get(member.trial)) for member in members]
    return sorted(members, key=lambda m: (m.latency_ms, -m.metric, m.trial))


def _knee(
    members: Sequence[Evaluation], objectives: Sequence[Objective], folds: Mapping[int, FoldMean]
) -> int:
    """Return the trial of the knee: of means over folds where all members have one.

    A member that another one dominates by its mean is not the knee.
    """
    losses = losses_of(members, objectives)
    if not all(member.trial in folds for member in members):
        return members[knee(losses)].trial
    losses[:, 0] = objectives[0].losses([folds[member.trial].metric for member in members])
    mask = front_mask(losses)
    left = [member for member, is_left in zip(members, mask, strict=True) if is_left]
    return left[knee(losses[mask])].trial


def named_members(members: Sequence[FrontMember]) -> dict[str, FrontMember]:
    """Return the members that are called ``fastest``, ``knee`` and ``best``.

    They are better than the baselines and have learned; where none is, nothing has a name.
    """
    better = [member for member in members if not member.not_better_than]
    return chosen_by_name(_learned(better, lambda member: member)) if better else {}


def _learned(some: Sequence[Any], of: Callable[[Any], Trained | FrontMember]) -> list[Any]:
    """Return those that were trained in full, or have a fair share of the best metric of all."""
    least = NAMED * max(of(x).metric for x in some)
    return [x for x in some if not (f := of(x).fidelity) or f.is_full or of(x).metric >= least]


def chosen_by_name(members: Sequence[FrontMember]) -> dict[str, FrontMember]:
    """Return the fastest, the knee and the best of a front, fastest first, whatever they are."""
    middle = next(member for member in members if member.is_knee)
    has_folds = all(member.folds is not None for member in members)
    best = max(members, key=lambda m: (_judged(m, by_folds=has_folds), -m.latency_ms))
    return {"fastest": members[0], "knee": middle, "best": best}


def _judged(member: FrontMember, *, by_folds: bool) -> float:
    """Return the metric by which members are compared."""
    return member.folds.metric if by_folds and member.folds is not None else member.metric


def front_hypervolume(
    evaluations: Iterable[Evaluation], objectives: Sequence[Objective], reference: Reference
) -> float:
    """Return the hypervolume of a study's trainings that count, measured from its reference."""
    table = [[o.value(e) for o in objectives] for e in final_evaluations(evaluations)]
    return hypervolume(reference.losses(table, objectives), np.zeros(len(objectives)))


def distinct(chosen: Iterable[Evaluation]) -> list[Evaluation]:
    """Return evaluations without all but the first of those that gave the same network.

    Recipes of one architecture share the head that is solved on its features.
    """
    found: dict[tuple[str, float, int], Evaluation] = {}
    for evaluation in chosen:
        trained = trained_outcome(evaluation)
        is_probe = trained.fidelity is not None and trained.fidelity.kept_epoch == 0
        own = -1 if is_probe else evaluation.trial
        key = (evaluation.candidate.architecture_id, trained.metric, own)
        found.setdefault(key, evaluation)
    return list(found.values())


def _beaten_by(evaluation: Evaluation, baseline: Baseline | None) -> str:
    """Return the name of a baseline that an interval does not lie above, else nothing."""
    if baseline is None or trained_outcome(evaluation).metric_low > baseline.value + ROUNDING:
        return ""
    return baseline.name


def _neighbor_scores(evaluations: Iterable[Evaluation]) -> dict[int, float]:
    """Return the score of the nearest neighbors in the probe of each trial that had one."""
    found: dict[int, float] = {}
    for evaluation in evaluations:
        outcome = evaluation.outcome
        if isinstance(outcome, Trained) and outcome.knn is not None:
            found[evaluation.trial] = outcome.knn
    return found


def pairwise(is_tie: Callable[[Evaluation, Evaluation], bool]) -> Ties:
    """Return what finds ties by a test of every pair.

    Args:
        is_tie: Whether two members' metrics are a statistical tie, as
            ``search.front.intervals.tie_test`` returns it.
    """
    return partial(_ties, is_tie)


def _ties(
    is_tie: Callable[[Evaluation, Evaluation], bool], chosen: Sequence[Evaluation]
) -> dict[int, tuple[int, ...]]:
    tied: dict[int, list[int]] = {evaluation.trial: [] for evaluation in chosen}
    for index, first in enumerate(chosen):
        for second in chosen[index + 1 :]:
            if is_tie(first, second):
                tied[first.trial].append(second.trial)
                tied[second.trial].append(first.trial)
    return {trial: tuple(sorted(others)) for trial, others in tied.items()}


def _member(
    evaluation: Evaluation, baseline: Baseline | None, *, is_knee: bool, ties: tuple[int, ...]
) -> FrontMember:
    trained, measured = trained_outcome(evaluation), evaluation.measurement
    if measured is None:
        raise ValueError(f"Trial {evaluation.trial} was trained without a measurement.")
    return FrontMember(
        trial=evaluation.trial,
        candidate=evaluation.candidate,
        rung=evaluation.rung,
        metric=trained.metric,
        # Studies of earlier versions have intervals that do not hold their metric.
        metric_low=min(trained.metric_low, trained.metric),
        metric_high=max(trained.metric_high, trained.metric),
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
        fidelity=trained.fidelity,
        not_better_than=_beaten_by(evaluation, baseline),
        is_stable=measured.latency.is_stable,
        trained_on=evaluation.trained_on,
        measured_on=evaluation.measured_on,
    )
