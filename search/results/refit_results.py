"""What full trainings gave: one record a member and seed, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from archfront.search.errors import StudyError
from archfront.search.front.members import FrontMember, build_front, pairwise
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.refit_records import Refit, RefitMember, RefitSummary
from archfront.search.results.results import Results
from archfront.search.results.select_members import (
    Member,
    check_kept,
    chosen_trials,
    evaluation_of,
    proxy_member,
)

RECORD = "refit.json"
# Seeds of two members differ when this two-sided test says so.
LEVEL = 0.05
# Of fewer members a rank correlation says nothing.
LEAST_RANKED = 3


def folder_of(results: Results, trial: int, seed: int) -> Path:
    """Return the folder of one full training."""
    return results.paths.folder / "refits" / f"{trial:05d}-{seed}"


def refits_of(results: Results) -> list[Refit]:
    """Return the finished full trainings that were asked what the last one was, by trial and seed.

    Trainings of other lengths do not compare, and would spoil means over seeds.
    """
    files = list((results.paths.folder / "refits").glob(f"*/{RECORD}"))
    files.sort(key=lambda file: file.stat().st_mtime_ns)
    found = [refit for file in files if (refit := Refit.read(file)) is not None]
    # Who taught is not asked: the best member teaches the others and has no teacher itself.
    asked = [
        {name: value for name, value in refit.question.items() if not name.startswith("teach")}
        for refit in found
    ]
    alike = [refit for refit, own in zip(found, asked, strict=True) if own == asked[-1]]
    return sorted(alike, key=lambda refit: (refit.trial, refit.seed))


def member_of(results: Results, name: str, *, is_proxy: bool) -> Member:
    """Return the member that a name stands for.

    Of several seeds the one that is best on the validation split is exported.

    Args:
        results: The study.
        name: As ``search.results.select_members.chosen_trials`` takes it.
        is_proxy: Whether the weights of its proxy training are asked for.

    Raises:
        StudyError: If there is none, or its weights are not there.
        DamagedError: If its weights are not as they were written.
    """
    trials = chosen_trials(results, [name])
    if len(trials) != 1:
        raise StudyError(f"--member: {name!r} stands for {len(trials)} candidates. Give one.")
    [trial] = trials
    if is_proxy:
        return proxy_member(results, trial)
    best = shipped_refits(results).get(trial)
    if best is None:
        study = results.paths.study
        raise StudyError(
            f"Trial {trial} of {study!r} has no refit yet. Run 'archfront refit {study} --members "
            f"{trial}', or say --proxy for the weights that the search trained."
        )
    origin = {
        "kind": "refit",
        "seed": best.seed,
        "epochs": len(best.curve),
        "best_epoch": best.best_epoch,
        **{f"{split}_metrics": metrics for split, metrics in best.metrics.items()},
        **{f"{split}_interval": list(ends) for split, ends in best.intervals.items()},
    }
    warning = worse_than_proxy(results, best)
    origin |= {"warning": warning} if warning else {}
    weights = results.paths.folder / best.weights
    check_kept(results, trial, weights)
    return Member(evaluation_of(results, trial), weights, origin)


def worse_than_proxy(results: Results, refit: Refit) -> str:
    """Return a sentence on a full training that is worse than the short one of the search.

    Worse is what has the short training's metric above its own interval, on the validation split;
    of others the sentence is empty.
    """
    metric = results.objectives[0].name
    before = evaluation_of(results, refit.trial).outcome
    assert isinstance(before, Trained)
    low, high = refit.intervals["val"]
    if before.metric <= high:
        return ""
    return (
        f"Trial {refit.trial} is worse after its full training than after the short one of the "
        f"search, beyond its interval: {metric} {refit.metrics['val'][metric]:.4f} ({low:.4f} to "
        f"{high:.4f}) against {before.metric:.4f} on the validation split. More epochs may help; "
        "'archfront export' with --proxy takes the weights of the search."
    )


def shipped_refits(results: Results) -> dict[int, Refit]:
    """Return the full training by trial that an export takes: the best on the validation split."""
    refits = refits_of(results)
    trials = {refit.trial for refit in refits}
    return {t: _shipped([r for r in refits if r.trial == t], results) for t in sorted(trials)}


def summary(results: Results) -> RefitSummary | None:
    """Return what the full trainings of a study say together; None before the first one."""
    refits = refits_of(results)
    if not refits:
        return None
    metric = results.objectives[0].name
    split = "test" if all("test" in refit.metrics for refit in refits) else "val"
    groups = {r.trial: [o for o in refits if o.trial == r.trial] for r in refits}
    again = [_refitted(results, group, metric, split) for group in groups.values()]
    is_tie = results.tie_test()

    def is_open(first: Evaluation, second: Evaluation) -> bool:
        """Return whether images or seeds leave it open which of two is better."""
        seeds = [
            [refit.metrics[split][metric] for refit in groups[e.trial]] for e in (first, second)
        ]
        return is_tie(first, second) or not differs(*seeds)

    front = build_front(again, results.objectives, ties=pairwise(is_open))
    members = [_member(results, e, groups, again, front, is_open, split) for e in again]
    kendall, p_value = _ranked([m.proxy for m in members], [m.metric for m in members])
    before = {member.trial for member in results.front()}
    kept = sum(member.trial in before for member in front) / len(front)
    ordered = tuple(sorted(members, key=lambda m: (m.latency_ms, -m.metric)))
    return RefitSummary(metric, split, ordered, kendall, p_value, kept)


def differs(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether seeds tell two members apart, by Welch's test where both have several.

    With one seed each nothing is known of their spread, and only images can leave it open.
    """
    from scipy.stats import ttest_ind

    if min(len(first), len(second)) < 2:
        return True
    if len({*first, *second}) == 1:
        return False
    if len(set(first)) == len(set(second)) == 1:  # no spread at all
        return True
    return bool(ttest_ind(first, second, equal_var=False).pvalue < LEVEL)


