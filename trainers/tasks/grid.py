"""Choices that a head leaves open to the search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archfront.trainers.spec import Architecture

# Stride of the finest map of heads that are given no level.
MASK_STRIDE = 4
KERNEL = 9  # weights of a convolution of 3x3


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
        convs: The work of the head, in convolutions of 3x3 from ``width`` to ``width`` channels
            on its finest map, for depth 0.
        convs_of_depth: The same for each unit of depth.
        channels: The width that these have, where it is not the architecture's.
    """

    neck: tuple[str, ...] = ("none",)
    width: bool = False
    depth: bool = False
    finest: tuple[int, ...] = ()
    width_step: int = 1
    depths: tuple[int, int] = (1, 8)
    size_step: int = 1
    size_min: int = 1
    convs: float = 0.0
    convs_of_depth: float = 0.0
    channels: int = 0

    def macs_g(self, architecture: Architecture) -> float:
        """Return about how many multiply-accumulates the head has, in billions.

        Counted networks are within two fifths of it (benchmarks/LOG.md, "Work of heads").
        """
        convs = self.convs + self.convs_of_depth * architecture.depth
        cells = (architecture.input_size / (architecture.finest or MASK_STRIDE)) ** 2
        width = self.channels or architecture.width
        return max(0.0, convs) * cells * width**2 * KERNEL / 1e9

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
