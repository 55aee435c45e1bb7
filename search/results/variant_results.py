"""Deployment variants of trained candidates: what their records say beside the front.

A variant is a trained member at another input size, in another runtime or in fewer bits. It costs
no training, and it is no candidate: the front of the trained members stays what it is, and the
variants are judged beside it. That a network may be better at a larger size than it was trained
at is known: Touvron et al. 2019, Fixing the train-test resolution discrepancy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archfront.search.front.members import final_evaluations, losses_of
from archfront.search.front.pareto import front_mask
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation, Failed, Trained
from archfront.search.records.variant_records import (
    Point,
    Scored,
    Setting,
    Variant,
    VariantSummary,
    read,
)
from archfront.search.results.results import Results


def summary(results: Results) -> VariantSummary | None:
    """Return what the variants say beside the trained members; None before the first one.

    Raises:
        StudyError: If the record of the variants cannot be used.
    """
    trained = {e.trial: e for e in final_evaluations(results.evaluations)}
    variants = [
        v
        for v in read(results.paths)
        if v.trial in trained and trained[v.trial].candidate.id == v.candidate_id
    ]
    if not variants:
        return None
    front = [(e := trained[m.trial], setting_of(e)) for m in results.front()]
    scored = [(v, v.outcome) for v in variants if isinstance(v.outcome, Scored)]
    again = [(as_evaluation(trained[v.trial], v), v.setting) for v, _ in scored]
    over = [*({} for _ in front), *(outcome.exceeded for _, outcome in scored)]
    refused = tuple(v for v in variants if isinstance(v.outcome, Failed))
    parities = [*(None for _ in front), *(outcome.parity for _, outcome in scored)]
    points = [
        replace(point, parity=parity)
        for point, parity in zip(_points(results, front, again, over), parities, strict=True)
    ]
    metric, *costs = [objective.name for objective in results.objectives]
    points.sort(key=lambda p: (*(p.costs[name] for name in costs), -p.metric))
    return VariantSummary(metric, tuple(costs), tuple(points), refused)


def setting_of(evaluation: Evaluation) -> Setting:
    """Return how a study measured a trained candidate."""
    assert evaluation.measurement is not None, "what was trained was measured before"
    latency = evaluation.measurement.latency
    size = evaluation.candidate.architecture.input_size
    return Setting(latency.runtime, latency.precision, size)


def resized(candidate: Candidate, size: int) -> Candidate:
    """Return a candidate at another input size."""
    return replace(candidate, architecture=replace(candidate.architecture, input_size=size))


def as_evaluation(evaluation: Evaluation, variant: Variant) -> Evaluation:
    """Return a trained evaluation with what its variant is worth and costs in its place."""
    trained, scored = evaluation.outcome, variant.outcome
    assert isinstance(trained, Trained)
    assert isinstance(scored, Scored)
    outcome = replace(
        trained,
        metric=scored.metric,
        metric_low=scored.metric_low,
        metric_high=scored.metric_high,
        metrics=scored.metrics,
        predictions=scored.predictions,
    )
    return replace(
        evaluation,
        candidate=resized(evaluation.candidate, variant.setting.input_size),
        measurement=scored.measurement,
        outcome=outcome,
    )


def _points(
    results: Results,
    front: Sequence[tuple[Evaluation, Setting]],
    variants: Sequence[tuple[Evaluation, Setting]],
    over: Sequence[dict[str, tuple[float, float]]],
) -> list[Point]:
    objectives, is_tie = results.objectives, results.tie_test()
    everything = [*front, *variants]
    losses = losses_of([evaluation for evaluation, _ in everything], objectives)
    is_front = front_mask(losses)
    points = []
    for place, (evaluation, setting) in enumerate(everything):
        is_variant = place >= len(front)
        beats, matches = [], []
        for other, (member, _) in enumerate(front if is_variant else ()):
            mine, theirs = losses[place], losses[other]
            if (mine <= theirs).all() and (mine < theirs).any():
                beats.append(member.trial)
            elif (mine[1:] < theirs[1:]).all() and is_tie(evaluation, member):
                matches.append(member.trial)
        outcome = evaluation.outcome
        assert isinstance(outcome, Trained)
        points.append(
            Point(
                trial=evaluation.trial,
                label=evaluation.candidate.label,
                setting=setting,
                is_variant=is_variant,
                metric=outcome.metric,
                metric_low=outcome.metric_low,
                metric_high=outcome.metric_high,
                costs={o.name: o.value(evaluation) for o in objectives[1:]},
                is_on_front=bool(is_front[place]),
                beats=tuple(beats),
                matches=tuple(matches),
                exceeded=over[place],
            )
        )
    return points
