"""Images and labels: readers, decoding, splits, and one record of the preprocessing.

``DataRef`` and ``READERS`` cost no torch import; the other names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainers.data.raw import Skipped
from trainers.data.readers import READERS
from trainers.data.ref import DataRef

if TYPE_CHECKING:
    from trainers.data.loading import load
    from trainers.data.preprocess import Preprocess
    from trainers.data.samples import Dataset, ImageSet, Samples

__all__ = [
    "READERS",
    "DataRef",
    "Dataset",
    "ImageSet",
    "Preprocess",
    "Samples",
    "Skipped",
    "load",
]

NEEDS_TORCH = {
    "Dataset": "samples",
    "ImageSet": "samples",
    "Preprocess": "preprocess",
    "Samples": "samples",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    """Import a name that needs torch from its module."""
    if name not in NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{NEEDS_TORCH[name]}"), name)
