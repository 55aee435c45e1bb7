"""The gate says which limits a measurement exceeds, and by how much."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from archfront.search.config.schema import LimitsConfig
from archfront.search.prepare.gate import exceeded
from archfront.search.records.evaluation import Measurement, Rejected
from tests.support import recorded_study

LIMITS = tuple(field.name for field in fields(LimitsConfig))
NONE: dict[str, float | None] = dict.fromkeys(LIMITS)
VALUES = {"latency_ms": 12.0, "params_m": 5.0, "macs_g": 0.5, "size_mb": 20.0}
VALUES |= {"memory_mb": 80.0, "energy_mj": 3.0}


def measurement(latency_ms: float = VALUES["latency_ms"]) -> Measurement:
    plain = recorded_study.measurement(latency_ms)
    return replace(plain, **{name: VALUES[name] for name in LIMITS[1:]})


def test_every_limit_of_the_configuration_is_tested() -> None:
    assert tuple(VALUES) == LIMITS


def test_without_limits_nothing_is_exceeded() -> None:
    assert exceeded(measurement(), LimitsConfig(**NONE)) == {}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_alone_is_exceeded_by_more_only(name: str) -> None:
    value = VALUES[name]
    assert exceeded(measurement(), LimitsConfig(**NONE | {name: value})) == {}
    over = exceeded(measurement(), LimitsConfig(**NONE | {name: value / 2}))
    assert over == {name: (value, value / 2)}


def test_all_exceeded_limits_are_told_with_value_and_limit() -> None:
    limits = LimitsConfig(**NONE | {"latency_ms": 10.0, "params_m": 4.0, "size_mb": 30.0})
    over = exceeded(measurement(), limits)
    assert over == {"latency_ms": (12.0, 10.0), "params_m": (5.0, 4.0)}
    assert str(Rejected(over)) == ("latency_ms 12 is over 10 by 20%; params_m 5 is over 4 by 25%")


def test_a_value_that_is_no_number_is_over_its_limit() -> None:
    over = exceeded(measurement(float("nan")), LimitsConfig(**NONE | {"latency_ms": 10.0}))
    assert list(over) == ["latency_ms"]


def test_a_value_that_was_not_measured_is_over_its_limit_and_said_to_be_missing() -> None:
    unmeasured = replace(measurement(), memory_mb=None)
    assert not unmeasured.has(["latency_ms", "memory_mb"])
    assert unmeasured.has(["latency_ms", "size_mb"])
    over = exceeded(unmeasured, LimitsConfig(**NONE | {"memory_mb": 80.0}))
    assert list(over) == ["memory_mb"]
    assert str(Rejected(over)) == "memory_mb could not be measured, 80 is allowed"
