"""Images with detail at all scales, as photographs have it, and faults planted among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from archfront.search.profile.dataset_profile import DatasetProfile
from archfront.search.profile.faults import Fault
from archfront.search.profile.make_profile import Title, make_profile
from archfront.trainers.data import DataRef
from archfront.trainers.data.readers import read_raw
from tests.support.drawn_images import REF

Pixels = NDArray[np.uint8]
SIDE = 48


def textured(seed: int, side: int = SIDE) -> Pixels:
    """Return pixels ``(side, side, 3)`` of random fields of several scales."""
    rng = np.random.default_rng(seed)
    field = np.zeros((side, side, 3))
    for cells, strength in ((2, 40), (5, 35), (12, 25), (side, 6)):
        coarse = rng.normal(0, strength, (cells, cells, 3))
        for channel in range(3):
            plane = Image.fromarray(coarse[..., channel].astype(np.float32))
            field[..., channel] += np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC))
    return (field + rng.uniform(90, 160, 3)).clip(0, 255).astype(np.uint8)


def frames(seed: int, n: int) -> list[Pixels]:
    """Return the frames of a video: a window that moves over a scene, with noise."""
    scene, rng = textured(seed, SIDE * 2), np.random.default_rng([seed, 1])
    moved = [scene[i : i + SIDE, i : i + SIDE] for i in range(n)]
    noise = rng.normal(0, 4, (n, SIDE, SIDE, 3))
    return [(m + e).clip(0, 255).astype(np.uint8) for m, e in zip(moved, noise, strict=True)]


def save(file: Path, pixels: Pixels, **options: object) -> None:
    """Write an image, with its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **options)


def clean_folder(root: Path, classes: Iterable[str] = ("a", "b"), n: int = 16) -> DataRef:
    """Write ``root/<class>/<number>.png`` of unlike images and return how to read them."""
    for place, name in enumerate(classes):
        for index in range(n):
            save(root / name / f"{index:03d}.png", textured(1000 * place + index))
    return ref_of(root)


def split_folder(root: Path) -> DataRef:
    """Write two classes in ``train`` and ``val`` and return how to read them."""
    for place, split in enumerate(("train", "val")):
        clean_folder(root / split, n=12)
        for file in sorted((root / split).rglob("*.png")):
            save(
                file,
                textured(10_000 * (place + 1) + int(file.stem) + 500 * (file.parent.name == "b")),
            )
    return ref_of(root)


def ref_of(root: Path) -> DataRef:
    """Return how to read a folder of classes."""
    return replace(REF, root=str(root))


def profiled(ref: DataRef, task: str = "classification") -> DatasetProfile:
    """Return the profile of some data."""
    return make_profile(ref, read_raw(ref), Title(task, "some data", "0"))


def fault_of(profile: DatasetProfile, kind: str) -> Fault:
    """Return the only fault of a profile, which is of a kind."""
    assert [fault.kind for fault in profile.faults] == [kind], profile.faults
    return profile.faults[0]
