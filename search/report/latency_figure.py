"""Latency against work on logarithmic axes, by plotly."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from archfront.search.catalog import catalog
from archfront.search.latency.database import Entry
from archfront.search.report.plot_data import GRAY, INK, SERIES, figure_text, log_ticks

if TYPE_CHECKING:
    import plotly.graph_objects as go

# More families than colors: the others are one.
OTHERS = "other families"
SYMBOLS = ("circle", "square", "diamond", "x", "triangle-up")


def groups(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the entries that can be drawn by what tells them apart, the largest group first.

    That is the runtime, or the family of the backbone where there is one runtime only. What has
    no known work is left out.
    """
    drawn = [e for e in entries if e.measurement.macs_g > 0]
    runtimes = {_runtime(entry) for entry in drawn}
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in drawn:
        found[_runtime(entry) if len(runtimes) > 1 else _family(entry)].append(entry)
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    named, rest = ranked[: len(SERIES) - 1], ranked[len(SERIES) - 1 :]
    if len(rest) == 1:
        return dict(ranked)
    others = [entry for _, group in rest for entry in group]
    return {**dict(named), **({OTHERS: others} if others else {})}


def latency_figure(entries: Sequence[Entry], title: str) -> go.Figure:
    """Return every latency as a point that tells its name when it is pointed at."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for number, (name, group) in enumerate(groups(entries).items()):
        figure.add_scatter(
            x=[e.measurement.macs_g for e in group],
            y=[e.measurement.latency.p50_ms for e in group],
            mode="markers",
            name=figure_text(f"{name} ({len(group)})"),
            marker={
                "color": SERIES[number % len(SERIES)],
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "size": 8,
                "opacity": 0.75,
            },
            hovertext=[hover(e) for e in group],
            hoverinfo="text",
        )
    figure.update_layout(
        template="none",
        title={"text": f"<b>{figure_text(title)}</b>", "x": 0.01, "xanchor": "left"},
        font={"family": "system-ui, sans-serif", "size": 14, "color": INK},
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        margin={"l": 70, "r": 20, "t": 105, "b": 60},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(
        title="multiply-accumulates of one image (G, log scale)", **_axis(entries, 0)
    )
    figure.update_yaxes(title="latency p50 (ms, log scale)", **_axis(entries, 1))
    return figure


def hover(entry: Entry) -> str:
    """Return what a point says, as escaped HTML lines."""
    a, key, measured = entry.key.architecture, entry.key, entry.measurement
    lines = [
        f"{a.backbone}@{a.input_size} {a.head}",
        f"p50 {measured.latency.p50_ms:.4g} ms, {measured.macs_g:.3g} G MACs, "
        f"{measured.latency.p50_ms / measured.macs_g:.3g} ms/G",
        f"{key.runtime} {key.precision}, threads {key.threads}, batch {key.batch_size}",
    ]
    first, *rest = map(figure_text, lines)
    return "<br>".join([f"<b>{first}</b>", *rest])


def ends(entries: Sequence[Entry], axis: int) -> tuple[float, float]:
    """Return the ends of an axis, 0 for the work and 1 for the latency, with some room."""
    values = [
        (e.measurement.macs_g, e.measurement.latency.p50_ms)[axis]
        for e in entries
        if e.measurement.macs_g > 0
    ]
    if not values:
        return 0.1, 10.0
    return min(values) / 1.3, max(values) * 1.3


def _axis(entries: Sequence[Entry], axis: int) -> dict[str, Any]:
    low, high = ends(entries, axis)
    ticks = log_ticks(low, high)
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
        "gridcolor": "rgba(128,128,128,0.22)",
        "zeroline": False,
        "showline": True,
        "linecolor": GRAY,
    }


def _runtime(entry: Entry) -> str:
    return f"{entry.key.runtime} {entry.key.precision}"


def _family(entry: Entry) -> str:
    row = catalog().get(entry.key.architecture.backbone)
    return row.family if row is not None else "not in the catalog"
