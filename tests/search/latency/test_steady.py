from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from archfront.search.latency.steady import HOPELESS, may_be_within, steadier
from archfront.search.records.evaluation import Measurement
from archfront.trainers.spec import Architecture
from tests.support.small_study import measurement

BASE = measurement(Architecture("classification", "resnet18", "avg", 16, 3, 1))


def timed(p50_ms: float, spread: float = 0.01, **changes: Any) -> Measurement:
    latency = replace(BASE.latency, p50_ms=p50_ms, spread=spread, **changes)
    return replace(BASE, latency=latency, seconds=1.0)


STABLE, FASTER = timed(3.0), timed(2.9)
WIDE, NARROW = timed(8.35, 0.99, is_stable=False), timed(2.5, 0.3, is_stable=False)
SLOWED = timed(6.07, 0.26, is_stable=False)


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        (WIDE, STABLE, STABLE),
        (NARROW, STABLE, STABLE),
        (STABLE, FASTER, FASTER),
        (WIDE, NARROW, NARROW),
        (timed(37.0, 0.22, is_stable=False), SLOWED, SLOWED),
        (timed(12.0), SLOWED, SLOWED),
    ],
)
def test_the_latency_counts_that_other_work_slowed_least(
    first: Measurement, second: Measurement, best: Measurement
) -> None:
    for pair in ((first, second), (second, first)):
        found = steadier(*pair)
        assert found.latency == best.latency
        assert found.seconds == 2.0


@pytest.mark.parametrize(
    ("measured", "over", "is_open"),
    [
        (WIDE, {"latency_ms": (8.35, 4.0)}, True),
        (timed(8.35), {"latency_ms": (8.35, 4.0)}, False),
        # What slowed it all the time does not show in the spread, and cannot have slowed it more.
        (timed(762.0, 0.02, is_stable=False), {"latency_ms": (762.0, 150.0)}, False),
        (timed(300.0, 0.02, is_stable=False), {"latency_ms": (300.0, 150.0)}, True),
        (WIDE, {}, False),
        (WIDE, {"latency_ms": (8.35, 4.0), "params_m": (11.0, 5.0)}, False),
        (WIDE, {"latency_ms": (4.0 * HOPELESS + 0.1, 4.0)}, False),
        (timed(8.35, 0.99, is_stable=False, source="imported"), {"latency_ms": (8.35, 4)}, False),
        (timed(8.35, 0.99, is_stable=False, source="remembered"), {"latency_ms": (8.35, 4)}, True),
    ],
)
def test_only_a_disturbed_latency_is_doubted(
    measured: Measurement, over: dict[str, tuple[float, float]], is_open: bool
) -> None:
    assert may_be_within(measured, over) == is_open