def _ranked(before: Sequence[float], after: Sequence[float]) -> tuple[float | None, float | None]:
    """Return Kendall's tau-b and its p-value; None where there is nothing to rank."""
    from scipy.stats import kendalltau

    if len(before) < LEAST_RANKED or len(set(before)) == 1 or len(set(after)) == 1:
        return None, None
    found = kendalltau(before, after)
    return float(found.statistic), float(found.pvalue)


def _shipped(group: Sequence[Refit], results: Results) -> Refit:
    metric = results.objectives[0].name
    return max(group, key=lambda refit: (refit.metrics["val"][metric], -refit.seed))


def _refitted(results: Results, group: Sequence[Refit], metric: str, split: str) -> Evaluation:
    """Return the evaluation of a member with what its full trainings gave in its place."""
    evaluation = evaluation_of(results, group[0].trial)
    assert isinstance(evaluation.outcome, Trained)
    shipped = _shipped(group, results)
    outcome = replace(
        evaluation.outcome,
        metric=mean(refit.metrics[split][metric] for refit in group),
        metric_low=shipped.intervals[split][0],
        metric_high=shipped.intervals[split][1],
        predictions=shipped.predictions[split],
        weights=shipped.weights,
    )
    return replace(evaluation, outcome=outcome)


def _member(
    results: Results,
    evaluation: Evaluation,
    groups: dict[int, list[Refit]],
    again: Sequence[Evaluation],
    front: Sequence[FrontMember],
    is_open: Any,
    split: str,
) -> RefitMember:
    outcome, group = evaluation.outcome, groups[evaluation.trial]
    proxy = evaluation_of(results, evaluation.trial).outcome
    assert isinstance(outcome, Trained)
    assert isinstance(proxy, Trained)
    assert evaluation.measurement is not None
    values = [refit.metrics[split][results.objectives[0].name] for refit in group]
    on_front = {member.trial: member for member in front}
    mine = on_front.get(evaluation.trial)
    return RefitMember(
        trial=evaluation.trial,
        label=evaluation.candidate.label,
        proxy=proxy.metric,
        metric=outcome.metric,
        spread=stdev(values) if len(values) > 1 else None,
        low=outcome.metric_low,
        high=outcome.metric_high,
        n_seeds=len(group),
        seed=_shipped(group, results).seed,
        latency_ms=evaluation.measurement.latency.p50_ms,
        is_on_front=mine is not None,
        dominated_by=tuple(
            other.trial
            for other in again
            if _dominates(other, evaluation, results) and not is_open(other, evaluation)
        ),
        ties=() if mine is None else mine.ties,
        warning=worse_than_proxy(results, _shipped(group, results)),
    )


def _dominates(first: Evaluation, second: Evaluation, results: Results) -> bool:
    losses = [
        [float(objective.losses(objective.value(e))) for objective in results.objectives]
        for e in (first, second)
    ]
    pairs = list(zip(*losses, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
