"""Latency against work as a picture, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archfront.search.latency.database import Entry
from archfront.search.report.latency_figure import ends, groups
from archfront.search.report.plot_data import INK, SERIES, log_ticks

MARKERS = "osDX^"


def write_png(entries: Sequence[Entry], title: str, path: Path) -> None:
    """Write the picture as a PNG of 1000 x 650 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    figure = Figure(figsize=(10, 6.5), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.085, 0.11, 0.895, 0.72))
    for number, (name, group) in enumerate(groups(entries).items()):
        axes.scatter(
            [e.measurement.macs_g for e in group],
            [e.measurement.latency.p50_ms for e in group],
            s=32,
            color=SERIES[number % len(SERIES)],
            marker=MARKERS[number % len(MARKERS)],
            alpha=0.75,
            linewidths=0,
            label=f"{name} ({len(group)})",
        )
    for number, (scale, axis) in enumerate(
        ((axes.set_xscale, axes.xaxis), (axes.set_yscale, axes.yaxis))
    ):
        scale("log")
        low, high = ends(entries, number)
        (axes.set_xlim, axes.set_ylim)[number](low, high)
        ticks = log_ticks(low, high)
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("multiply-accumulates of one image (G, log scale)", fontsize=12, color=INK)
    axes.set_ylabel("latency p50 (ms, log scale)", fontsize=12, color=INK)
    axes.grid(visible=True, color="#8a9099", alpha=0.25, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.text(0.02, 0.955, title, fontsize=13, weight="bold", color=INK, va="center")
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0.075, 0.835),
            ncols=4,
            frameon=False,
            fontsize=10,
        )
    figure.savefig(path, metadata={"Software": "archfront"})
