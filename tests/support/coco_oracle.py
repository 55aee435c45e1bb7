"""pycocotools' masks, which what we make of outlines is compared with."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask


def decode(encoded: Any) -> NDArray[np.uint8]:
    """Return the mask ``(H, W)`` of a compressed encoding."""
    with warnings.catch_warnings():
        # Its arrays have no ``copy`` argument, of which NumPy 2 warns.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.array(mask.decode(encoded))


def encode(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the compressed encoding of a mask ``(H, W)``."""
    return dict(mask.encode(np.asfortranarray(pixels)))


def packed(segment: Any, width: int, height: int) -> dict[str, Any]:
    """Return the compressed encoding of polygons or of plain runs."""
    if isinstance(segment, dict):
        return dict(mask.frPyObjects(dict(segment), height, width))
    return dict(mask.merge(mask.frPyObjects([list(part) for part in segment], height, width)))
