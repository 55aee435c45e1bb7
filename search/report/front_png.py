"""The static picture of a study, by matplotlib, which needs no browser for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archfront.search.report.plot_data import (
    BLUE,
    GRAY,
    INK,
    ORANGE,
    RED,
    FrontPlot,
    axis_title,
    log_ticks,
)
from archfront.trainers.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = {"rejected": ("x", RED), "failed": ("^", GRAY)}


def write_png(picture: FrontPlot, path: Path) -> None:
    """Write the front as a PNG of 1000 x 650 pixels, all that needs no pointer to be seen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    strip = [kind for kind in KINDS if picture.stopped(kind)]
    main = figure.add_axes((0.085, 0.23 if strip else 0.11, 0.895, 0.585 if strip else 0.705))
    _draw_front(main, picture)
    lowest = main
    if strip:
        lowest = figure.add_axes((0.085, 0.11, 0.895, 0.09), sharex=main)
        _draw_strip(lowest, picture, strip)
        main.tick_params(labelbottom=False)
    _draw_cost_axis(main, lowest, picture)
    figure.text(0.02, 0.955, picture.title, fontsize=15, weight="bold", color=INK, va="center")
    figure.text(0.02, 0.913, picture.subtitle, fontsize=10.5, color="#5a616b", va="center")
    handles, labels = main.get_legend_handles_labels()
    if strip:
        more_handles, more_labels = lowest.get_legend_handles_labels()
        handles, labels = [*handles, *more_handles], [*labels, *more_labels]
    figure.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.075, 0.82),
        ncols=len(labels) or 1,
        frameon=False,
        fontsize=10.5 if len(labels) < 6 else 8.5,
        handletextpad=0.4,
        columnspacing=1.4 if len(labels) < 6 else 0.9,
    )
    with replacing(path) as written:
        figure.savefig(written, format="png", metadata={"Software": "archfront"})


def _draw_front(axes: Axes, picture: FrontPlot) -> None:
    """Draw staircase, members with their intervals, dominated trials, knee and the words."""
    axes.plot(*picture.stairs(), color=BLUE, linewidth=1.8, label="front", zorder=2)
    dominated, members = picture.dominated(), picture.of_members()
    cost, metric = picture.cost, picture.metric
    if dominated:
        hidden = picture.hidden()
        note = f" ({hidden} below the picture)" if hidden else ""
        axes.scatter(
            [cost.value(e) for e in dominated],
            [metric.value(e) for e in dominated],
            s=38,
            color=GRAY,
            alpha=0.45,
            linewidths=0,
            label=f"dominated{note}",
        )
    if members:
        axes.errorbar(
            [cost.value(e) for e in members],
            [m.metric for m in picture.members],
            yerr=[
                [m.metric - m.metric_low for m in picture.members],
                [m.metric_high - m.metric for m in picture.members],
            ],
            fmt="o",
            color=BLUE,
            markersize=7.5,
            elinewidth=1.3,
            capsize=3.5,
            label="member, 95% interval",
            zorder=3,
        )
    for knee in picture.knees():
        x, y = cost.value(knee), metric.value(knee)
        axes.scatter(
            [x], [y], s=260, marker="*", color=ORANGE, edgecolors=INK, label="knee", zorder=4
        )
    for index, (label, value) in enumerate(picture.lines().items()):
        style = ("--", ":")[index % 2]
        axes.axhline(value, color=GRAY, linestyle=style, linewidth=1.4, label=label, zorder=1)
    _write_words(axes, picture)
    axes.set_ylim(*picture.metric_range())
    axes.set_ylabel(f"{axis_title(metric)}, validation", fontsize=12, color=INK)
    _tidy(axes)


def _write_words(axes: Axes, picture: FrontPlot) -> None:
    """Write beside fastest, knee and best, on the side of the front where there is room."""
    for evaluation in picture.of_members():
        word = picture.named().get(evaluation.trial)
        words = f"{word}: {evaluation.candidate.label}"
        is_right = not picture.has_room_left(evaluation, words)
        if word:
            axes.annotate(
                words,
                (picture.cost.value(evaluation), picture.metric.value(evaluation)),
                xytext=(10, -14) if is_right else (-10, 7),
                textcoords="offset points",
                ha="left" if is_right else "right",
                va="top" if is_right else "bottom",
                fontsize=10.5,
                color=INK,
            )


def _draw_strip(axes: Axes, picture: FrontPlot, kinds: list[str]) -> None:
    """Draw the trials that have a cost and no metric, one line per kind."""
    for height, kind in enumerate(kinds):
        marker, color = KINDS[kind]
        values = [
            e.measurement.value(picture.cost.name) for e in picture.stopped(kind) if e.measurement
        ]
        axes.scatter(
            values,
            [height] * len(values),
            marker=marker,
            color=color,
            s=38,
            alpha=0.75,
            label=kind,
        )
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(-0.7, len(kinds) - 0.3)
    _tidy(axes)
    axes.grid(visible=False, axis="y")


def _draw_cost_axis(main: Axes, lowest: Axes, picture: FrontPlot) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    low, high = picture.cost_range()
    main.set_xscale("log")
    main.set_xlim(low, high)
    ticks = log_ticks(low, high)
    for axes in {main, lowest}:
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
        axes.xaxis.set_minor_locator(NullLocator())
        if picture.limit:
            axes.axvline(picture.limit, color=RED, linestyle="--", linewidth=1.3)
    lowest.set_xlabel(axis_title(picture.cost), fontsize=12, color=INK)
    if picture.limit:
        main.annotate(
            f"limit {picture.limit:g} {picture.cost.unit} ",
            (picture.limit, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-2, -4),
            textcoords="offset points",
            ha="right",
            va="top",
            color=RED,
            fontsize=10.5,
        )


def _tidy(axes: Axes) -> None:
    axes.grid(visible=True, color="#8a9099", alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=10.5, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
