"""Pictures of a dataset's profile, by plotly: classes, sizes, places."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from archfront.search.profile.dataset_profile import DatasetProfile, ObjectProfile
from archfront.search.profile.distribution import Distribution
from archfront.search.report.details_figure import LAYOUT, LONGEST
from archfront.search.report.plot_data import SERIES, figure_text, log_ticks
from archfront.trainers.words import shortened

if TYPE_CHECKING:
    import plotly.graph_objects as go

    # Titles with what draws the figures below them.
    Drawn = list[tuple[str, Callable[[], go.Figure]]]

GRID = "rgba(128,128,128,0.22)"
# Of more classes only the most and the least common ones are drawn.
MOST_CLASSES = 60


def profile_figures(profile: DatasetProfile) -> dict[str, Drawn]:
    """Return what draws the figures of each section, with their titles."""
    images, objects, masks = profile.images, profile.objects, profile.masks
    sections: dict[str, list[tuple[str, Distribution, str, str]]] = {
        "images": [
            ("Longer side of the images", images.longer_side, "px", "images"),
            ("Width over height", images.aspect, "", "images"),
            ("Entropy of the gray values", images.entropy, "bits", "images"),
            ("Pixels with a steep neighbor", images.edge_density, "share", "images"),
            ("Size of the files", images.bits_per_pixel, "bits a pixel", "images"),
        ],
        "objects": [],
    }
    if objects is not None:
        sections["objects"] = [
            ("Objects of an image", objects.per_image, "objects", "images"),
            ("Root of the area", objects.side_px, "px", "objects"),
            ("The same over the longer side", objects.side_share, "share", "objects"),
            ("Pixels beside another object", objects.boundary_density, "share", "images"),
        ]
    if masks is not None:
        sections["objects"] = [
            ("Pixels beside another class", masks.boundary_density, "share", "images"),
            ("Classes of an image", masks.classes_per_image, "classes", "images"),
        ]
    # A number that all images share is told in words.
    drawn: dict[str, Drawn] = {
        section: [
            (title, partial(_histogram, numbers, unit, counted))
            for title, numbers, unit, counted in some
            if numbers.min < numbers.max
        ]
        for section, some in sections.items()
    }
    if objects is not None and objects.side_px.n:
        drawn["objects"].append(("Where the centers of objects lie", partial(_places, objects)))
    title = f"{profile.counted.capitalize()} of each class"
    return {"classes": [(title, partial(_classes, profile))], **drawn}


def _classes(profile: DatasetProfile) -> go.Figure:
    """Return a bar for each class, the most common first, with its splits on each other."""
    import plotly.graph_objects as go

    counts = profile.per_class
    names = sorted(counts, key=lambda name: -counts[name])
    if len(names) > MOST_CLASSES:
        names = [*names[: MOST_CLASSES // 2], *names[-MOST_CLASSES // 2 :]]
    keys = [figure_text(name) for name in names]  # as pointing shows them
    figure = go.Figure()
    for index, (split, part) in enumerate(profile.splits.items()):
        figure.add_bar(
            x=keys,
            y=[part.per_class[name] for name in names],
            name=figure_text(split),
            marker_color=SERIES[index % len(SERIES)],
            hovertemplate="%{x}: %{y:,} in " + figure_text(split) + "<extra></extra>",
        )
    figure.update_layout(**LAYOUT, barmode="stack", legend={"orientation": "h", "y": 1.1})
    labels = [figure_text(shortened(" ".join(name.split()), LONGEST)) for name in names]
    figure.update_xaxes(type="category", tickvals=keys, ticktext=labels, automargin=True)
    figure.update_yaxes(title=profile.counted, **_grid())
    return figure


def _histogram(numbers: Distribution, unit: str, counted: str = "images") -> go.Figure:
    """Return the histogram of a distribution, on a logarithmic scale where its bins are."""
    import plotly.graph_objects as go

    pairs = list(pairwise(numbers.edges))
    is_log = numbers.edges[0] > 0 and pairs[-1][1] - pairs[-1][0] > 2 * (pairs[0][1] - pairs[0][0])
    places = [(math.log10(low), math.log10(high)) for low, high in pairs] if is_log else pairs
    figure = go.Figure()
    figure.add_bar(
        x=[(low + high) / 2 for low, high in places],
        width=[high - low for low, high in places],
        y=numbers.counts,
        marker={"color": SERIES[0], "line": {"width": 1, "color": "rgba(255,255,255,0.6)"}},
        customdata=[[f"{low:.4g}", f"{high:.4g}"] for low, high in pairs],
        hovertemplate="%{customdata[0]} to %{customdata[1]}: %{y:,}<extra></extra>",
    )
    figure.update_layout(**LAYOUT, bargap=0)
    figure.update_xaxes(title=unit)
    if is_log:
        ticks = log_ticks(numbers.min, numbers.max)
        labels = [f"{tick:g}" for tick in ticks]
        figure.update_xaxes(tickvals=[math.log10(tick) for tick in ticks], ticktext=labels)
    figure.update_yaxes(title=counted, **_grid())
    return figure


def _places(objects: ObjectProfile) -> go.Figure:
    import plotly.graph_objects as go

    n = len(objects.places)
    ticks = [(place + 0.5) / n for place in range(n)]
    figure = go.Figure()
    figure.add_heatmap(
        x=ticks,
        y=ticks,
        z=objects.places,
        zmin=0,
        colorscale="Blues",
        hovertemplate="%{z:,} objects<extra></extra>",
    )
    figure.update_layout(**LAYOUT)
    figure.update_xaxes(title="from left to right", range=[0, 1], constrain="domain")
    figure.update_yaxes(title="from top to bottom", range=[1, 0], scaleanchor="x")
    return figure


def _grid() -> Mapping[str, Any]:
    return {"gridcolor": GRID, "zeroline": False}
