"""scikit-learn's 1,797 handwritten digits of 8x8 pixels, which need no download."""

from __future__ import annotations

import numpy as np

from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.ref import DataRef


def read_digits(ref: DataRef) -> RawData:
    """Return the digits as grey pixels; their values 0..16 become 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    samples = tuple(
        RawSample(source=image, target=int(label), name=f"{index:04d}")
        for index, (image, label) in enumerate(zip(pixels, digits.target, strict=True))
    )
    names = tuple(str(name) for name in digits.target_names)
    return RawData(where="scikit-learn's digits", class_names=names, parts={"all": samples})
