"""The open choices of heads on a backbone: necks, widths, depths, the finest feature map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any


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
