"""Small objects: which input sizes are left, and when none is large enough."""

from __future__ import annotations

from typing import Any

import pytest

from archfront.search.config.build import build
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.object_size import object_size
from archfront.search.prepare.rules.rule import Effect
from tests.search.prepare.rules.test_rule_table import DENSE
from tests.support.configurations import changed


def effect(longest: float, small_object: float | None, **leaves: Any) -> Effect | None:
    """Return what the rule says of images and their objects; yolo can use stride 4."""
    facts = Facts(500, {"cell": 900}, "objects", longest, small_object)
    return object_size(facts, build(changed(**{**DENSE, **leaves})))


@pytest.mark.parametrize(
    ("longest", "share"), [(640, 0.2), (640, 0.025), (64, 0.2), (640, None), (640, 0.0)]
)
def test_objects_of_a_cell_or_more_change_nothing(longest: float, share: float | None) -> None:
    assert effect(longest, share) is None


def test_where_objects_cover_less_than_a_cell_larger_sizes_come_in() -> None:
    found = effect(640, 0.008)
    assert found is not None
    assert found.measured == (
        "the smallest tenth of the objects is at most 0.80% of the image's longer side, 0.77 "
        "cells of stride 4 at 384 px"
    )
    sizes = found.values["space.input_sizes"]
    assert isinstance(sizes, tuple)
    assert 384 in sizes
    assert sum(0.008 * size / 4 >= 1 for size in sizes if isinstance(size, int)) >= 2
    assert found.words == ""


def test_small_images_are_enlarged_up_to_twice() -> None:
    found = effect(128, 0.02)
    assert found is not None
    assert found.values == {"space.input_sizes": (64, 96, 128, 224, 256)}


def test_where_no_size_is_large_enough_tiles_are_named() -> None:
    found = effect(4000, 0.002)
    assert found is not None
    assert found.values == {"space.input_sizes": (384, 416, 512, 832, 1024)}
    assert found.words == (
        "at no input size up to 1024 px does it cover a cell, and data.tiles would cut the images "
        "into parts in which it does"
    )


def test_sizes_that_were_given_are_judged_too() -> None:
    assert effect(640, 0.008, space__input_sizes=[512]) is None
    found = effect(640, 0.008, space__input_sizes=[512, 320])
    assert found is not None
    assert "0.64 cells of stride 4 at 320 px" in found.measured


def test_images_without_objects_have_no_small_ones() -> None:
    config = build(changed(task__metric="auto"))
    assert object_size(Facts(500, {"a": 5}, "images", 640.0, 0.001), config) is None
