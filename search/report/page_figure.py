"""Figures in pages that load nothing from anywhere: plotly's code is packed into each page."""

from __future__ import annotations

import zlib
from base64 import b64encode
from functools import cache
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Unpacks plotly's code in the browser, draws each figure and then dispatches ``drawn``.
SCRIPT = "draw_figures.js"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>html, body {{ height: 100%; margin: 0; }}</style></head>
<body>{figure}{code}</body></html>
"""


def to_html(figure: go.Figure) -> str:
    """Return a page of its own with one figure."""
    title = (figure.layout.title.text or "archfront").partition("<br>")[0]
    text = unescape(title.replace("<b>", "").replace("</b>", ""))
    return PAGE.format(title=escape(text), figure=_div(figure, "figure"), code=plotly_code())


def to_div(figure: go.Figure, name: str) -> str:
    """Return a figure as a part of a page that has headings and, at its end, ``plotly_code``."""
    figure.update_layout(title=None, margin_t=30)
    return _div(figure, name)


@cache
def plotly_code() -> str:
    """Return plotly.js, packed to two fifths of its size, and what draws the figures of a page.

    Browsers unpack it themselves since 2023 (``DecompressionStream``). A file beside the pages
    would be smaller still, but a report that is mailed, or shown by MLflow, has no such file.
    """
    from plotly.offline import get_plotlyjs

    packed = b64encode(zlib.compress(get_plotlyjs().encode(), 9)).decode()
    script = Path(__file__).with_name(SCRIPT).read_text("utf-8")
    return (
        f'<script type="application/octet-stream" id="plotly-code">{packed}</script>\n'
        f"<script>\n{script}</script>\n"
    )


def _div(figure: go.Figure, name: str) -> str:
    # A script element ends at the first "</", and "<!--" would open another one.
    content = str(figure.to_json()).replace("<", "\\u003c")
    return (
        f'<div id="{escape(name)}" class="plotly-graph-div" style="height:100%"></div>'
        f'<script type="application/json" data-figure="{escape(name)}">{content}</script>'
    )
