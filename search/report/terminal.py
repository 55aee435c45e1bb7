"""What a person sees of a study in a terminal: the lines about what it is and what ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from archfront.search.prepare.data_lines import data_line, data_lines
from archfront.search.records.evaluation import Evaluation, Failed, Trained, is_below_top
from archfront.search.records.events import (
    DataRead,
    Event,
    FilesSent,
    Noticed,
    RungFinished,
    StudyStarted,
    TrialFinished,
    WeightsFetched,
)
from archfront.search.records.header import StudyHeader
from archfront.search.records.objectives import MEASURED
from archfront.search.records.seconds import waiting_seconds
from archfront.search.report.plot_data import NAMES
from archfront.trainers.words import count_of, duration, shortened

# A shorter wait of a trial is not told.
LEAST_S = 1.0


def outcome_line(
    evaluation: Evaluation, metric: str, axes: Sequence[str] = (), *, width: int | None = None
) -> str:
    """Return one line about a finished trial.

    Args:
        evaluation: The trial.
        metric: Name of the metric.
        axes: Axes of the recipe that are told.
        width: Characters of a line that is to stay in one row: what matters least is left out
            where the line would be longer. A failure is told whole. None for everything.
    """
    line = ""
    for form in FORMS:
        line = _line(evaluation, metric, axes, form)
        if width is None or len(line) <= width or isinstance(evaluation.outcome, Failed):
            return line
    return shortened(line, width or 0)


@dataclass(frozen=True)
class _Form:
    """How much a line tells: characters of the candidate and of its recipe, and what is added."""

    label: int
    recipe: int
    has_interval: bool = False
    has_waiting: bool = False
    has_name: bool = True


# From everything to the least: without the name of the metric, which is the same in all lines.
FORMS = (
    _Form(1000, 1000, has_interval=True, has_waiting=True),
    _Form(24, 24, has_interval=True, has_waiting=True),
    _Form(24, 24, has_waiting=True),
    _Form(24, 24),
    _Form(16, 12),
    _Form(16, 12, has_name=False),
)


def _recipe(evaluation: Evaluation, axes: Sequence[str], width: int) -> str:
    """Return the recipe with its axes, or its values alone where there is no room for both."""
    text = evaluation.candidate.recipe_text(axes)
    if len(text) > width:
        recipe = evaluation.candidate.recipe
        text = ", ".join(str(getattr(recipe, axis)) for axis in axes)
    return shortened(text, width)


def _line(evaluation: Evaluation, metric: str, axes: Sequence[str], form: _Form) -> str:
    word = f"rung {evaluation.rung + 1}/{evaluation.n_rungs}"
    word = word if is_below_top(evaluation) else evaluation.kind
    label, recipe = evaluation.candidate.label, _recipe(evaluation, axes, form.recipe)
    start = f"trial {evaluation.trial:>3}  {word:<8}  "
    start += f"{shortened(label, form.label):<{min(32, form.label)}}"
    start += f"  {recipe:<{min(24, form.recipe)}}" if axes else ""
    if not isinstance(evaluation.outcome, Trained):
        return f"{start}  {evaluation.outcome}".split("\n", 1)[0]
    trained, measured = evaluation.outcome, evaluation.measurement
    assert measured is not None
    figures = f"{metric} {trained.metric:.4f}" if form.has_name else f"{trained.metric:.4f}"
    if form.has_interval:
        figures += f" [{trained.metric_low:.4f}, {trained.metric_high:.4f}]"
    waited = waiting_seconds(evaluation)
    time = duration(evaluation.seconds - waited)
    if form.has_waiting and waited >= LEAST_S:
        time += f" (waited {duration(waited)})"
    return f"{start}  {figures}  {measured.latency.p50_ms:.3g} ms  {time}"


def study_lines(header: StudyHeader) -> list[str]:
    """Return the data, the space, the device and the limits of a study, a line each."""
    return [data_line(header.data, header.dataset), *_space_lines(header)]


def _space_lines(header: StudyHeader) -> list[str]:
    """Return the space, the device and the limits of a study, a line each."""
    space, hardware = header.space, header.hardware
    limits = [
        f"{NAMES[name]} at most {value:g} {MEASURED[name].unit}"
        for name, value in header.limits.items()
        if value is not None
    ]
    epochs = ", ".join(str(epochs) for epochs in header.rungs if epochs)
    rungs = f"after {epochs} epochs; the last ones are full trainings"
    if header.trainings.work is not None:
        rungs += "; of heavier networks after fewer, which take as long"
    if header.rungs[0] == 0:
        rungs = f"a head solved on frozen features; then {rungs}"
    if header.trainings.share < 1:
        rungs += f"; an epoch sees {header.trainings.share:.2g} of the images"
    return [
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
            case DataRead(name, data, dataset):
                for line in [f"study     {name}", *data_lines(data, dataset)]:
                    self._print(line)
            case StudyStarted():
                self._metric, self._axes = event.header.metric, event.header.recipe_axes
                for line in [*_space_lines(event.header), *_notes(event)]:
                    self._print(line)
            case RungFinished(evaluation) | TrialFinished(evaluation):
                width = self._console.width if self._console.is_terminal else None
                self._print(outcome_line(evaluation, self._metric, self._axes, width=width))
            case WeightsFetched(_, backbone, mb, of_mb) if mb >= of_mb:
                self._print(f"fetched   the weights of {backbone}, {of_mb:.0f} MB")
            case FilesSent(node, mb, of_mb) if mb >= of_mb:
                self._print(f"sent      {of_mb:,.3g} MB to node {node}")
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
    return lines
