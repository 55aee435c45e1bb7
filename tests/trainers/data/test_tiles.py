"""Images cut into tiles, with what their targets show of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from archfront.trainers.data import ImageSet, load
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.ref import DataRef, Shapes
from archfront.trainers.data.samples import Dataset, PixelCache, Samples
from archfront.trainers.data.targets import Mask, Objects, no_objects
from archfront.trainers.data.tile_samples import (
    EMPTY_SHARE,
    Recent,
    cut_objects,
    tile_samples,
    tiles_to_learn,
)
from archfront.trainers.data.tiles import Tiling, automatic
from archfront.trainers.data.verify import Sample
from archfront.trainers.dataset_summary import (
    LONGER_SIDE,
    DatasetSummary,
    ObjectSummary,
    SideShare,
    Spread,
)
from tests.support.drawn_objects import drawn_samples

SQUARE = Preprocess(32, 3, (0.5,) * 3, (0.5,) * 3, resize="pad", tiling=Tiling(32, 0.25))


def boxed(*boxes: tuple[float, ...], crowd: int = 0) -> Objects:
    """Return objects of class 0, the last ones of them crowds."""
    n = len(boxes)
    return Objects(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.zeros(n, np.int64),
        np.arange(n) >= n - crowd,
    )


def pictured(target: Objects | Mask, width: int, height: int, seed: int = 0) -> Sample:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Sample(pixels, target, f"{seed}", width, height, is_grey=False, digest=f"{seed}")


@pytest.mark.parametrize(
    ("width", "height", "size", "overlap"),
    [(100, 70, 32, 0.25), (1000, 501, 320, 0.2), (33, 32, 32, 0.9), (20, 300, 64, 0.0)],
)
def test_tiles_cover_an_image_and_their_cores_share_it_out(
    width: int, height: int, size: int, overlap: float
) -> None:
    tiles = Tiling(size, overlap).tiles(width, height)
    seen = np.zeros((height, width), int)
    for tile in tiles:
        assert (tile.width, tile.height) == (min(size, width), min(size, height))
        x1, y1, x2, y2 = tile.core
        assert tile.left <= x1 < x2 <= tile.box[2] <= width
        assert tile.top <= y1 < y2 <= tile.box[3] <= height
        seen[y1:y2, x1:x2] += 1
    assert (seen == 1).all()
    assert len(tiles) == Tiling(size, overlap).count(width, height)
    for places in ({tile.left for tile in tiles}, {tile.top for tile in tiles}):
        steps = np.diff(sorted(places))
        assert (steps <= max(1, round(size * (1 - overlap)))).all()


def test_an_image_that_is_no_larger_than_a_tile_is_one() -> None:
    (tile,) = Tiling(64).tiles(64, 40)
    assert tile.box == tile.core == (0, 0, 64, 40)


@pytest.mark.parametrize(("size", "overlap"), [(0, 0.2), (32, 1.0), (32, -0.1)])
def test_a_tiling_that_cannot_be_cut_is_refused(size: int, overlap: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Tiling(size, overlap)


def test_objects_of_a_tile_are_in_its_pixels_and_small_rests_are_none() -> None:
    objects = boxed((10, 10, 20, 20), (30, 0, 40, 10), (60, 60, 70, 70), crowd=1)
    tiles = Tiling(32, 0.0).tiles(64, 64)
    first, second, *_ = cut_objects(objects, tiles, (64, 64))
    # Of the second object 2 of 10 columns lie in the first tile: just enough.
    assert first.boxes.tolist() == [[10, 10, 20, 20], [30, 0, 32, 10]]
    assert second.boxes.tolist() == [[0, 0, 8, 10]]
    (rest, _, _, crowd) = cut_objects(boxed((31, 0, 41, 10)), tiles, (64, 64))
    assert (len(rest), len(crowd)) == (0, 0)


@pytest.mark.parametrize("is_rle", [False, True])
def test_a_cut_outline_is_that_part_of_the_mask(is_rle: bool) -> None:
    from faster_coco_eval.core import mask as coco

    from archfront.trainers.data.objects import rle_of

    diamond = ((20.0, 0.0, 40.0, 20.0, 20.0, 40.0, 0.0, 20.0),)
    whole = rle_of(diamond, 48, 48)
    segment = whole if is_rle else diamond
    objects = replace(boxed((0, 0, 40, 40)), segments=(segment,))
    tiles = Tiling(24, 0.0).tiles(48, 48)
    for tile, part in zip(tiles, cut_objects(objects, tiles, (48, 48)), strict=True):
        expected = coco.decode(whole)[tile.rows, tile.columns]
        if len(part) == 0:
            assert expected.sum() < 0.2 * 40 * 40
            continue
        assert part.segments is not None
        found = coco.decode(rle_of(part.segments[0], 24, 24))
        # COCO draws polygons on a fifth of a pixel, and rounds what lies before 0 otherwise.
        assert np.abs(found.astype(int) - expected).sum(axis=1).max() <= (0 if is_rle else 1)
        rows, columns = np.nonzero(found)
        around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert part.boxes[0].tolist() == around


def test_tiles_to_learn_have_few_empty_ones_and_none_of_rests_or_crowds() -> None:
    samples = tuple(
        pictured(boxed((40, 40, 46, 46), (150, 150, 190, 190), crowd=1), 320, 320, seed)
        for seed in range(6)
    )
    tiling = Tiling(32, 0.0)
    tiles = tiles_to_learn(samples, tiling)
    counts = [len(tile.target) for tile in tiles if isinstance(tile.target, Objects)]
    assert counts.count(1) == 6
    assert counts.count(0) == int(6 * EMPTY_SHARE / (1 - EMPTY_SHARE)) == 2
    assert len(tile_samples(samples, tiling)) == 6 * 100
    for tile in tiles:
        left, top = map(int, tile.name.split(" at ")[1].split(", "))
        assert not (left + 32 > 150 and left < 190 and top + 32 > 150 and top < 190)


def test_images_without_objects_leave_a_tile_to_learn_from() -> None:
    assert len(tiles_to_learn((pictured(no_objects(), 64, 64),), Tiling(32))) == 1


def test_masks_are_cut_as_images_are() -> None:
    mask = np.random.default_rng(1).integers(0, 3, (50, 60), np.uint8)
    sample = pictured(Mask(mask), 60, 50)
    tiling = Tiling(32, 0.25)
    tiles = tiles_to_learn((sample,), tiling)
    for tile, place in zip(tiles, tiling.tiles(60, 50), strict=True):
        assert isinstance(tile.target, Mask)
        assert np.array_equal(tile.target.indices(), mask[place.rows, place.columns])
        assert np.array_equal(tile.pixels(), sample.pixels()[place.rows, place.columns])


def test_one_decoding_serves_all_tiles_of_an_image() -> None:
    decoded: Counter[str] = Counter()

    def counted(sample: Sample) -> Sample:
        pixels = sample.pixels()

        def give() -> Image.Image:
            decoded[sample.name] += 1
            return Image.fromarray(pixels)

        return replace(sample, source=give)

    samples = drawn_samples(0, 3, width=100, height=80)
    cache = PixelCache(10**9, [(100, 80)] * 3)
    of_files = Samples("val", tuple(counted(sample) for sample in samples), cache, 2)
    of_memory = replace(of_files, samples=samples, cache=PixelCache(10**9, [(100, 80)] * 3))
    found, expected = (ImageSet.of(s, SQUARE) for s in (of_files, of_memory))
    assert len(found) == 3 * SQUARE.tiling.count(100, 80)
    assert found.tensor is not None
    assert torch.equal(found.tensor, expected.tensor)
    assert set(decoded.values()) == {1}


def test_tiles_that_do_not_fit_into_memory_are_read_when_they_are_needed() -> None:
    samples = drawn_samples(0, 2, width=100, height=80)
    n_bytes = 2 * 3 * 32**2  # of the images, but not of their tiles
    held = ImageSet.of(Samples("val", samples, PixelCache(10**9, [(100, 80)] * 2), 2), SQUARE)
    read = ImageSet.of(Samples("val", samples, PixelCache(n_bytes, [(100, 80)] * 2), 2), SQUARE)
    assert read.tensor is None
    assert held.tensor is not None
    ((images, targets),) = read.batches([torch.arange(len(read))])
    assert torch.equal(images, held.tensor)
    assert targets == []


def test_what_was_decoded_longest_ago_is_dropped_first() -> None:
    recent: Recent[np.ndarray] = Recent(limit_bytes=20)
    read: list[int] = []

    def image(number: int) -> np.ndarray:
        def give() -> np.ndarray:
            read.append(number)
            return np.full(10, number, np.uint8)

        return recent.get(number, give)

    for number in (0, 1, 0, 2, 0, 1):
        assert image(number)[0] == number
    assert read == [0, 1, 2, 1]


def test_what_cannot_be_decoded_is_told_each_time() -> None:
    recent: Recent[np.ndarray] = Recent()

    def broken() -> np.ndarray:
        raise OSError("gone")

    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            recent.get(0, broken)


SHAPES = DataRef("shapes", None, None, False, 6, 4, 2, 0, None, "stop", 100, target="boxes")


def test_the_tiling_is_part_of_what_tells_a_dataset_from_another() -> None:
    drawn = replace(SHAPES, shapes=Shapes(images=12, side=96))
    plain, cut, wider = (
        load(replace(drawn, tiles=tiles, tile_overlap=overlap))
        for tiles, overlap in ((None, 0.2), (32, 0.2), (32, 0.4))
    )
    assert plain.tiling is None
    assert cut.tiling == Tiling(32, 0.2)
    assert len({plain.fingerprint, cut.fingerprint, wider.fingerprint}) == 3
    assert cut.splits["val"].samples is plain.splits["val"].samples


@pytest.mark.parametrize(
    ("longest", "share", "side"),
    [
        (600, 0.02, 256),  # objects of 12 px become a twentieth of a tile's side
        (600, 0.035, None),
        (4000, 0.001, 128),
        (4000, 0.025, 640),
        (130, 0.02, 128),
        (120, 0.02, None),
        (1000, None, None),
        (1100, None, 512),
    ],
)
def test_automatic_tiles_are_for_small_objects_and_large_masks(
    longest: int, share: float | None, side: int | None
) -> None:
    objects = None
    if share is not None:
        objects = ObjectSummary(Spread(1, 2, 3), SideShare(share / 2, share, share * 2))
    sizes = {LONGER_SIDE: Spread(longest, longest, longest)}
    found = automatic(DatasetSummary(objects=objects, sizes=sizes), 0.3)
    assert found == (None if side is None else Tiling(side, 0.3))


def test_the_summary_counts_tiles_and_what_they_show() -> None:
    """Four objects of an image of 96 px, two of them in one of its nine tiles of 32 px."""
    objects = boxed((2, 2, 8, 8), (20, 20, 26, 26), (40, 2, 46, 8), (70, 70, 76, 76))
    cache = PixelCache(10**6, [(96, 96)])
    splits = {n: Samples(n, (pictured(objects, 96, 96),), cache, 1) for n in ("train", "val")}
    dataset = Dataset(("a",), splits, 3, (), "", "", tiling=Tiling(32, 0.0))
    found = dataset.summary().tiles
    assert found is not None
    assert (found.per_image.median, found.splits) == (9, {"train": 4, "val": 9})
    assert found.longer_side.median == 32
    assert found.objects is not None
    assert found.objects.per_image == Spread(0, 1.0, 2)
    assert found.objects.side_share.median == pytest.approx(6 / 32)
