"""The expected front as a picture, by plotly: published accuracy against latency here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from archfront.search.advise.advice import Advice
from archfront.search.records.evaluation import Measurement
from archfront.search.report.plot_data import GRAY, INK, SERIES, figure_text, log_ticks

if TYPE_CHECKING:
    import plotly.graph_objects as go


def advice_figure(advice: Advice, title: str) -> go.Figure:
    """Return measured networks, the front among them, and predicted ones with their bands."""
    import plotly.graph_objects as go

    figure = go.Figure()
    measured = {i: a for i, a in advice.answers.items() if isinstance(a, Measurement)}
    front = advice.front()
    if advice.has_model:
        _add_predicted(figure, advice)
    figure.add_scatter(
        x=[m.latency.p50_ms for i, m in measured.items() if i not in front],
        y=[advice.options[i].published.top1 for i in measured if i not in front],
        mode="markers",
        name="measured",
        marker={"color": SERIES[0], "size": 8, "opacity": 0.5},
        hovertext=[_hover(advice, i, m) for i, m in measured.items() if i not in front],
        hoverinfo="text",
    )
    figure.add_scatter(
        x=[measured[i].latency.p50_ms for i in front],
        y=[advice.options[i].published.top1 for i in front],
        mode="lines+markers",
        name="expected front",
        line={"shape": "hv", "color": SERIES[1], "width": 2},
        marker={"color": SERIES[1], "size": 11},
        hovertext=[_hover(advice, i, measured[i]) for i in front],
        hoverinfo="text",
    )
    if advice.latency_ms_max is not None:
        figure.add_vline(
            x=advice.latency_ms_max, line={"color": GRAY, "dash": "dash"}, annotation_text="limit"
        )
    _lay_out(figure, title)
    _set_axes(figure, [m.latency.p50_ms for m in measured.values()], advice.latency_ms_max)
    return figure


def _add_predicted(figure: Any, advice: Advice) -> None:
    left = [i for i in range(len(advice.options)) if i not in advice.answers]
    if not left:
        return
    band = advice.band(left)
    figure.add_scatter(
        x=band.p50_ms,
        y=[advice.options[i].published.top1 for i in left],
        error_x={
            "array": band.high_ms - band.p50_ms,
            "arrayminus": band.p50_ms - band.low_ms,
            "thickness": 0.5,
            "width": 0,
            "color": "rgba(128,128,128,0.35)",
        },
        mode="markers",
        name="predicted, not measured",
        marker={"color": GRAY, "size": 4, "opacity": 0.5},
        hovertext=[
            f"<b>{figure_text(_name(advice, i))}</b><br>predicted {low:.3g} to {high:.3g} ms"
            for i, low, high in zip(left, band.low_ms, band.high_ms, strict=True)
        ],
        hoverinfo="text",
    )


def _hover(advice: Advice, index: int, measured: Measurement) -> str:
    option = advice.options[index]
    return (
        f"<b>{figure_text(_name(advice, index))}</b><br>{option.published.top1:.2f} % published, "
        f"p50 {measured.latency.p50_ms:.4g} ms<br>{measured.params_m:.3g} M parameters, "
        f"{measured.macs_g:.3g} G MACs, {figure_text(option.licence)}"
    )


def _name(advice: Advice, index: int) -> str:
    option = advice.options[index]
    return f"{option.backbone.name}.{option.published.tag} @ {option.published.input_size} px"


def _lay_out(figure: Any, title: str) -> None:
    figure.update_layout(
        template="none",
        title={"text": f"<b>{figure_text(title)}</b>", "x": 0.01, "xanchor": "left"},
        font={"family": "system-ui, sans-serif", "size": 14, "color": INK},
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        margin={"l": 70, "r": 20, "t": 105, "b": 60},
        hoverlabel={"align": "left"},
    )


def _set_axes(figure: Any, p50s: list[float], limit: float | None) -> None:
    shown = [*p50s, *([limit] if limit is not None else [])] or [1.0]
    low, high = min(shown) / 1.3, max(shown) * 1.3
    ticks = log_ticks(low, high)
    line = {"gridcolor": "rgba(128,128,128,0.22)", "zeroline": False, "linecolor": GRAY}
    figure.update_xaxes(
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[f"{tick:g}" for tick in ticks],
        title="latency p50 on this device (ms, log scale)",
        **line,
    )
    figure.update_yaxes(title="published ImageNet-1k top-1 (%)", **line)
