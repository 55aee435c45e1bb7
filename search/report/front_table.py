"""The front of a study as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields

from archfront.search.front.members import FrontMember, named_members
from archfront.search.records.evaluation import SOMETIMES
from archfront.search.records.objectives import MEASURED
from archfront.search.report.fitted_table import Column, FittedTable
from archfront.trainers.spec import Recipe

# Headings of the costs; others are called by their name and unit.
HEADINGS = {"params_m": "params M", "macs_g": "MACs G", "size_mb": "file MB"}


def front_table(
    members: Sequence[FrontMember],
    metric: str,
    scores: dict[int, dict[str, float]] | None = None,
    *,
    title: str = "Pareto front, fastest first",
    shown: int | None = None,
    costs: Sequence[str] = (),
) -> FittedTable:
    """Return the front as a table, with a column for each axis on which its recipes differ.

    Args:
        members: The whole front.
        metric: Name of the metric.
        scores: Test metrics by trial; the members that have none keep an empty place.
        title: What stands above the table.
        shown: Only so many of the slowest members get a row; all when None.
        costs: The measured values that are objectives, which are always shown.
    """
    scores = scores or {}
    axes = _axes(members)
    own = [name for name in costs if name != "latency_ms"]
    more = [name for name in ("params_m", *_measured(members)) if name not in own]
    has_folds = any(member.folds is not None for member in members)
    has_lower = any(not member.is_full for member in members)
    columns = [
        *_candidate_columns(members, axes),
        Column(metric.replace("_", " ")),
        Column("interval", 5),
        *([Column("folds"), Column("their interval", 6)] if has_folds else []),
        Column("p50 ms"),
        Column("p95 ms", 9),
        *(Column(_heading(name)) for name in own),
        *(Column(_heading(name), 8) for name in more),
        *([Column("test", 4)] if scores else []),
        *([Column("trained", 6)] if has_lower else []),
        Column("", 3, "words"),
    ]
    table = FittedTable(title, columns, names_hidden=shown is None)
    words = _remarks(members)
    for member in members if shown is None else members[-shown:]:
        a = member.candidate.architecture
        test = scores.get(member.trial, {}).get(metric)
        table.add_row(
            str(member.trial),
            a.backbone,
            a.top,
            str(a.input_size),
            *(_setting(getattr(member.candidate.recipe, axis)) for axis in axes),
            f"{member.metric:.4f}",
            f"{member.metric_low:.4f}-{member.metric_high:.4f}",
            *(_folds(member) if has_folds else ()),
            f"{member.latency_ms:.3f}",
            "" if math.isnan(member.latency_p95_ms) else f"{member.latency_p95_ms:.3f}",
            *(_number(getattr(member, name)) for name in [*own, *more]),
            *([f"{test:.4f}" if test is not None else ""] if scores else []),
            *([_trained(member)] if has_lower else []),
            ", ".join(words[member.trial]),
        )
    return table


def _measured(members: Sequence[FrontMember]) -> list[str]:
    """Return the values that were measured of some member, of those that not every study has."""
    return [name for name in SOMETIMES if any(getattr(m, name) is not None for m in members)]


def _axes(members: Sequence[FrontMember]) -> list[str]:
    """Return the axes on which the recipes of members differ."""
    recipes = [member.candidate.recipe for member in members]
    return [f.name for f in fields(Recipe) if _differ([getattr(r, f.name) for r in recipes])]


def _candidate_columns(members: Sequence[FrontMember], axes: Sequence[str]) -> list[Column]:
    """Return the columns that tell which candidate a member is."""
    architectures = [member.candidate.architecture for member in members]
    return [
        Column("trial"),
        Column("backbone", kind="name"),
        Column("head", 2 if _differ([a.top for a in architectures]) else 8, "name"),
        Column("size", 1 if _differ([a.input_size for a in architectures]) else 8),
        *(Column(axis.replace("_", " "), 7) for axis in axes),
    ]


def _differ(values: Sequence[object]) -> bool:
    return len(set(values)) > 1


def _setting(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _heading(name: str) -> str:
    return HEADINGS.get(name, f"{name.rpartition('_')[0]} {MEASURED[name].unit}")


def _trained(member: FrontMember) -> str:
    """Return how far a member was trained, shorter than ``Fidelity`` says it."""
    fidelity = member.fidelity
    if fidelity is None or fidelity.is_full:
        return "in full"
    epochs = f"{fidelity.epochs}/{fidelity.horizon} epochs"
    if fidelity.epochs == 0:
        return "probe"
    return f"probe ({epochs})" if fidelity.kept_epoch == 0 else epochs


def _folds(member: FrontMember) -> tuple[str, str]:
    """Return a member's mean over folds, and the interval of the mean."""
    folds = member.folds
    return (
        ("", "") if folds is None else (f"{folds.metric:.4f}", f"{folds.low:.4f}-{folds.high:.4f}")
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _remarks(members: Sequence[FrontMember]) -> dict[int, list[str]]:
    """Return the remarks about each member by trial: its place on the front and its ties."""
    words: dict[int, list[str]] = {member.trial: [] for member in members}
    if not members:
        return words
    for word, named in named_members(members).items():
        words[named.trial].append(word)
    for member in members:
        if member.not_better_than:
            words[member.trial].append(f"not better than {member.not_better_than}")
        if not member.is_stable:
            words[member.trial].append("unstable latency")
        if member.ties:
            words[member.trial].append("ties with " + ", ".join(map(str, member.ties)))
    return words
