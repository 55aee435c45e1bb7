"""The configuration as a whole: its identity, and the settings that follow from it."""

from __future__ import annotations

import pytest

from archfront.search.config.build import build, differences
from archfront.search.config.compose import compose
from archfront.search.config.schema import OBJECTIVES
from archfront.search.config.settings import measure_settings, needed_values
from archfront.search.records.objectives import MEASURED
from tests.support.configurations import changed


def test_what_can_be_an_objective_can_be_one_of_a_front() -> None:
    assert set(OBJECTIVES) == set(MEASURED)
    assert {name for name in MEASURED if MEASURED[name].direction == "maximize"} == {
        "throughput_ips"
    }


def test_what_a_measurement_needs_is_objectives_limits_and_the_throughput() -> None:
    leaves = {"hardware__limits__memory_mb": 100, "hardware__throughput_batch": 32}
    config = build(changed(objectives=["latency_ms", "size_mb"], **leaves))
    needed = needed_values(config)
    assert set(needed) >= {"latency_ms", "size_mb", "memory_mb", "throughput_ips"}
    settings = measure_settings(config)
    assert settings.measures_memory
    assert settings.throughput_batch == 32
    assert not settings.measures_energy
    assert settings.pace_file is not None


@pytest.mark.parametrize(
    ("minutes", "expected"), [(None, 5.0), (60.0, 5.0), (6.0, 2.16), (1.0, 1.5)]
)
def test_in_few_minutes_an_architecture_is_timed_for_a_small_share_of_them(
    minutes: float | None, expected: float
) -> None:
    config = build(changed(hardware__max_seconds=5.0, budget__minutes=minutes))
    assert measure_settings(config).max_seconds == pytest.approx(expected)
    config = build(changed(hardware__max_seconds=0.5, budget__minutes=minutes))
    assert measure_settings(config).max_seconds == 0.5


def test_the_identity_leaves_out_what_may_change() -> None:
    config = build(compose(["experiment=digits"]).content)
    left = {"budget", "engine", "tracking"}
    assert config.identity().keys() == config.as_dict().keys() - left


def test_differences_name_each_leaf_with_both_values() -> None:
    old = {"a": {"b": 1, "c": [1]}, "d": 2, "e": None, "g": {"h": 1}}
    new = {"a": {"b": 1, "c": [1, 2]}, "e": 3, "f": 4, "g": 5}
    assert differences(old, new) == [
        "a.c: [1] in the study, [1, 2] now",
        "d: 2 in the study, None now",
        "e: None in the study, 3 now",
        "f: None in the study, 4 now",
        "g: {'h': 1} in the study, 5 now",
    ]
    assert differences(old, old) == []
