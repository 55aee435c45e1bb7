"""Crowded images: how many objects are found and counted."""

from __future__ import annotations

import pytest

from archfront.search.config.build import build
from archfront.search.prepare.rules.crowding import crowding
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Effect
from tests.search.prepare.rules.test_rule_table import DENSE
from tests.support.configurations import changed


def effect(crowd: float | None) -> Effect | None:
    facts = Facts(500, {"cell": 900}, "objects", 640.0, 0.1, crowd)
    return crowding(facts, build(changed(**DENSE)))


@pytest.mark.parametrize("crowd", [None, 0, 12, 66])
def test_images_with_room_for_wrong_detections_change_nothing(crowd: float | None) -> None:
    assert effect(crowd) is None


@pytest.mark.parametrize(("crowd", "found"), [(67, 150), (150, 250), (400, 600), (5000, 1000)])
def test_crowded_images_have_half_as_many_again(crowd: float, found: int) -> None:
    told = effect(crowd)
    assert told is not None
    assert told.values == {"space.detections": found}
    assert ("some objects will be missed" in told.words) == (crowd > 1000)
