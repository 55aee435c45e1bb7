"""Flips told from drawn images whose symmetries are known, and from digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from archfront.search.prepare.rules.symmetry import flips_of
from archfront.trainers.data.image_files import DEFAULT
from archfront.trainers.data.shrunk import THUMB
from archfront.trainers.data.symmetry import MOST, chosen_rows, symmetries_of, told_apart
from archfront.trainers.data.targets import Objects
from archfront.trainers.data.verify import Sample

Thumbs = NDArray[np.uint8]


def blobs(n: int, rng: np.random.Generator) -> Thumbs:
    """Return images of round spots anywhere: as slides under a microscope."""
    rows, columns = np.mgrid[:THUMB, :THUMB]
    x, y, size = (rng.uniform(low, high, (8, n, 1, 1)) for low, high in ((0, 32), (0, 32), (1, 4)))
    spots = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * size**2)).max(axis=0)
    return _noisy(spots, rng)


def _noisy(values: NDArray[np.float64], rng: np.random.Generator) -> Thumbs:
    return (60 + 120 * values + rng.normal(0, 8, values.shape)).clip(0, 255).astype(np.uint8)


def skies(n: int, rng: np.random.Generator) -> Thumbs:
    """Return spots below a horizon: as photographs of a landscape."""
    lighter = np.linspace(0.8, 0, THUMB)[:, None] * rng.uniform(0.5, 1, (n, 1, 1))
    return _noisy(lighter + blobs(n, rng) / 400.0, rng)


def hooks(n: int, rng: np.random.Generator) -> Thumbs:
    """Return a sign anywhere in each image, always the same way up: as letters."""
    images = np.zeros((n, THUMB, THUMB))
    for image, (top, left) in zip(images, rng.integers(2, 18, (n, 2)), strict=True):
        image[top : top + 12, left : left + 2] = 1
        image[top : top + 2, left : left + 8] = 1
        image[top + 5 : top + 7, left : left + 5] = 1
    return _noisy(images, rng)


def stripes(n: int, rng: np.random.Generator) -> Thumbs:
    """Return waves from left to right, anywhere: as sand seen from above."""
    phase, waves = rng.uniform(0, 6, (n, 1, 1)), rng.uniform(0.5, 0.9, (n, 1, 1))
    return _noisy(np.sin(phase + waves * np.arange(THUMB)[:, None]) * np.ones(THUMB), rng)


@pytest.mark.parametrize(
    ("draw", "flips"),
    [(blobs, "all"), (skies, "horizontal"), (hooks, "none"), (stripes, "both")],
)
def test_the_flips_of_drawn_images_are_those_that_leave_them_alike(draw, flips) -> None:  # type: ignore[no-untyped-def]
    thumbs = draw(250, np.random.default_rng(0))
    found = told_apart(thumbs, [()] * len(thumbs), ("spot",))
    assert found is not None
    assert flips_of(found) == flips


def test_digits_are_not_mirrored() -> None:
    digits = load_digits()
    thumbs = np.repeat(np.repeat((digits.images * 15).astype(np.uint8), 4, axis=1), 4, axis=2)
    names = tuple(map(str, range(10)))
    found = told_apart(thumbs[:500], digits.target[:500].tolist(), names)
    assert found is not None
    assert flips_of(found) == "none"
    assert found.mirrored.of_class["3"] > 0.95 > found.mirrored.of_class["8"]


def test_classes_are_compared_within_themselves() -> None:
    """Arrows to the left and to the right are each the mirror image of the other."""
    rng = np.random.default_rng(0)
    right = hooks(200, rng)
    thumbs = np.concatenate([right[:100], right[100:, :, ::-1]])
    alike = told_apart(thumbs, [0] * 200, ("arrow",))
    apart = told_apart(thumbs, [0] * 100 + [1] * 100, ("right", "left"))
    assert alike is not None
    assert apart is not None
    assert flips_of(alike) != "none"
    assert flips_of(apart) == "none"


def test_few_images_say_nothing_and_equal_ones_are_draws() -> None:
    flat = np.full((50, THUMB, THUMB), 7, np.uint8)
    assert told_apart(flat[:20], [0] * 20, ("flat",)) is None
    found = told_apart(flat, [0] * 50, ("flat",))
    assert found is not None
    assert {found.mirrored.right, found.upside_down.right, found.transposed.right} == {0.5}
    assert flips_of(found) is None


def test_images_are_read_from_files_and_spread_over_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = []
    for number, thumb in enumerate(skies(60, rng)):
        Image.fromarray(thumb).save(tmp_path / f"{number}.png")
        source = tmp_path / f"{number}.png"
        samples.append(Sample(source, 0, source.name, THUMB, THUMB, True, ""))
    found, objects = symmetries_of(samples, ("sky",))
    assert objects is None
    thumbs = np.stack([np.asarray(Image.open(sample.source)) for sample in samples])  # type: ignore[arg-type]
    assert found == told_apart(thumbs, [0] * 60, ("sky",))
    assert chosen_rows(np.full(5000, 100))[:: MOST - 1] == [0, 4999]
    assert len(chosen_rows(np.full(5000, DEFAULT.pixels))) == 200


def scenes(sign: Thumbs, n: int, rng: np.random.Generator) -> list[Sample]:
    """Return noisy images of 128 px with a sign of 20 px anywhere, and the box around it."""
    samples = []
    for number in range(n):
        pixels = rng.normal(110, 30, (128, 128, 1)).clip(0, 255).astype(np.uint8)
        x, y = rng.integers(0, 108, 2).tolist()
        pixels[y : y + 20, x : x + 20, 0] = sign
        boxes = np.array([[x, y, x + 20, y + 20]], np.float32)
        objects = Objects(boxes, np.zeros(1, np.int64), np.zeros(1, bool))
        samples.append(Sample(pixels, objects, f"{number}", 128, 128, True, ""))
    return samples


def test_small_objects_are_looked_at_by_themselves() -> None:
    """In 32 px of a whole image nothing is seen of a small sign."""
    rng = np.random.default_rng(0)
    hook = hooks(1, rng)[0][2:22, 2:22]
    images, objects = symmetries_of(scenes(hook, 120, rng), ("hook",))
    assert images is not None
    assert flips_of(images) != "none"
    assert objects is not None
    assert (objects.n_images, objects.mirrored.right) == (120, 1.0)
    assert flips_of(images, objects) == "none"
    rows, columns = np.mgrid[:20, :20] - 9.5
    disc = (255 * (np.hypot(rows, columns) < 8)).astype(np.uint8)
    images, objects = symmetries_of(scenes(disc, 120, rng), ("disc",))
    assert flips_of(images, objects) == "all"


def test_pictures_in_which_no_class_is_told_say_nothing_of_flips() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (200, THUMB, THUMB)).astype(np.uint8)
    blind = told_apart(noise, [0, 1] * 100, ("left", "right"))
    assert blind is not None
    assert blind.class_right is not None
    assert (blind.class_right < 0.6, blind.class_chance) == (True, 0.5)
    assert flips_of(blind) is None
    spots = blobs(200, rng)
    spots[::2] = (spots[::2] * 0.5 + rng.integers(0, 90, (100, 32, 32))).astype(np.uint8)
    seen = told_apart(spots, [0, 1] * 100, ("rough", "smooth"))
    assert seen is not None
    assert seen.class_right > 0.9  # type: ignore[operator]
    assert flips_of(seen) == "all"
