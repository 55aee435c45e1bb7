"""The reference point is found once: limits where there are any, else the heaviest candidate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archfront.search.config.schema import LIMITS
from archfront.search.engine.jobs import Broken, Done, Result
from archfront.search.errors import StudyError
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Measurement
from archfront.search.study.reference import BEYOND, TRIES, find_reference
from archfront.trainers.spec import Architecture
from tests.support.recorded_study import measurement
from tests.support.small_study import prepared, small_config


class Measuring:
    """Measures by a formula, notes what was asked, and fails for some backbones."""

    def __init__(self, *, failing: tuple[str, ...] = ()) -> None:
        self.failing = failing
        self.asked: list[tuple[str, int]] = []

    def __call__(self, architecture: Architecture) -> Result:
        self.asked.append((architecture.backbone, architecture.input_size))
        if architecture.backbone in self.failing:
            return Broken("export", f"no exporter took {architecture.head}", 0.1)
        return Done(self.result(architecture.input_size), 0.1)

    def result(self, size: int) -> Measurement:
        return measurement(size / 2, params_m=float(size))


def study(
    root: Path, *, objectives: tuple[str, ...] = ("latency_ms",), **changes: Any
) -> Prepared:
    """Return a study with limits, ``latency_ms=2.5``, and other changes of its configuration."""
    limits = {name: changes.pop(name, None) for name in LIMITS}
    config = small_config(root, objectives=list(objectives), hardware__limits=limits, **changes)
    return prepared(config)


def refuse(architecture: Architecture) -> Result:
    raise AssertionError("nothing has to be measured")


def test_a_limit_is_the_reference_and_nothing_is_measured(tmp_path: Path) -> None:
    found = find_reference(study(tmp_path, latency_ms=2.5), refuse)
    assert found.values == {"accuracy": pytest.approx(1 / 3), "latency_ms": 2.5}


def test_a_metric_without_a_chance_is_measured_from_nothing(tmp_path: Path) -> None:
    """As average precision: without looking at an image no object is found."""
    whole = replace(study(tmp_path, latency_ms=2.5), chance=0.0)
    reference = find_reference(whole, refuse)
    assert reference.values == {"accuracy": 0.0, "latency_ms": 2.5}
    losses = reference.losses([[0.0, 2.5], [0.25, 1.25]], whole.objectives)
    assert losses.tolist() == [[0.0, 0.0], [-0.25, -1.0]]


def test_a_limit_that_is_no_objective_counts_for_nothing(tmp_path: Path) -> None:
    whole = study(tmp_path, latency_ms=2.5, size_mb=3.0)
    assert list(find_reference(whole, refuse).values) == ["accuracy", "latency_ms"]


def test_without_a_limit_the_heaviest_is_measured(tmp_path: Path) -> None:
    whole = study(tmp_path, params_m=1.0)
    measure = Measuring()
    found = find_reference(whole, measure)
    assert measure.asked == [("resnet18", 32)]
    assert found.values["latency_ms"] == 16.0


def test_one_cost_without_a_limit_is_measured_and_the_others_keep_theirs(tmp_path: Path) -> None:
    whole = study(tmp_path, objectives=("latency_ms", "params_m"), latency_ms=2.5)
    measure = Measuring()
    found = find_reference(whole, measure)
    assert found.values == {
        "accuracy": pytest.approx(1 / 3),
        "latency_ms": 2.5,
        "params_m": 32.0,
    }
    assert len(measure.asked) == 1


def test_a_maximized_cost_begins_at_what_the_heaviest_has(tmp_path: Path) -> None:
    whole = study(
        tmp_path,
        objectives=("throughput_ips",),
        latency_ms=2.5,
        hardware__throughput_batch=4,
    )

    class Throughput(Measuring):
        def result(self, size: int) -> Measurement:
            return replace(super().result(size), throughput_ips=1000.0 / size)

    found = find_reference(whole, Throughput())
    assert found.values["throughput_ips"] == 1000.0 / 32


def test_a_value_that_could_not_be_measured_is_the_reason(tmp_path: Path) -> None:
    whole = study(tmp_path, objectives=("latency_ms", "memory_mb"))
    measure = Measuring()
    with pytest.raises(
        StudyError, match=r"reference point:\n  resnet18: memory_mb could not be measured\n"
    ):
        find_reference(whole, measure)
    assert len(measure.asked) == TRIES


def test_a_backbone_that_cannot_be_measured_is_tried_once_before_the_next(
    tmp_path: Path,
) -> None:
    """Its other heads once used up all the tries."""
    whole = study(tmp_path)
    measure = Measuring(failing=("resnet18", "resnet10t"))
    assert find_reference(whole, measure).values["latency_ms"] == 16.0
    assert measure.asked == [("resnet18", 32), ("resnet10t", 32), ("test_resnet", 32)]


def test_by_the_clock_too_a_backbone_that_cannot_be_measured_is_tried_once_before_the_next(
    tmp_path: Path,
) -> None:
    """The heads and sizes of the lightest backbone once used up all the tries."""
    whole = study(tmp_path, budget__minutes=5.0)
    measure = Measuring(failing=("test_resnet",))
    found = find_reference(whole, measure)
    assert measure.asked == [("test_resnet", 8), ("resnet10t", 8)]
    assert found.values["latency_ms"] > 4.0


def test_when_all_of_the_heaviest_fail_the_reasons_are_told(tmp_path: Path) -> None:
    whole = study(tmp_path)
    measure = Measuring(failing=tuple(a.backbone.name for a in whole.space.axes))
    with pytest.raises(
        StudyError,
        match=r"^None of the architectures that were tried could be measured, so the study has no "
        r"reference point:\n  resnet18: no exporter took avg\n  resnet10t: no exporter",
    ):
        find_reference(whole, measure)
    assert len(measure.asked) == TRIES
    assert measure.asked[:3] == [("resnet18", 32), ("resnet10t", 32), ("test_resnet", 32)]


def test_a_space_of_one_that_fails_has_one_reason(tmp_path: Path) -> None:
    whole = study(tmp_path)
    axes = whole.space.axes[0]
    one = replace(axes, heads=axes.heads[:1], input_sizes=axes.input_sizes[:1])
    lone = replace(whole, space=replace(whole.space, axes=(one,)))
    measure = Measuring(failing=(axes.backbone.name,))
    with pytest.raises(StudyError, match=r"reference point:\n  test_resnet: no exporter took"):
        find_reference(lone, measure)
    assert len(measure.asked) == 1


def test_a_study_by_the_clock_measures_the_lightest_and_expects_the_heaviest(
    tmp_path: Path,
) -> None:
    whole = study(
        tmp_path,
        objectives=("latency_ms", "params_m", "throughput_ips"),
        budget__minutes=5.0,
        hardware__throughput_batch=4,
    )

    class Throughput(Measuring):
        def result(self, size: int) -> Measurement:
            return replace(super().result(size), throughput_ips=1000.0 / size)

    measure = Throughput()
    found = find_reference(whole, measure).values
    ((name, size),) = measure.asked
    space = whole.space
    macs, params = space.macs_g, {a.backbone.name: a.backbone.params_m for a in space.axes}
    number = next(
        n for n, a in enumerate(space.architectures) if (a.backbone, a.input_size) == (name, size)
    )
    assert macs[number] == macs.min()
    features = space.architecture_features()
    logs = features.numeric[:, features.numeric_names.index("log10_acts_m")]
    growth = 0.5 * np.log10(macs) + 0.3 * logs
    ratio = 10 ** (growth.max() - growth[number])
    assert found["latency_ms"] == pytest.approx(BEYOND * size / 2 * ratio)
    assert found["params_m"] == pytest.approx(BEYOND * size * max(params.values()) / params[name])
    assert found["throughput_ips"] == pytest.approx(1000 / size / ratio / BEYOND)
