"""The interactive pictures of a study, by plotly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from archfront.search.records.evaluation import (
    Evaluation,
    Measurement,
    Prediction,
)
from archfront.search.records.proposal import Proposal
from archfront.search.report.baselines_figure import add_baselines
from archfront.search.report.plot_data import (
    BLUE,
    GRAY,
    INK,
    ORANGE,
    RED,
    FrontPlot,
    axis_title,
    figure_text,
    hover_text,
    log_ticks,
    series_line,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

GRID = "rgba(128,128,128,0.22)"
KINDS = {"rejected": ("x", RED), "failed": ("triangle-up", GRAY)}


def front_figure(picture: FrontPlot) -> go.Figure:
    """Return the interactive front: metric upwards, cost to the right on a logarithmic axis.

    Rejected and failed trials, which have a cost and no metric, lie in a strip under the axes.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    xs, ys = picture.stairs()
    figure.add_scatter(
        x=xs, y=ys, mode="lines", line={"color": BLUE, "width": 2}, name="front", hoverinfo="skip"
    )
    note = f" ({hidden} below the picture)" if (hidden := picture.hidden()) else ""
    _add_points(figure, picture, picture.dominated(), f"dominated{note}", _pale())
    _add_members(figure, picture)
    add_baselines(figure, picture)
    is_stripped = False
    for kind, (symbol, color) in KINDS.items():
        stopped = picture.stopped(kind)
        marker = {"symbol": symbol, "color": color, "size": 8, "opacity": 0.7}
        if stopped:
            is_stripped = True
            figure.add_scatter(
                x=[e.measurement.value(picture.cost.name) for e in stopped if e.measurement],
                y=[kind] * len(stopped),
                yaxis="y2",
                mode="markers",
                marker=marker,
                name=kind,
                hovertext=[hover_text(e, picture.metric.name) for e in stopped],
                hoverinfo="text",
            )
    title, subtitle = figure_text(picture.title), figure_text(picture.subtitle)
    _lay_out(figure, title=f"{title}</b><br><sub>{subtitle}</sub><b>")
    _front_axes(figure, picture, is_stripped=is_stripped)
    return figure


def curves_figure(picture: FrontPlot) -> go.Figure:
    """Return the learning curves of the front's members: the metric after each epoch."""
    import plotly.graph_objects as go

    figure = go.Figure()
    members = zip(picture.of_members(), picture.curves(), strict=True)
    for index, (evaluation, curve) in enumerate(members):
        figure.add_scatter(
            x=[row["epoch"] for row in curve],
            y=[row["metrics"].get(picture.metric.name) for row in curve],
            mode="lines+markers",
            line=series_line(index),
            marker={"size": 5},
            name=figure_text(f"{evaluation.trial}: {evaluation.candidate.label}"),
        )
    _lay_out(figure, title="Learning curves of the front")
    epochs = max((len(trace.x) for trace in figure.data), default=1)
    figure.update_xaxes(title="epoch", tick0=0, dtick=math.ceil(epochs / 12))
    figure.update_yaxes(title=f"{axis_title(picture.metric)}, validation")
    return figure


def params_figure(picture: FrontPlot) -> go.Figure:
    """Return the metric of every trained candidate against its parameters."""
    import plotly.graph_objects as go

    figure = go.Figure()
    values = [e.measurement.params_m for e in picture.trained() if e.measurement] or [1.0]
    for evaluations, name, marker in (
        (picture.dominated(), "dominated", _pale()),
        (picture.of_members(), "front", {"color": BLUE, "size": 10}),
    ):
        figure.add_scatter(
            x=[e.measurement.params_m for e in evaluations if e.measurement],
            y=[picture.metric.value(e) for e in evaluations],
            mode="markers",
            marker=marker,
            name=name,
            hovertext=[hover_text(e, picture.metric.name) for e in evaluations],
            hoverinfo="text",
        )
    _lay_out(figure, title="Does size pay?")
    low, high = min(values) / 1.3, max(values) * 1.3
    figure.update_xaxes(title="parameters (million, log scale)", **_log_axis(low, high))
    figure.update_yaxes(title=f"{axis_title(picture.metric)}, validation")
    return figure


def expected_figure(pairs: Sequence[tuple[Prediction, Measurement]]) -> go.Figure:
    """Return predicted p50s with their bands against measured ones."""
    measured = [m.latency.p50_ms for _, m in pairs]
    figure, low, high = _against(
        measured,
        [(p.low_ms, p.p50_ms, p.high_ms) for p, _ in pairs],
        "as measured",
        [f"predicted {p}, measured {m.latency.p50_ms:.3g} ms" for p, m in pairs],
        is_log=True,
    )
    _lay_out(figure, title="Latency: predicted against measured")
    figure.update_xaxes(title="measured p50 (ms, log scale)", **_log_axis(low, high))
    figure.update_yaxes(title="predicted p50 (ms, log scale)", **_log_axis(low, high))
    return figure


