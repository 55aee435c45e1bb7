"""The order of a network's outputs, where a score sorts them and rounding can swap them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

Arrays = Sequence[NDArray[Any]]
# From all outputs of eager PyTorch and all of an export to those of the export, in eager's order.
Aligned = Callable[[Arrays, Arrays], list[NDArray[Any]]]


def unmoved(expected: Arrays, found: Arrays) -> list[NDArray[Any]]:
    """Return the found outputs as they are: every value has its place."""
    return list(found)
