"""Named flips: each strength draws those and no others, and the targets go along."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from archfront.trainers.training.augment import augment

N, SIDE = 96, 64
# Three marks: the second is to the right of the first, the third below.
MARKS = {1: (24, 24), 2: (40, 24), 3: (24, 40)}
Turn = tuple[tuple[int, int], tuple[int, int]]
RIGHT, LEFT, DOWN, UP = (1, 0), (-1, 0), (0, 1), (0, -1)
SIDES = {(RIGHT, DOWN)}
HORIZONTAL, VERTICAL = SIDES | {(LEFT, DOWN)}, SIDES | {(RIGHT, UP)}
BOTH = HORIZONTAL | VERTICAL | {(LEFT, UP)}
QUARTERS = {(a, b) for a in (DOWN, UP) for b in (RIGHT, LEFT)}
GROUPS: dict[Any, set[Turn]] = {
    "none": SIDES,
    "horizontal": HORIZONTAL,
    "vertical": VERTICAL,
    "both": BOTH,
    "all": BOTH | QUARTERS,
}


def marked() -> Tensor:
    """Return a mask ``(SIDE, SIDE)`` of the three marks, each a square of 8 px."""
    mask = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    for mark, (x, y) in MARKS.items():
        mask[y - 4 : y + 4, x - 4 : x + 4] = mark
    return mask


def turn_of(mask: Tensor) -> Turn:
    """Return where the second and the third mark of a mask are, as seen from the first."""
    x, y = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="xy")
    middles = [
        torch.stack([(places * (mask == mark)).sum() / (mask == mark).sum() for places in (x, y)])
        for mark in MARKS
    ]
    first, second, third = middles

    def way(of: Tensor) -> tuple[int, int]:
        dx, dy = ((of - first) / (of - first).abs().max()).round().int().tolist()
        return dx, dy

    return way(second), way(third)


def changed(targets: Any, images: Tensor, flips: Any, strength: Any) -> tuple[Tensor, Any]:
    rng = np.random.default_rng(0)
    return augment(images, targets, strength=strength, flips=flips, classes=4, rng=rng)


@pytest.mark.parametrize("flips", GROUPS)
class TestNamedFlips:
    def test_of_labels(self, flips: Any) -> None:
        images = marked().float().expand(N, 1, SIDE, SIDE)
        found, _ = changed(torch.zeros(N, dtype=torch.int64), images, flips, "light")
        assert {turn_of(image[0]) for image in found} == GROUPS[flips]
        assert torch.equal(found.sum(dim=(1, 2, 3)), images.sum(dim=(1, 2, 3)))
        strong, _ = changed(torch.zeros(N, dtype=torch.int64), images, flips, "strong")
        assert not torch.equal(strong, found)

    @pytest.mark.parametrize("strength", ["light", "strong"])
    def test_of_masks(self, flips: Any, strength: Any) -> None:
        images = marked().float().expand(N, 1, SIDE, SIDE)
        found, masks = changed(marked().expand(N, SIDE, SIDE), images, flips, strength)
        whole = [m for m in masks if all((m == mark).sum() > 4 for mark in MARKS)]
        assert {turn_of(mask) for mask in whole} == GROUPS[flips]
        inner = (found[:, 0] - masks).abs() < 0.1
        assert strength == "strong" or inner[masks == 3].float().mean() > 0.6

    @pytest.mark.parametrize("strength", ["light", "strong"])
    def test_of_outlines(self, flips: Any, strength: Any) -> None:
        """Each box stays around its outline, and both keep their label."""
        masks = torch.stack([marked() == mark for mark in MARKS]).to(torch.uint8)
        boxes = torch.tensor([[x - 4.0, y - 4, x + 4, y + 4] for x, y in MARKS.values()])
        target = {"boxes": boxes, "labels": torch.tensor(list(MARKS)), "masks": masks}
        images = marked().float().expand(N, 1, SIDE, SIDE)
        _, objects = changed([target] * N, images, flips, strength)
        turns = set()
        for each in objects:
            if len(each["boxes"]) < len(MARKS):
                continue
            turns.add(turn_of(sum(m * k for m, k in zip(each["masks"], MARKS, strict=True))))
            for box, mask in zip(each["boxes"], each["masks"], strict=True):
                rows, columns = mask.nonzero().T
                around = torch.stack([columns.min(), rows.min(), columns.max(), rows.max()])
                assert (box - around).abs().max() <= 2
        assert turns == GROUPS[flips]
