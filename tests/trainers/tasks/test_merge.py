"""Answers for the tiles of an image become answers for the image."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from archfront.trainers.data.objects import cut_segment, rle_of
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.targets import IGNORED, Mask, Objects
from archfront.trainers.data.tiles import Tile, Tiling
from archfront.trainers.data.verify import Sample
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges.class_map import classes_of_image
from archfront.trainers.tasks.judges.merge import FoundObjects, found_in_image, merged

WIDTH, HEIGHT = 200, 150
NAMES = ("a", "b")


def seen_by(preprocess: Preprocess) -> tuple[Tile, ...]:
    return preprocess.tiles(WIDTH, HEIGHT)


def scene(*, small: float, large: float, seed: int) -> Sample:
    """Return an image with outlined rectangles that do not touch each other."""
    rng = np.random.default_rng(seed)
    boxes: list[np.ndarray] = []
    while len(boxes) < 12:
        sides = rng.uniform(small, large, 2)
        x1, y1 = rng.uniform(0, (WIDTH - sides[0], HEIGHT - sides[1]))
        box = np.array([x1, y1, x1 + sides[0], y1 + sides[1]])
        if all((box[:2] > b[2:] + 1).any() or (box[2:] < b[:2] - 1).any() for b in boxes):
            boxes.append(box)
    labels = rng.integers(0, 2, len(boxes))
    outlines = tuple(((x1, y1, x2, y1, x2, y2, x1, y2),) for x1, y1, x2, y2 in boxes)
    target = Objects(np.array(boxes, np.float32), labels, np.zeros(len(boxes), bool), outlines)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return Sample(pixels, target, "scene", WIDTH, HEIGHT, is_grey=False, digest="")


def right_answers(sample: Sample, preprocess: Preprocess) -> dict[str, torch.Tensor]:
    """Return outputs that say of each tile what is true, by brute force."""
    assert isinstance(sample.target, Objects)
    tiles, side = seen_by(preprocess), preprocess.input_size
    detections, masks = torch.zeros(len(tiles), 12, 6), torch.zeros(len(tiles), 12, side, side)
    for number, tile in enumerate(tiles):
        scale = preprocess.scale(tile.width, tile.height)[0]
        k = 0
        for i, (x1, y1, x2, y2) in enumerate(sample.target.boxes.tolist()):
            low = max(x1, tile.left), max(y1, tile.top)
            high = min(x2, tile.box[2]), min(y2, tile.box[3])
            if high[0] <= low[0] or high[1] <= low[1]:
                continue
            box = torch.tensor([*low, *high]) - torch.tensor([tile.left, tile.top] * 2)
            detections[number, k, :4] = box * scale
            detections[number, k, 4] = 0.9 - 0.01 * i
            detections[number, k, 5] = float(sample.target.labels[i])
            a, b, c, d = (round(float(v)) for v in detections[number, k, :4])
            masks[number, k, b:d, a:c] = 1
            k += 1
    return {"detections": detections, "masks": masks}


@pytest.mark.parametrize("task", ["detection", "instance"])
@pytest.mark.parametrize(("small", "large"), [(4, 8), (10, 50)])
@pytest.mark.parametrize("side", [64, 128])
def test_objects_cut_into_tiles_and_merged_are_the_objects(
    task: str, small: float, large: float, side: int
) -> None:
    """Those of up to 50 px are larger than the overlap, and cut by several borders."""
    preprocess = Preprocess(side, 3, (0.5,) * 3, (0.5,) * 3, resize="pad", tiling=Tiling(64, 0.25))
    for seed in range(2):
        sample = scene(small=small, large=large, seed=seed)
        assert isinstance(sample.target, Objects)
        if task == "instance":  # whole pixels, so that masks can be exact
            boxes = sample.target.boxes.round()
            outlines = tuple(((a, b, c, b, c, d, a, d),) for a, b, c, d in boxes.tolist())
            sample = replace(sample, target=replace(sample.target, boxes=boxes, segments=outlines))
        outputs = right_answers(sample, preprocess)
        evaluator = TASKS[task].evaluator((sample,), NAMES, preprocess)
        for part in torch.split(torch.arange(len(seen_by(preprocess))), 3):
            evaluator.update({name: output[part] for name, output in outputs.items()})
        saved = evaluator.saved_predictions()
        assert len(saved["found_labels"]) == len(sample.target)
        order = np.argsort(-saved["found_scores"], kind="stable")
        assert saved["found_boxes"][order] == pytest.approx(sample.target.boxes, abs=1e-3)
        assert evaluator.metrics()["map"] == pytest.approx(1.0)


def tiles_of_two() -> tuple[Tile, Tile]:
    first, second = Tiling(100, 0.2).tiles(180, 100)
    assert (first.box, second.box) == ((0, 0, 100, 100), (80, 0, 180, 100))
    return first, second


def found(*rows: tuple[float, ...]) -> FoundObjects:
    values = np.array(rows, np.float32).reshape(-1, 6)
    return FoundObjects(values[:, :4], values[:, 4], values[:, 5].astype(np.int64))


def test_parts_of_a_long_object_become_one() -> None:
    parts = found((10, 40, 100, 60, 0.6, 0)), found((80, 41, 170, 60, 0.8, 0))
    whole = merged(parts, tiles_of_two())
    assert whole.boxes.tolist() == [[10, 40, 170, 60]]
    assert whole.scores == pytest.approx([0.8])


def test_an_object_that_one_tile_shows_whole_keeps_that_box() -> None:
    """Its part in the other tile has a higher score, but another place."""
    parts = found((85, 40, 97, 52, 0.6, 0)), found((80, 38, 96, 52, 0.8, 0))
    whole = merged(parts, tiles_of_two())
    assert whole.boxes.tolist() == [[85, 40, 97, 52]]
    assert whole.scores == pytest.approx([0.8])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((70, 40, 100, 60, 0.6, 0), (80, 40, 120, 60, 0.8, 1), id="another class"),
        pytest.param((70, 10, 100, 30, 0.6, 0), (80, 32, 120, 60, 0.8, 0), id="beside"),
        pytest.param((82, 40, 88, 46, 0.6, 0), (89, 40, 95, 46, 0.8, 0), id="next to"),
        pytest.param((84, 40, 88, 44, 0.6, 0), (82, 30, 98, 60, 0.8, 0), id="small on large"),
    ],
)
def test_two_objects_stay_two(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    whole = merged((found(first), found(second)), tiles_of_two())
    assert whole.boxes.tolist() == [list(second[:4]), list(first[:4])]


def test_two_answers_of_one_tile_stay_two() -> None:
    """What a tile shows twice is not for other tiles to say; one of both takes their answer."""
    both = found((85, 40, 97, 52, 0.9, 0), (85, 41, 97, 53, 0.7, 0))
    whole = merged((both, found((85, 40, 97, 52, 0.8, 0))), tiles_of_two())
    assert whole.scores.tolist() == pytest.approx([0.9, 0.7])


def test_an_object_over_three_tiles_is_one_whatever_the_order_of_scores() -> None:
    tiles = Tiling(100, 0.2).tiles(260, 100)
    assert [tile.left for tile in tiles] == [0, 80, 160]
    boxes = [(20, 40, 100, 60), (80, 40, 180, 60), (160, 40, 240, 60)]
    for scores in ((0.9, 0.5, 0.8), (0.5, 0.9, 0.8), (0.7, 0.8, 0.9)):
        parts = [found((*box, score, 0)) for box, score in zip(boxes, scores, strict=True)]
        whole = merged(parts, tiles)
        assert whole.boxes.tolist() == [[20, 40, 240, 60]]
        assert whole.scores == pytest.approx([0.9])


def test_answers_below_the_least_score_are_no_part_of_an_object() -> None:
    preprocess = Preprocess(100, 3, (0.5,) * 3, (0.5,) * 3, resize="pad", tiling=Tiling(100, 0.2))
    rows = np.zeros((2, 100, 6), np.float32)
    rows[0, 0] = 10, 40, 100, 60, 0.8, 0
    rows[1, 0] = 0, 40, 90, 60, 0.3, 0
    outputs = [{"detections": row} for row in rows]
    assert found_in_image(outputs, preprocess, (180, 100)).boxes.tolist() == [[10, 40, 170, 60]]
    few = found_in_image(outputs, preprocess, (180, 100), least=0.5)
    assert few.boxes.tolist() == [[10, 40, 100, 60]]


def test_at_most_a_hundred_objects_of_a_class_are_kept_for_the_metric() -> None:
    """COCO looks at no more of an image; whole images never have more."""
    preprocess = Preprocess(64, 3, (0.5,) * 3, (0.5,) * 3, resize="pad", tiling=Tiling(64, 0.25))
    sample = scene(small=4, large=8, seed=0)
    n = len(seen_by(preprocess))
    rows = torch.zeros(n, 100, 6)
    rows[..., 0], rows[..., 1] = torch.rand(n, 100) * 50, torch.rand(n, 100) * 50
    rows[..., 2:4] = rows[..., :2] + 2
    rows[..., 4], rows[..., 5] = torch.rand(n, 100), torch.randint(2, (n, 100)).float()
    evaluator = TASKS["detection"].evaluator((sample,), NAMES, preprocess)
    evaluator.update({"detections": rows})
    labels = evaluator.saved_predictions()["found_labels"]
    assert np.bincount(labels).tolist() == [100, 100]


def test_masks_of_tiles_are_the_mask_of_the_image() -> None:
    rng = np.random.default_rng(0)
    true = np.kron(rng.integers(0, 3, (15, 20)), np.ones((10, 10))).astype(np.uint8)
    true[:7] = IGNORED
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    sample = Sample(pixels, Mask(true), "map", WIDTH, HEIGHT, is_grey=False, digest="")
    preprocess = Preprocess(64, 3, (0.5,) * 3, (0.5,) * 3, resize="pad", tiling=Tiling(64, 0.25))
    tiles = seen_by(preprocess)
    classes = torch.from_numpy(true % 3).long()
    logits = torch.stack(
        [torch.eye(3)[classes[t.rows, t.columns]].permute(2, 0, 1) for t in tiles]
    )
    evaluator = TASKS["semantic"].evaluator((sample,), ("a", "b", "c"), preprocess)
    for start, end in pairwise((0, 3, len(tiles))):
        evaluator.update({"logits": logits[start:end]})
    assert evaluator.metrics()["miou"] == 1.0
    saved = evaluator.saved_predictions()
    assert saved["confusion"].sum() == (true != IGNORED).sum()
    across, down = preprocess.inside(WIDTH, HEIGHT)
    assert (saved["maps"][0, :down, :across] != IGNORED).all()
    outputs = [{"logits": one.numpy()} for one in logits]
    assert np.array_equal(classes_of_image(outputs, preprocess, (WIDTH, HEIGHT)), true % 3)


def test_an_evaluator_that_lacks_a_tile_says_so() -> None:
    preprocess = Preprocess(64, 3, (0.5,) * 3, (0.5,) * 3, resize="pad", tiling=Tiling(64, 0.25))
    evaluator = TASKS["detection"].evaluator((scene(small=4, large=8, seed=0),), NAMES, preprocess)
    evaluator.update({"detections": torch.zeros(len(seen_by(preprocess)) - 1, 100, 6)})
    with pytest.raises(ValueError, match="0 of 1 images"):
        evaluator.metrics()


def test_a_union_of_masks_is_that_of_both_parts() -> None:
    box = (10.0, 40.0, 170.0, 60.0)
    outline = ((box[0], box[1], box[2], box[1], box[2], box[3], box[0], box[3]),)
    first, second = tiles_of_two()
    assert cut_segment(outline, first.box, (180, 100)) == outline
    halves = [
        FoundObjects(
            np.array([[max(box[0], t.left), box[1], min(box[2], t.box[2]), box[3]]], np.float32),
            np.array([0.5], np.float32),
            np.array([0]),
            (rle_of(_within(box, t), 180, 100),),
        )
        for t in (first, second)
    ]
    whole = merged(halves, (first, second))
    assert whole.masks is not None
    assert whole.masks[0]["counts"] == rle_of(outline, 180, 100)["counts"]


def _within(box: tuple[float, ...], tile: Tile) -> tuple[tuple[float, ...], ...]:
    left, right = max(box[0], float(tile.left)), min(box[2], float(tile.box[2]))
    return ((left, box[1], right, box[1], right, box[3], left, box[3]),)


def test_of_a_crowded_image_in_tiles_all_objects_count() -> None:
    """Each of 9 tiles shows 25 of 225 objects, more than COCO's 100 of an image in all."""
    corners = np.stack(np.meshgrid(np.arange(15), np.arange(15)), axis=-1).reshape(-1, 2) * 12.0
    boxes = np.concatenate([corners, corners + 8], axis=1).astype(np.float32)
    target = Objects(boxes, np.zeros(225, np.int64), np.zeros(225, np.bool_))
    sample = Sample(np.zeros((180, 180, 3), np.uint8), target, "", 180, 180, False, "")
    preprocess = Preprocess(60, 3, (0.5,) * 3, (0.5,) * 3, resize="pad", tiling=Tiling(60, 0.0))
    evaluator = TASKS["detection"].evaluator((sample,), NAMES, preprocess)
    for tile in preprocess.tiles(180, 180):
        rows = torch.zeros(1, 100, 6)
        inside = (corners >= tile.box[:2]).all(axis=1) & (corners < tile.box[2:]).all(axis=1)
        mine = torch.from_numpy(boxes[inside] - np.array([tile.left, tile.top] * 2, np.float32))
        rows[0, : len(mine), :4], rows[0, : len(mine), 4] = mine, 0.9
        evaluator.update({"detections": rows})
    assert evaluator.metrics()["map"] == pytest.approx(1.0)
