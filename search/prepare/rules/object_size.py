"""Small objects: input sizes at which they cover a cell of the finest feature map."""

from __future__ import annotations

import math

from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import Config
from archfront.search.prepare.build_space import CELLS
from archfront.search.prepare.input_sizes import (
    CLOSE,
    LOCATE_AT_MOST,
    STEP,
    Side,
    locating_sizes,
    spread,
)
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Effect
from archfront.trainers.tasks import TASKS

# The largest side that is tried: four times the work of the usual largest one.
LARGEST = 2 * LOCATE_AT_MOST
# Enlarged images show nothing new, but give an object more cells.
ENLARGED_AT_MOST = 2
# The cells, a side, below which an object shares its only cell with its neighbors.
LEAST = 1.0


def object_size(facts: Facts, config: Config) -> Effect | None:
    """Return larger inputs too where the smallest tenth of the objects covers less than one cell.

    The usual sizes stay: in few minutes a network of large inputs learns nothing. Where the
    objects cover a cell at none, the largest size is added, and tiles are named.
    """
    heads = [TASKS[config.task.name].grid(head) for head in config.space.heads]
    finest = min((stride for grid in heads for stride in grid.finest), default=0)
    share = facts.small_object
    if not share or not finest:
        return None
    side, given = Side(facts.longest, share, finest), config.space.input_sizes
    asked = locating_sizes(side, cells=CELLS).sizes if given == AUTO else given
    blind = [size for size in asked if share * size / finest < LEAST]
    if not blind:
        return None
    measured = (
        f"the smallest tenth of the objects is at most {share:.2%} of the image's longer side, "
        f"{share * blind[0] / finest:.2g} cells of stride {finest} at {blind[0]} px"
    )
    own = STEP * math.ceil(facts.longest / STEP)
    top = min(ENLARGED_AT_MOST * own, LARGEST)
    least, wished = LEAST * finest / share, CELLS * finest / share
    if least > top:
        more, words = _between(top / CLOSE, top), _none(top)
    else:
        more, words = _between(least, min(top, max(wished, *asked))), ""
    return Effect(measured, {"space.input_sizes": tuple(sorted({*asked, *more}))}, words)


def _between(low: float, top: float) -> tuple[int, ...]:
    """Return multiples of 32 from ``low`` to ``top``, few and evenly spread."""
    among = range(STEP * math.ceil(low / STEP), STEP * math.ceil(top / STEP) + 1, STEP)
    if len(among) < 2:
        return tuple(among)
    n_values = max(2, 1 + round(math.log(among[-1] / among[0], CLOSE)))
    return spread(among[0], among[-1], among, n_values)


def _none(top: float) -> str:
    return (
        f"at no input size up to {top:g} px does it cover a cell, and data.tiles would cut the "
        "images into parts in which it does"
    )
