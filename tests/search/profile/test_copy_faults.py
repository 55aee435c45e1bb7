"""Copies whose annotations differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from archfront.search.profile.make_profile import Title, make_profile
from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.targets import Objects
from tests.support.drawn_images import REF
from tests.support.textured_images import textured

Box = tuple[float, float, float, float]
LOW, HIGH = (2.0, 2.0, 12.0, 12.0), (30.0, 30.0, 46.0, 46.0)


def objects(boxes: Sequence[Box], labels: Sequence[int], n_crowds: int = 0) -> Objects:
    crowd = np.arange(len(boxes)) >= len(boxes) - n_crowds
    return Objects(np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), crowd)


def kinds_of(*copies: Objects) -> list[str]:
    """Return the faults of images with boxes, some of which have equal pixels."""
    unlike = [
        RawSample(textured(seed), objects([LOW, HIGH], [0, 1]), f"{seed}.png")
        for seed in range(100, 112)
    ]
    same = [RawSample(textured(7), one, f"copy {row}") for row, one in enumerate(copies)]
    parts = {"train": (*unlike[:6], *same), "val": tuple(unlike[6:])}
    raw = RawData("some data", ("a", "b"), parts)
    profile = make_profile(replace(REF, target="boxes"), raw, Title("detection", "data", "0"))
    return [fault.kind for fault in profile.faults]


@pytest.mark.parametrize(
    ("first", "second", "contradict"),
    [
        (objects([LOW], [0]), objects([HIGH], [0]), True),
        (objects([LOW], [0]), objects([(3, 2, 13, 12)], [0]), False),  # IoU 0.82
        (objects([LOW], [0]), objects([(7, 2, 17, 12)], [0]), True),  # IoU 0.33
        (objects([LOW, HIGH], [0, 1]), objects([LOW, HIGH], [1, 0]), True),
        (objects([LOW, HIGH], [0, 1]), objects([HIGH, LOW], [1, 0]), False),
        (objects([LOW, LOW], [0, 0]), objects([LOW, HIGH], [0, 0]), True),
        (objects([LOW, HIGH], [0, 0], 1), objects([LOW], [0]), False),  # crowds do not count
        (objects([], []), objects([], []), False),
    ],
)
def test_equal_images_contradict_where_a_box_of_one_has_no_partner(
    first: Objects, second: Objects, contradict: bool
) -> None:
    """Copies of which only the boxes differed were told as saying the same."""
    for pair in ((first, second), (second, first)):
        expected = ["contradicting labels"] if contradict else ["copies within a split"]
        assert kinds_of(*pair) == expected


def test_every_copy_is_compared() -> None:
    agree, differ = objects([LOW], [0]), objects([HIGH], [0])
    assert kinds_of(agree, agree, agree) == ["copies within a split"]
    assert kinds_of(agree, agree, differ) == ["contradicting labels"]
