"""Choices that a head leaves open to the search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """Choices that a head leaves open, by the names of ``Architecture``; one value fixes it.

    Attributes:
        neck: Necks that it takes, the default first.
        width: Whether its width is a choice.
        depth: Whether its depth is.
        finest: Strides at which its finest level can be, the coarsest first; empty where the head
            takes what it is given.
        width_step: Widths are multiples of this.
        depths: The least and the greatest depth.
        size_step: Input sizes are multiples of this.
        size_min: And at least this.
    """

    neck: tuple[str, ...] = ("none",)
    width: bool = False
    depth: bool = False
    finest: tuple[int, ...] = ()
    width_step: int = 1
    depths: tuple[int, int] = (1, 8)
    size_step: int = 1
    size_min: int = 1

    def refused(
        self, *, widths: Iterable[int] = (), depths: Iterable[int] = (), sizes: Iterable[int] = ()
    ) -> dict[str, str]:
        """Return why values cannot be, by ``widths``, ``depths`` and ``input_sizes``."""
        low, high = self.depths
        step, least = self.size_step, self.size_min
        at_least = f" of at least {least}" if least > step else ""
        bad = {
            "widths": [w for w in widths if self.width and (w < 1 or w % self.width_step)],
            "depths": [d for d in depths if self.depth and not low <= d <= high],
            "input_sizes": [s for s in sizes if s % step or s < least],
        }
        takes = {
            "widths": f"multiples of {self.width_step}",
            "depths": f"{low} to {high}",
            "input_sizes": f"multiples of {step}{at_least}",
        }
        return {
            name: f"takes {takes[name]}; got {', '.join(map(str, values))}"
            for name, values in bad.items()
            if values
        }
