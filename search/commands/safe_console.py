"""Consoles of rich that keep what a terminal obeys to themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.segment import Segment

from archfront.trainers.safe_text import UNSAFE


class SafeConsole(Console):
    """A console that leaves out of every text what a terminal obeys, but for rich's own styles.

    Left out rather than written out: rich has counted no column for it when it laid out a table.
    """

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of what is printed, whatever it was given as."""
        for segment in super().render(renderable, options):
            if segment.control is None and UNSAFE.search(segment.text):
                yield Segment(UNSAFE.sub("", segment.text), segment.style)
            else:
                yield segment
