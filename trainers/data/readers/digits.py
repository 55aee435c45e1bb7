"""scikit-learn's 1,797 handwritten digits of 8x8 pixels, which need no download."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.ref import DataRef


def read_digits(ref: DataRef) -> RawData:
    """Return the digits as grey pixels; their values 0..16 become 0..255."""
    pixels, labels, names = _digits()
    samples = tuple(
        RawSample(source=image, target=int(label), name=f"{index:04d}")
        for index, (image, label) in enumerate(zip(pixels, labels, strict=True))
    )
    return RawData(where="scikit-learn's digits", class_names=names, parts={"all": samples})


@cache
def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Return pixels ``(N, 8, 8, 1)``, labels ``(N,)`` and the names of the classes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    return pixels, digits.target, tuple(str(name) for name in digits.target_names)
