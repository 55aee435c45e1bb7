"""Crowded images: how many objects a detector finds, and its metric counts."""

from __future__ import annotations

import math

from archfront.search.config.schema import Config
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Effect
from archfront.trainers.spec import DETECTIONS

# Detections for each object: some are wrong, and the wrong ones must not displace the others.
ROOM = 1.5
STEP, MOST = 50, 1000


def crowding(facts: Facts, config: Config) -> Effect | None:
    """Return more detections where the usual ones leave no room for those that are wrong."""
    if facts.crowd is None or facts.crowd * ROOM <= DETECTIONS:
        return None
    wished = STEP * math.ceil(facts.crowd * ROOM / STEP)
    found = min(wished, MOST)
    measured = (
        f"one image in a hundred has {facts.crowd:.0f} objects or more, and a detector finds "
        f"{DETECTIONS}"
    )
    words = "" if found == wished else f"{MOST} is the most, and some objects will be missed"
    return Effect(measured, {"space.detections": found}, words)
