"""What the pictures of a study show, before any plotting library draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from archfront.search.front.members import FrontMember, final_evaluations, named_members
from archfront.search.front.pareto import front_mask
from archfront.search.records.evaluation import SOMETIMES, Evaluation, Trained
from archfront.search.records.objectives import MEASURED, Objective
from archfront.trainers.words import count_of

# Okabe and Ito's palette: told apart with any color vision, on white and on black.
BLUE, ORANGE, RED, GREEN, GRAY = "#2f86c9", "#e69f00", "#d55e00", "#009e73", "#8a9099"
SERIES = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", RED, "#b5a300", GRAY)
# Of lines after the first eight, so that 48 of them differ in color or dash.
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
INK = "#20242a"
# Steps within a decade, for the ticks of a logarithmic axis.
TENS, COARSE = (1.0,), (1.0, 2.0, 5.0)
FINE = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
FINEST = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 9.0)
# Names for people of what can be an axis; a metric's own name needs no entry.
NAMES = {
    "latency_ms": "latency p50",
    "params_m": "parameters",
    "macs_g": "multiply-accumulates",
    "size_mb": "artifact size",
    "memory_mb": "peak memory",
    "energy_mj": "energy of one image",
    "throughput_ips": "throughput",
}


@dataclass(frozen=True)
class FrontPlot:
    """One study, to be drawn.

    Attributes:
        title: Headline.
        evaluations: All of the study.
        members: The front, fastest first.
        objectives: The metric, drawn upwards, then the cost, drawn to the right.
        limits: Allowed values by objective; None for no limit.
        baselines: Metric of what needs no image, by its name.
    """

    title: str
    evaluations: Sequence[Evaluation]
    members: Sequence[FrontMember]
    objectives: Sequence[Objective]
    limits: Mapping[str, float | None]
    baselines: Mapping[str, float] = field(default_factory=dict)

    @property
    def metric(self) -> Objective:
        """Return the objective that is drawn upwards."""
        return self.objectives[0]

    @property
    def cost(self) -> Objective:
        """Return the objective that is drawn to the right."""
        return self.objectives[1]

    @property
    def limit(self) -> float | None:
        """Return the limit of the cost."""
        return self.limits.get(self.cost.name)

    @property
    def subtitle(self) -> str:
        """Return the counts and how the latency was measured."""
        kinds = [evaluation.kind for evaluation in self.evaluations]
        parts = [f"{len(final_evaluations(self.evaluations))} trained"]
        parts += [f"{kinds.count(k)} {k}" for k in ("rejected", "failed") if k in kinds]
        measured = next((e.measurement for e in self.evaluations if e.measurement), None)
        if measured is None:
            return ", ".join(parts)
        latency = measured.latency
        threads = count_of(latency.threads, "thread")
        return f"{', '.join(parts)}  ·  {latency.runtime}, {threads}, batch {latency.batch_size}"

    def dominated(self) -> list[Evaluation]:
        """Return the trained evaluations that are not on the front."""
        front = {member.trial for member in self.members}
        return [e for e in final_evaluations(self.evaluations) if e.trial not in front]

    def stopped(self, kind: str) -> list[Evaluation]:
        """Return the rejected or failed evaluations whose cost is known."""
        return [e for e in self.evaluations if e.kind == kind and self._has_cost(e)]

    def of_members(self) -> list[Evaluation]:
        """Return the members' evaluations, in the members' order."""
        final = {
            evaluation.trial: evaluation for evaluation in final_evaluations(self.evaluations)
        }
        return [final[member.trial] for member in self.members]

    def trained(self) -> list[Evaluation]:
        """Return the trained evaluations, the members last."""
        return [*self.dominated(), *self.of_members()]

    def curves(self) -> list[tuple[dict[str, Any], ...]]:
        """Return the learning curves of the members, in their order: a row an epoch."""
        outcomes = [evaluation.outcome for evaluation in self.of_members()]
        return [one.curve if isinstance(one, Trained) else () for one in outcomes]

    def named(self) -> dict[int, str]:
        """Return the trials that get a word in the picture: fastest, knee and best."""
        words: dict[int, list[str]] = {}
        for word, member in named_members(self.members).items():
            words.setdefault(member.trial, []).append(word)
        return {trial: ", ".join(several) for trial, several in words.items()}

    def knees(self) -> list[Evaluation]:
        """Return the evaluation of the knee, if one has that name."""
        names = self.named()
        return [e for e in self.of_members() if "knee" in names.get(e.trial, "").split(", ")]

    def lines(self) -> dict[str, float]:
        """Return the baselines by what the legend says of them."""
        low, high = self.metric_range()
        where = {-1: ", below the picture", 0: "", 1: ", above the picture"}
        return {
            f"{name} ({value:.3f}{where[(value > high) - (value < low)]})": value
            for name, value in self.baselines.items()
        }

    def has_room_left(self, evaluation: Evaluation, words: str) -> bool:
        """Return whether words fit between the point and the left edge of a 900-pixel axis."""
        low, high = (math.log(end) for end in self.cost_range())
        share = (math.log(self.cost.value(evaluation)) - low) / (high - low)
        return share > 0.0105 * len(words)

    def stairs(self) -> tuple[list[float], list[float]]:
        """Return the corners of the staircase, from the bottom to the limit or the edge.

        The edge of the worst costs: the left one of a cost that is maximized, as the throughput.
        """
        members = self.of_members()
        if not members:
            return [], []
        points = [(self.cost.value(e), self.metric.value(e)) for e in members]
        # With a third objective a member may be dominated in these two.
        sign = -1.0 if self.cost.direction == "maximize" else 1.0
        mask = front_mask([(sign * x, -y) for x, y in points])
        kept = [point for point, is_front in zip(points, mask, strict=True) if is_front]
        steps = sorted(kept, key=lambda point: (sign * point[0], point[1]))
        xs, ys = [steps[0][0]], [self.metric_range()[0]]
        for x, y in steps:
            xs += [x, x]
            ys += [ys[-1], y]
        end = self.cost_range()[0 if sign < 0 else 1]
        if self.limit and self.limit >= xs[-1]:
            end = self.limit
        return [*xs, end], [*ys, ys[-1]]

    def cost_range(self) -> tuple[float, float]:
        """Return the ends of the cost axis, with room around every point and the limit."""
        values = [
            e.measurement.value(self.cost.name)
            for e in self.evaluations
            if e.measurement is not None and self._has_cost(e)
        ]
        values += [self.limit] if self.limit else []
        if not values:
            return 1.0, 10.0
        room = max(1.15, (max(values) / min(values)) ** 0.07)
        return min(values) / room, max(values) * room

    def _has_cost(self, evaluation: Evaluation) -> bool:
        measured = evaluation.measurement
        return measured is not None and measured.has([self.cost.name])

    def metric_range(self) -> tuple[float, float]:
        """Return the ends of the metric axis.

        All members with their intervals are inside. Dominated trials pull the lower end down by
        at most the front's own height, so that one bad trial does not flatten the front.
        """
        if not self.members:
            values = [self.metric.value(e) for e in self.dominated()] or [0.0, 1.0]
            low = high = max(values)
        else:
            values = [self.metric.value(e) for e in self.dominated()]
            low = min(member.metric_low for member in self.members)
            high = max(member.metric_high for member in self.members)
        height = max(high - low, 0.01)
        low = min(low, max(min(values, default=low), low - height))
        room = 0.06 * max(high - low, 0.01)
        return low - room, high + room

    def hidden(self) -> int:
        """Return how many dominated trials lie below the metric axis."""
        low = self.metric_range()[0]
        return sum(self.metric.value(e) < low for e in self.dominated())


def series_line(index: int) -> dict[str, str | int]:
    """Return the color and the dash of a line among many; 48 lines differ."""
    turn, color = divmod(index, len(SERIES))
    return {"color": SERIES[color], "dash": DASHES[turn % len(DASHES)], "width": 2}


def axis_title(objective: Objective) -> str:
    """Return an axis title with its unit."""
    name = NAMES.get(objective.name, objective.name.replace("_", " "))
    notes = [objective.unit] if objective.unit else []
    notes += ["log scale"] if objective.is_log else []
    return f"{name} ({', '.join(notes)})" if notes else name


def figure_text(text: str) -> str:
    """Return a text that plotly shows as it is written.

    It reads tags and most entities of HTML, but shows those of quotes as they are.
    """
    return escape(text, quote=False)


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values between two positive ends, for the ticks of a logarithmic axis.

    The coarsest of four series that gives at least four ticks is taken, else the finest.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for series in (TENS, COARSE, FINE, FINEST):
        ticks = [float(f"{m * 10.0**d:.4g}") for d in decades for m in series]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            break
    return ticks


def hover_text(evaluation: Evaluation, metric: str) -> str:
    """Return what a point says of its candidate, as escaped HTML lines."""
    candidate, outcome = evaluation.candidate, evaluation.outcome
    lines = [f"trial {evaluation.trial}: {candidate.label}", candidate.recipe_text()]
    if isinstance(outcome, Trained):
        lines.append(
            f"{metric} {outcome.metric:.4f} [{outcome.metric_low:.4f}, {outcome.metric_high:.4f}]"
        )
    else:
        lines.append(str(outcome) if evaluation.kind == "rejected" else f"failed: {outcome}")
    if evaluation.proposal is not None:
        lines.append(f"proposed by {evaluation.proposal}")
    if evaluation.measurement is not None:
        measured = evaluation.measurement
        latency = measured.latency
        lines += [
            _joined(("p50 ", latency.p50_ms, " ms"), ("p95 ", latency.p95_ms, " ms")),
            _joined(
                ("", measured.params_m, " M parameters"),
                ("", measured.macs_g, " G MACs"),
                ("", measured.size_mb, " MB"),
            ),
        ]
        lines += [
            f"{NAMES[name]} {measured.value(name):.3g} {MEASURED[name].unit}"
            for name in SOMETIMES
            if measured.has([name])
        ]
    nodes = {"trained on": evaluation.trained_on, "measured on": evaluation.measured_on}
    lines += [", ".join(f"{what} {node}" for what, node in nodes.items() if node)]
    first, *rest = (figure_text(line[:160]) for line in lines if line)
    return "<br>".join([f"<b>{first}</b>", *rest])


def _joined(*parts: tuple[str, float, str]) -> str:
    """Return numbers in their words, without those that are not known."""
    known = (part for part in parts if not math.isnan(part[1]))
    return ", ".join(f"{before}{value:.3g}{after}" for before, value, after in known)
