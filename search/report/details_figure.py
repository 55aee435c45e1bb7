"""Pictures of what one network is worth by class: confusions and precision by recall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archfront.search.report.plot_data import figure_text, series_line
from archfront.trainers.drawing.colors import class_color
from archfront.trainers.words import shortened

if TYPE_CHECKING:
    import plotly.graph_objects as go

LAYOUT = {
    "template": "none",
    "font": {"family": "system-ui, sans-serif", "size": 14},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 60, "r": 20, "t": 30, "b": 60},
}
# Characters of a class's name beside an axis.
LONGEST = 20
# Of more classes every other name, or fewer, stands beside an axis.
MOST_NAMED = 60


def confusion_figure(details: Mapping[str, Any]) -> go.Figure:
    """Return the confusion matrix: color by the share of a true class, numbers on pointing."""
    import plotly.graph_objects as go

    names, cells = details["class_names"], details["confusion"]
    keys = [figure_text(name) for name in names]  # as pointing shows them
    shares = [[cell / max(1, sum(row)) for cell in row] for row in cells]
    figure = go.Figure()
    figure.add_heatmap(
        x=keys,
        y=keys,
        z=shares,
        customdata=cells,
        coloraxis="coloraxis",
        hovertemplate="true %{y}, predicted %{x}: %{customdata:,} (%{z:.1%})<extra></extra>",
    )
    scale = {"cmin": 0, "cmax": 1, "colorscale": "Blues"}
    figure.update_layout(**LAYOUT, coloraxis=scale)
    # Given, since plotly leaves every other name out of thirty; ``draw_figures.js`` leaves out
    # those for which there is no room.
    step = 1 + len(names) // MOST_NAMED
    axis = {
        "type": "category",
        "tickvals": keys[::step],
        "ticktext": [figure_text(shortened(name, LONGEST)) for name in names[::step]],
        "automargin": True,
    }
    figure.update_xaxes(title={"text": "predicted", "standoff": 10}, **axis)
    figure.update_yaxes(title={"text": "true", "standoff": 10}, autorange="reversed", **axis)
    return figure


def curves_by_class(details: Mapping[str, Any]) -> go.Figure:
    """Return precision by recall of each class at an IoU of 0.5, in its color of the pictures."""
    import plotly.graph_objects as go

    figure = go.Figure()
    labels = {name: label for label, name in enumerate(details["class_names"])}
    for name, curve in details["curves"].items():
        color = f"rgb{class_color(labels[name])}"
        figure.add_scatter(
            x=[k / (len(curve) - 1) for k in range(len(curve))],
            y=curve,
            mode="lines",
            name=figure_text(shortened(name, LONGEST)),
            line={**series_line(labels[name]), "color": color},
        )
    figure.update_layout(**LAYOUT)
    figure.update_xaxes(title="recall", range=[0, 1])
    figure.update_yaxes(title="precision", range=[0, 1.02])
    return figure
