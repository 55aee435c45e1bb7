"""What is known before a job is submitted: measured, failed, or certain to be too slow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archfront.search.latency import key
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.expect import Expectations
from archfront.search.latency.key import MeasureSettings, latency_key
from archfront.search.latency.lookup import DeviceCosts
from archfront.search.latency.predicted import MIN_MEASURED
from archfront.search.records.evaluation import Evaluation, Latency, Measurement, Rejected
from archfront.trainers.spec import Architecture
from tests.search.latency.test_predicted import architecture, device_ms, drawn
from tests.support.hub_networks import save
from tests.support.recorded_study import study

SETTINGS = MeasureSettings("eager", threads=1, batch_size=1, warmup=10, repeats=50)
SHOWN = drawn(40)
MS = device_ms(SHOWN)


def measurement(ms: float) -> Measurement:
    latency = Latency(ms, ms, 0.01, 50, 10, 1, 1, "eager", "1", "fp32", "dev", "none", True)
    return Measurement(latency, params_m=5.0, macs_g=1.0, size_mb=20.0, seconds=1.0)


@pytest.fixture
def table(tmp_path: Path) -> LatencyTable:
    return LatencyTable(tmp_path / "latency.db")


def known(table: LatencyTable, limit: float | None = None) -> DeviceCosts:
    return DeviceCosts(table, SETTINGS, latency_ms_max=limit)


def test_nothing_is_expected_of_an_unknown_device(table: LatencyTable) -> None:
    here = known(table, limit=1e-9)
    assert here.lookup(SHOWN[0]) is None
    assert here.expected(SHOWN[0]) is None


def test_what_this_device_measured_before_tells_what_to_expect(table: LatencyTable) -> None:
    for one, ms in zip(SHOWN, MS, strict=True):
        table.put(latency_key(one, SETTINGS), measurement(float(ms)))
    hidden = drawn(60)[40:]
    expected = [known(table).expected(one) for one in hidden]
    errors = [
        abs(e.p50_ms / ms - 1) for e, ms in zip(expected, device_ms(hidden), strict=True) if e
    ]
    assert len(errors) == len(hidden)
    assert np.median(errors) < 0.05


def test_another_runtime_batch_or_precision_tells_nothing(table: LatencyTable) -> None:
    for one, ms in zip(SHOWN, MS, strict=True):
        other = MeasureSettings("eager", threads=2, batch_size=1, warmup=10, repeats=50)
        table.put(latency_key(one, other), measurement(float(ms)))
    assert known(table).expected(drawn(60)[50]) is None


def test_only_what_can_hardly_be_fast_enough_is_rejected_unmeasured(table: LatencyTable) -> None:
    for one, ms in zip(SHOWN, MS, strict=True):
        table.put(latency_key(one, SETTINGS), measurement(float(ms)))
    one = drawn(60)[45]
    expected = known(table).expected(one)
    assert expected is not None
    assert known(table, limit=expected.least_ms * 1.01).lookup(one) is None
    limit = expected.least_ms * 0.99
    rejected = known(table, limit=limit).lookup(one)
    assert rejected == Rejected({"latency_ms": (expected.least_ms, limit)}, is_predicted=True)
    assert str(rejected).startswith("latency_ms of at least (predicted) ")
    # One that was measured is judged by its measurement.
    assert isinstance(known(table, limit=1e-9).lookup(SHOWN[0]), Measurement)


def test_measurements_of_networks_that_cannot_be_made_any_more_are_passed_over(
    table: LatencyTable, tmp_path: Path
) -> None:
    save(tmp_path / "gone", "resnet")
    hub = architecture(f"hf:{tmp_path / 'gone'}")
    for one in (hub, SHOWN[0]):
        table.put(latency_key(one, SETTINGS), measurement(3.0))
    assert set(known(table).measured()) == {hub, SHOWN[0]}
    (tmp_path / "gone" / "config.json").unlink()
    key._library.cache_clear()
    assert set(known(table).measured()) == {SHOWN[0]}


def test_what_is_measured_in_a_study_is_learned_at_once(table: LatencyTable) -> None:
    here = known(table)
    for one, ms in list(zip(SHOWN, MS, strict=True))[:MIN_MEASURED]:
        assert here.expected(one) is None
        here.learn(one, measurement(float(ms)))
    assert here.expected(SHOWN[-1]) is not None


def test_the_model_is_fitted_again_when_more_is_known() -> None:
    few = dict(zip(SHOWN[:20], map(float, MS[:20]), strict=True))
    growing, whole = Expectations(few), Expectations(dict(zip(SHOWN, map(float, MS), strict=True)))
    found = [growing.of(architecture("resnet50"))]
    for one, ms in zip(SHOWN[20:], MS[20:], strict=True):
        growing.learn(one, float(ms))
        found.append(growing.of(architecture("resnet50")))
    # At 20, 22, 25, 28, 31, 35 and 39 measurements.
    assert len(set(found)) == 7
    assert found[0] == found[1] != found[2]
    assert found[-1] == whole.of(architecture("resnet50"))


def test_a_backbone_that_the_catalog_does_not_know_is_passed_over() -> None:
    strange = Architecture("classification", "net_of_mine", "avg", 32, 10, 1)
    expectations = Expectations({strange: 1.0, **dict(zip(SHOWN, map(float, MS), strict=True))})
    expectations.learn(strange, 2.0)
    assert expectations.of(strange) is None
    assert expectations.of(architecture("resnet18")) is not None


def test_the_expectation_is_part_of_the_record() -> None:
    expected = Expectations(dict(zip(SHOWN, map(float, MS), strict=True))).of(SHOWN[0])
    first = study()[0]
    for outcome in (first.outcome, Rejected({"latency_ms": (2.0, 1.0)}, is_predicted=True)):
        one = replace(first, expected=expected, outcome=outcome)
        assert Evaluation.from_dict(one.as_dict()) == one


def test_a_throughput_at_another_batch_is_measured_again(table: LatencyTable) -> None:
    """A remembered figure of another batch once stood for the one that was asked for."""

    def at_batch(batch: int | None) -> DeviceCosts:
        settings = replace(SETTINGS, throughput_batch=batch)
        return DeviceCosts(table, settings, ["throughput_ips"] if batch else [])

    one = SHOWN[0]
    of_16 = replace(measurement(5.0), throughput_ips=900.0, throughput_batch=16)
    at_batch(16).learn(one, of_16)
    assert isinstance(at_batch(16).lookup(one), Measurement)
    assert isinstance(at_batch(None).lookup(one), Measurement)
    assert at_batch(32).lookup(one) is None
    at_batch(32).learn(one, replace(of_16, throughput_ips=950.0, throughput_batch=32))
    found = at_batch(32).lookup(one)
    assert isinstance(found, Measurement)
    assert found.throughput_ips == 950.0
