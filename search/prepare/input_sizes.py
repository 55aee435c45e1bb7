"""The input sizes of a space that fit the images, where the configuration leaves them open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Sides that networks take well: multiples of 32 where they are large, since most networks halve
# a map five times.
LADDER = (
    *(8, 12, 16, 20, 24, 28, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288, 320),
    *(384, 416, 448, 512, 640),
)
# The side at which most weights of timm were trained; larger ones cost more than they give to a
# search that lasts minutes.
CLASSIFY_AT_MOST = 224
LOCATE_AT_MOST = 512
# Pretrained networks know textures of the sizes that they were trained on: solved heads gain more
# from larger inputs than from larger networks (benchmarks/LOG.md, "Frozen features, solved heads
# and fine-tuning"). Further enlarging adds pixels, but no information.
ENLARGED_AT_MOST = 4
ENLARGED_TO = 64
# Sizes further apart than this are worth four values, otherwise three.
WIDE = 2.0
# Steps between the sizes for boxes and masks, whose price a study of minutes has to choose.
CLOSE = 1.25
# A side this near to one of the ladder is taken for it.
NEAR = 0.05
STEP = 32
# The side that is assumed where there are no images to ask.
USUAL_SIDE = 500.0


@dataclass(frozen=True)
class Side:
    """The sides of a dataset's images and of their objects.

    Attributes:
        longest: Median of the longer sides of the images, in pixels.
        small_object: Side of a small object as a share of its image's; None without objects.
        finest: Stride of the finest feature map that a head can use; 0 for whole images.
    """

    longest: float
    small_object: float | None = None
    finest: int = 0


@dataclass(frozen=True)
class FittedSizes:
    """Input sizes, ascending, and why they were chosen, in words."""

    sizes: tuple[int, ...]
    reason: str


def classifying_sizes(side: Side, *, is_transfer: bool) -> FittedSizes:
    """Return the sizes for labels of whole images.

    From scratch they end at the images' own side, with weights at four times that, and both at
    224 px.
    """
    of = f"the images' longer side is {side.longest:g} px (median)"
    if is_transfer:
        top = min(CLASSIFY_AT_MOST, ENLARGED_AT_MOST * side.longest)
        low = max(top / 3, ENLARGED_TO) if top >= 1.5 * ENLARGED_TO else top / 2
        enlarged = top > side.longest
        reason = f"{of}, and pretrained networks gain from larger ones" if enlarged else of
        return FittedSizes(spread(low, top), reason)
    own = _own_side(min(side.longest, CLASSIFY_AT_MOST))
    sizes = spread(own / 2, own, {*LADDER, own})
    if not any(size % STEP == 0 for size in sizes) and own >= STEP / WIDE**0.5:
        # For the networks that take nothing else.
        sizes = tuple(sorted((*sizes, STEP * max(1, own // STEP))))
    return FittedSizes(sizes, of)


def locating_sizes(side: Side, *, cells: float) -> FittedSizes:
    """Return the sizes for boxes and masks, multiples of 32.

    Args:
        side: The sides of the images and their objects.
        cells: Cells of the finest feature map that a small object is to cover, a side.
    """
    top = min(STEP * math.ceil(side.longest / STEP), LOCATE_AT_MOST)
    reason = f"the images' longer side is {side.longest:g} px (median)"
    low = max(top / 3, min(4 * STEP, top / 2))
    if side.small_object:
        seen = cells * side.finest / side.small_object
        low = max(low, seen)
        reason += f", small objects cover {side.small_object:.1%} of it"
    among = {size for size in LADDER if size % STEP == 0}
    # However small the objects, there is a smaller size or two to begin with.
    low = min(low, top / WIDE**0.5, max(top - 2 * STEP, STEP))
    n_values = max(3, 1 + round(math.log(top / low, CLOSE)))
    return FittedSizes(spread(low, top, among, n_values), reason)


def _own_side(longest: float) -> int:
    """Return the side at which images are as they are, or nearly so."""
    near = min(LADDER, key=lambda size: abs(math.log(size / longest)))
    is_near = abs(near / longest - 1) <= NEAR or longest < LADDER[0]
    return near if is_near else 2 * round(longest / 2)


def spread(
    low: float, top: float, among: Sequence[int] | set[int] = LADDER, n_values: int | None = None
) -> tuple[int, ...]:
    """Return values of ``among``, evenly spread in logarithms, or all it has."""
    n_values = n_values or (4 if top / low > WIDE else 3)
    wanted = (low * (top / low) ** (i / (n_values - 1)) for i in range(n_values))
    return tuple(sorted({min(among, key=lambda s: abs(math.log(s / one))) for one in wanted}))
