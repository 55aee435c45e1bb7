"""Small images drawn from a seed, and the folders and files that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from archfront.trainers.data import DataRef

REF = DataRef(
    reader="folder",
    root=None,
    name=None,
    download=False,
    train=0.5,
    val=0.25,
    test=0.25,
    split_seed=0,
    channels=None,
    on_error="stop",
    memory_mb=10,
)


def draw(seed: int, width: int = 12, height: int = 10, channels: int = 3) -> NDArray[np.uint8]:
    """Return pixels ``(height, width, channels)``, without the last axis when grey."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def draw_folder(root: Path, counts: Mapping[str, int], *, channels: int = 3) -> DataRef:
    """Write ``root/<class>/<number>.png``, sizes differing, and return how to load them."""
    seed = 0
    for class_folder, count in counts.items():
        (root / class_folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = draw(seed, width=8 + seed % 5, height=9 + seed % 3, channels=channels)
            Image.fromarray(pixels).save(root / class_folder / f"{index}.png")
            seed += 1
    return replace(REF, root=str(root))


def write_idx(file: Path, values: NDArray[np.uint8]) -> None:
    """Write an array in the format of the MNIST files."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = b"".join(size.to_bytes(4, "big") for size in values.shape)
    file.write_bytes(bytes([0, 0, 8, values.ndim]) + shape + values.tobytes())


def draw_fashion_mnist(root: Path, *, n_train: int = 60, n_test: int = 20) -> DataRef:
    """Write a small Fashion-MNIST as torchvision keeps it; image i is of class i modulo 10."""
    raw = root / "FashionMNIST" / "raw"
    for seed, (prefix, n) in enumerate({"train": n_train, "t10k": n_test}.items()):
        images = np.random.default_rng(seed).integers(0, 256, (n, 28, 28), np.uint8)
        write_idx(raw / f"{prefix}-images-idx3-ubyte", images)
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8) % 10)
    return replace(REF, reader="torchvision", name="FashionMNIST", root=str(root))