def proposals_figure(metric: str, pairs: Sequence[tuple[Proposal, float]]) -> go.Figure:
    """Return the metrics that a sampler predicted, with their bands, against those found."""
    figure, low, high = _against(
        [found for _, found in pairs],
        [(p.metric_low or 0.0, p.metric or 0.0, p.metric_high or 0.0) for p, _ in pairs],
        "as found",
        [f"{p}, found {found:.3g}" for p, found in pairs],
        is_log=False,
    )
    name = figure_text(metric.replace("_", " "))
    _lay_out(figure, title=f"{name}: predicted against found")
    figure.update_xaxes(title=f"{name} found", range=[low, high])
    figure.update_yaxes(title=f"{name} predicted before the training", range=[low, high])
    return figure


def _against(
    found: Sequence[float],
    bands: Sequence[tuple[float, float, float]],
    line: str,
    texts: Sequence[str],
    *,
    is_log: bool,
) -> tuple[go.Figure, float, float]:
    """Return predictions (low, middle, high) against what was found, and the range of both."""
    import plotly.graph_objects as go

    figure = go.Figure()
    every = [*found, *(end for low, _, high in bands for end in (low, high))]
    low, high = min(every), max(every)
    margin = 0.05 * (high - low)
    low, high = (low / 1.3, high * 1.3) if is_log else (low - margin, high + margin)
    figure.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"color": GRAY, "dash": "dot"},
        name=line,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=list(found),
        y=[middle for _, middle, _ in bands],
        error_y={
            "array": [high - middle for _, middle, high in bands],
            "arrayminus": [middle - low for low, middle, _ in bands],
            "thickness": 1,
            "width": 0,
        },
        mode="markers",
        marker={"color": BLUE, "size": 8},
        name="predicted, with the band of nine in ten",
        hovertext=list(texts),
        hoverinfo="text",
    )
    return figure, low, high


def _pale() -> dict[str, Any]:
    return {"color": GRAY, "size": 8, "opacity": 0.45}


def _add_points(
    figure: go.Figure,
    picture: FrontPlot,
    evaluations: list[Evaluation],
    name: str,
    marker: dict[str, Any],
) -> None:
    if evaluations:
        figure.add_scatter(
            x=[picture.cost.value(e) for e in evaluations],
            y=[picture.metric.value(e) for e in evaluations],
            mode="markers",
            marker=marker,
            name=name,
            hovertext=[hover_text(e, picture.metric.name) for e in evaluations],
            hoverinfo="text",
        )


def _add_members(figure: go.Figure, picture: FrontPlot) -> None:
    """Add the members with their intervals, then the knee on top of its own dot."""
    members = picture.of_members()
    _add_points(figure, picture, members, "member, 95% interval", {"color": BLUE, "size": 11})
    if members:
        figure.data[-1].error_y = {
            "symmetric": False,
            "array": [m.metric_high - m.metric for m in picture.members],
            "arrayminus": [m.metric - m.metric_low for m in picture.members],
            "thickness": 1.5,
            "width": 4,
        }
    star = {"color": ORANGE, "size": 17, "symbol": "star", "line": {"color": INK, "width": 1}}
    _add_points(figure, picture, picture.knees(), "knee", star)
    for evaluation in members:
        word = picture.named().get(evaluation.trial)
        words = f"<b>{word}</b> {figure_text(evaluation.candidate.label)}"
        is_right = not picture.has_room_left(evaluation, words[7:])
        if word:
            figure.add_annotation(
                x=math.log10(picture.cost.value(evaluation)),
                y=picture.metric.value(evaluation),
                text=words,
                name="word",
                xanchor="left" if is_right else "right",
                yanchor="top" if is_right else "bottom",
                xshift=9 if is_right else -9,
                yshift=-9 if is_right else 7,
                showarrow=False,
            )


def _front_axes(figure: go.Figure, picture: FrontPlot, *, is_stripped: bool) -> None:
    low, high = picture.cost_range()
    bottom = 0.16 if is_stripped else 0.0
    figure.update_layout(
        xaxis={"title": axis_title(picture.cost), **_log_axis(low, high), "anchor": "free"},
        yaxis={
            "title": f"{axis_title(picture.metric)}, validation",
            "range": list(picture.metric_range()),
            "domain": [bottom, 1],
        },
    )
    if is_stripped:
        figure.update_layout(yaxis2={"domain": [0, 0.11], "showgrid": False, "fixedrange": True})
    if picture.limit:
        figure.add_vline(x=picture.limit, line={"color": RED, "dash": "dash", "width": 1.5})
        figure.add_annotation(
            x=math.log10(picture.limit),
            y=1,
            yref="paper",
            text=f"limit {picture.limit:g} {picture.cost.unit}",
            font={"color": RED},
            showarrow=False,
            xanchor="right",
            yanchor="top",
            xshift=-4,
        )


def _log_axis(low: float, high: float) -> dict[str, Any]:
    ticks = log_ticks(low, high)
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def _lay_out(figure: go.Figure, *, title: str) -> None:
    figure.update_layout(
        template="none",
        title={
            "text": f"<b>{title}</b>",
            "x": 0.01,
            "xanchor": "left",
            "y": 0.97,
            "yanchor": "top",
        },
        font={"family": "system-ui, sans-serif", "size": 14, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        margin={"l": 70, "r": 20, "t": 105, "b": 60},
        hoverlabel={"align": "left"},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GRAY, "activecolor": BLUE},
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, showline=True, linecolor=GRAY)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, showline=True, linecolor=GRAY)
