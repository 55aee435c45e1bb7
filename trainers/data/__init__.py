"""Images and labels: readers, decoding, splits, and one record of the preprocessing.

``DataRef`` and ``READERS`` cost nothing; the other names are imported when first used, and only
``ImageSet`` needs torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.readers import READERS
from archfront.trainers.data.ref import DataRef

if TYPE_CHECKING:
    from archfront.trainers.data.image_set import ImageSet
    from archfront.trainers.data.loading import load
    from archfront.trainers.data.preprocess import Preprocess
    from archfront.trainers.data.samples import Dataset, Samples

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

LAZY = {
    "Dataset": "samples",
    "ImageSet": "image_set",
    "Preprocess": "preprocess",
    "Samples": "samples",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    """Import a name from its module when it is first used."""
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LAZY[name]}"), name)
