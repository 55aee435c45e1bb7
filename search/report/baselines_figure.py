"""Dashed lines in the interactive front for what needs no image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archfront.search.report.plot_data import GRAY, FrontPlot

if TYPE_CHECKING:
    import plotly.graph_objects as go

# One for each baseline, the best first.
DASHES = ("dash", "dot")


def add_baselines(figure: go.Figure, picture: FrontPlot) -> None:
    """Add a dashed line for each baseline."""
    for index, (label, value) in enumerate(picture.lines().items()):
        figure.add_scatter(
            x=list(picture.cost_range()),
            y=[value, value],
            mode="lines",
            line={"color": GRAY, "dash": DASHES[index % len(DASHES)], "width": 1.5},
            name=label,
            hoverinfo="skip",
        )
