"""What a person sees of a study in a terminal: live progress, plain lines, tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from archfront.search.front.members import FrontMember, named_members
from archfront.search.records.evaluation import SOMETIMES, Evaluation, Trained, is_below_top
from archfront.search.records.events import (
    Event,
    Noticed,
    RungFinished,
    StudyStarted,
    TrialFinished,
    WeightsFetched,
)
from archfront.search.records.header import StudyHeader
from archfront.search.records.objectives import MEASURED
from archfront.search.report.plot_data import NAMES
from archfront.trainers.spec import Recipe
from archfront.trainers.words import count_of, duration

if TYPE_CHECKING:
    pass


def outcome_line(evaluation: Evaluation, metric: str, axes: Sequence[str] = ()) -> str:
    """Return one line about a finished trial, with some axes of its recipe."""
    word = f"rung {evaluation.rung + 1}/{evaluation.n_rungs}"
    word = word if is_below_top(evaluation) else evaluation.kind
    start = f"trial {evaluation.trial:>3}  {word:<8}  {evaluation.candidate.label:<32}"
    start += f"  {evaluation.candidate.recipe_text(axes):<24}" if axes else ""
    if not isinstance(evaluation.outcome, Trained):
        return f"{start}  {evaluation.outcome}".split("\n", 1)[0]
    trained, measured = evaluation.outcome, evaluation.measurement
    assert measured is not None
    return (
        f"{start}  {metric} {trained.metric:.4f} [{trained.metric_low:.4f}, "
        f"{trained.metric_high:.4f}]  {measured.latency.p50_ms:.3g} ms  "
        f"{duration(evaluation.seconds)}"
    )


def front_table(
    members: Sequence[FrontMember],
    metric: str,
    scores: dict[int, dict[str, float]] | None = None,
    *,
    title: str = "Pareto front, fastest first",
    shown: int | None = None,
) -> Table:
    """Return the front as a table, with a column for each axis on which its recipes differ.

    Args:
        members: The whole front.
        metric: Name of the metric.
        scores: Test metrics by trial; the members that have none keep an empty place.
        title: What stands above the table.
        shown: Only so many of the slowest members get a row; all when None.
    """
    scores = scores or {}
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("trial", "backbone", "head"):
        table.add_column(name, justify="right" if name == "trial" else "left")
    recipes = [member.candidate.recipe for member in members]
    axes = [f.name for f in fields(Recipe) if len({getattr(r, f.name) for r in recipes}) > 1]
    names = ["size", *(axis.replace("_", " ") for axis in axes), metric.replace("_", " ")]
    names += ["interval", "p50 ms", "p95 ms", "params M"]
    has_lower = any(not member.is_full for member in members)
    more = [name for name in SOMETIMES if any(getattr(m, name) is not None for m in members)]
    names += [f"{name.rpartition('_')[0]} {MEASURED[name].unit}" for name in more]
    for name in [*names, *(["test"] if scores else []), *(["trained"] if has_lower else [])]:
        table.add_column(name, justify="right")
    table.add_column("")
    words = _remarks(members)
    for member in members if shown is None else members[-shown:]:
        a = member.candidate.architecture
        test = scores.get(member.trial, {}).get(metric)
        table.add_row(
            str(member.trial),
            a.backbone,
            a.top,
            str(a.input_size),
            *(str(getattr(member.candidate.recipe, axis)) for axis in axes),
            f"{member.metric:.4f}",
            f"{member.metric_low:.4f}-{member.metric_high:.4f}",
            f"{member.latency_ms:.3f}",
            "" if math.isnan(member.latency_p95_ms) else f"{member.latency_p95_ms:.3f}",
            f"{member.params_m:.3g}",
            *(_number(getattr(member, name)) for name in more),
            *([f"{test:.4f}" if test is not None else ""] if scores else []),
            *([_trained(member)] if has_lower else []),
            ", ".join(words[member.trial]),
        )
    return table


def _trained(member: FrontMember) -> str:
    return "in full" if member.is_full else str(member.fidelity)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def study_lines(header: StudyHeader) -> list[str]:
    """Return the data, the space, the device and the limits of a study, a line each."""
    dataset, space, hardware = header.dataset, header.space, header.hardware
    splits = ", ".join(f"{part.images:,} {name}" for name, part in dataset.splits.items())
    limits = [
        f"{NAMES[name]} at most {value:g} {MEASURED[name].unit}"
        for name, value in header.limits.items()
        if value is not None
    ]
    epochs = ", ".join(str(epochs) for epochs in header.rungs if epochs)
    rungs = f"after {epochs} epochs; the last ones are full trainings"
    if header.rungs[0] == 0:
        rungs = f"a head solved on frozen features; then {rungs}"
    if header.trainings.share < 1:
        rungs += f"; an epoch sees {header.trainings.share:.2g} of the images"
    return [
        f"data      {header.data}: {count_of(len(dataset.class_names), 'class', 'classes')}, "
        f"{splits}",
        f"space     {count_of(space.size, 'candidate')}: "
        f"{count_of(space.architectures, 'architecture')} x "
        f"{count_of(space.recipes, 'recipe')}; weights {header.weights}",
        *space.notes,
        f"device    {header.environment.device}",
        f"runtime   {hardware['runtime']}, threads {hardware['threads']}, batch "
        f"{hardware['batch_size']}",
        f"limits    {', '.join(limits) or 'none'}",
        *([f"rungs     {rungs}"] if len(header.rungs) > 1 else []),
    ]


class PlainView:
    """One line per thing that ended: for logs, pipes and dumb terminals."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._metric = "metric"
        self._axes: list[str] = []  # of the recipe, on which candidates differ

    def __call__(self, event: Event) -> None:
        """Print what an event means."""
        match event:
            case StudyStarted():
                self._metric, self._axes = event.header.metric, event.header.recipe_axes
                self._print(f"study     {event.study}")
                for line in [*study_lines(event.header), *_notes(event)]:
                    self._print(line)
            case RungFinished(evaluation) | TrialFinished(evaluation):
                self._print(outcome_line(evaluation, self._metric, self._axes))
            case WeightsFetched(_, backbone, mb, of_mb) if mb >= of_mb:
                self._print(f"fetched   the weights of {backbone}, {of_mb:.0f} MB")
            case Noticed(message):
                self._print(f"note: {message}")
            case _:
                pass

    def close(self) -> None:
        """Nothing is left open."""

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


def _notes(event: StudyStarted) -> list[str]:
    lines = []
    if event.evaluations:
        trials = {evaluation.trial for evaluation in event.evaluations}
        finished = count_of(len(trials), "trial is", "trials are")
        lines.append(f"resumed   {finished} finished already")
    if not event.isolates:
        lines.append(
            "engine    inline: a candidate that crashes or hangs ends the study with it "
            "(engine=processes isolates)"
        )
    dropped = event.header.space.dropped
    if dropped:
        shown = "; ".join(dropped[:5]) + ("; ..." if len(dropped) > 5 else "")
        n = count_of(len(dropped), "backbone or size of one", "backbones or sizes of them")
        lines.append(f"left out  {n}: {shown}")
    skipped = event.header.dataset.skipped
    if skipped:
        total = sum(reason.count for reason in skipped.values())
        words = ", ".join(f"{reason.count} {name}" for name, reason in skipped.items())
        lines.append(f"skipped   {count_of(total, 'file')}: {words}")
    return lines


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
