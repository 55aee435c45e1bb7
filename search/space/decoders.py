"""What heads leave open on a backbone: necks, widths, depths, the finest feature map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from search.catalog import Backbone
from search.config.schema import SpaceConfig
from trainers.tasks import Grid

# Lin et al. 2017 (FPN) give objects of 8 cells a side to a level; at 2, neighbors still have
# cells of their own.
CELLS = 2.0


@dataclass(frozen=True)
class Decoders:
    """The necks, widths and depths of a head, and by input size its finest stride."""

    neck: tuple[str, ...] = ("none",)
    width: tuple[int, ...] = (0,)
    depth: tuple[int, ...] = (0,)
    finest: Mapping[int, int] = field(default_factory=dict)

    def shapes(self, size: int) -> Iterator[dict[str, Any]]:
        """Yield the fields of ``Architecture`` of every combination at an input size."""
        for neck, width, depth in product(self.neck, self.width, self.depth):
            finest = self.finest.get(size, 0)
            yield {"neck": neck, "width": width, "depth": depth, "finest": finest}


FIXED = Decoders()


def decoders_of(
    config: SpaceConfig,
    grid: Grid,
    backbone: Backbone,
    sizes: Sequence[int],
    small_object: float | None,
) -> Decoders:
    """Return what a head leaves open, within what is asked for."""
    asked = [neck for neck in config.necks if neck in grid.neck]
    has = [stride for stride in grid.finest if stride in backbone.strides]
    finest = {size: _finest(has, (small_object or 1.0) * size) for size in sizes} if has else {}
    return Decoders(
        neck=tuple(asked) or grid.neck[:1],
        width=config.widths if grid.width else FIXED.width,
        depth=config.depths if grid.depth else FIXED.depth,
        finest=finest,
    )


def _finest(strides: Sequence[int], small_px: float) -> int:
    """Return the coarsest stride on which a small object still covers ``CELLS`` cells a side."""
    fitting = [stride for stride in strides if small_px >= CELLS * stride]
    return max(fitting, default=min(strides))
