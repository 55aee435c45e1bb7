"""The costs of images that are cut into tiles: known of one tile, told of an image."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from archfront.search.config.schema import LimitsConfig
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.lookup import DeviceCosts
from archfront.search.latency.tiled import (
    latency_of_run,
    measured_merge_ms,
    of_image,
    of_run,
    tiles_of,
)
from archfront.search.prepare.gate import exceeded
from archfront.search.records.codec import decode, encode
from archfront.search.records.evaluation import Measurement
from archfront.search.records.image_tiles import ImageTiles
from archfront.search.tracking.rows import cost_metrics
from archfront.trainers.data.tiles import Tiling
from archfront.trainers.dataset_summary import (
    LONGER_SIDE,
    DatasetSummary,
    ObjectSummary,
    SideShare,
    SplitSummary,
    Spread,
    TileSummary,
)
from tests.search.latency.test_predicted import device_ms, drawn
from tests.support.recorded_study import measurement

NAMES = [field.name for field in fields(LimitsConfig)]
SETTINGS = MeasureSettings("eager", threads=1, batch_size=1, warmup=10, repeats=50)
TWELVE = ImageTiles(12, merge_ms=1.5)


def summary(*, objects: bool = True) -> DatasetSummary:
    share, in_tiles = SideShare(0.005, 0.01, 0.02), SideShare(0.015, 0.03, 0.06)
    sizes = {name: Spread(900, 1000, 1100) for name in ("width", "height", LONGER_SIDE)}
    cut = TileSummary(
        size=320,
        overlap=0.2,
        per_image=Spread(9, 16, 16),
        splits={"train": 30, "val": 64},
        longer_side=Spread(320, 320, 320),
        objects=ObjectSummary(Spread(0, 1, 2), in_tiles, crowd=2.0) if objects else None,
        merge_ms=1.5,
    )
    return DatasetSummary(
        class_names=("a", "b"),
        splits={"train": SplitSummary(8, {"a": 5}), "val": SplitSummary(4, {"a": 2})},
        objects=ObjectSummary(Spread(1, 2, 3), share) if objects else None,
        sizes=sizes,
        tiles=cut,
    )


def test_an_image_costs_all_its_tiles_and_their_merging() -> None:
    one = replace(measurement(4.0), throughput_ips=240.0, energy_mj=2.0, memory_mb=50.0)
    whole = of_image(one, TWELVE)
    assert whole.value("latency_ms") == 12 * 4.0 + 1.5
    assert whole.latency.p95_ms == pytest.approx(12 * 4.4 + 1.5)
    assert whole.latency.tiles == TWELVE
    assert (whole.macs_g, whole.params_m, whole.size_mb) == (pytest.approx(1.2), 1.0, 4.0)
    assert (whole.throughput_ips, whole.energy_mj, whole.memory_mb) == (20.0, 24.0, 50.0)
    assert latency_of_run(whole.latency).p50_ms == pytest.approx(4.0)
    back = of_run(whole)
    assert back.latency.tiles is None
    for name in ("latency_ms", "macs_g", "throughput_ips", "energy_mj", "memory_mb"):
        assert back.value(name) == pytest.approx(one.value(name))
    assert of_image(one, None) is one
    assert of_run(one) is one


def test_tiles_are_predicted_in_batches_where_the_network_takes_some_at_a_time() -> None:
    one = measurement(4.0)
    eight = replace(one, latency=replace(one.latency, batch_size=8))
    assert of_image(eight, TWELVE).value("latency_ms") == 2 * 4.0 + 1.5


def test_the_gate_looks_at_images() -> None:
    limits = LimitsConfig(**{**dict.fromkeys(NAMES), "latency_ms": 30.0})
    assert exceeded(measurement(4.0), limits) == {}
    assert exceeded(of_image(measurement(4.0), TWELVE), limits) == {"latency_ms": (49.5, 30.0)}


def test_a_device_remembers_a_tile_for_studies_with_and_without(tmp_path: Path) -> None:
    table = LatencyTable(tmp_path / "latency.db")
    shown, hidden = drawn(41)[:40], drawn(41)[40]
    cut = DeviceCosts(table, replace(SETTINGS, tiles=TWELVE), latency_ms_max=1e9)
    plain = DeviceCosts(table, SETTINGS)
    for one, ms in zip(shown, device_ms(shown), strict=True):
        cut.learn(one, of_image(measurement(float(ms)), TWELVE))
    alone, whole = plain.lookup(shown[0]), cut.lookup(shown[0])
    assert isinstance(alone, Measurement)
    assert isinstance(whole, Measurement)
    assert alone.latency.tiles is None
    assert whole.value("latency_ms") == pytest.approx(12 * alone.value("latency_ms") + 1.5)
    assert cut.measured()[shown[0]] == whole
    expected, of_one = cut.expected(hidden), plain.expected(hidden)
    assert expected is not None
    assert of_one is not None
    assert expected.p50_ms == pytest.approx(12 * of_one.p50_ms + 1.5)
    assert cut.bands([hidden])[0] == expected
    slow = DeviceCosts(
        table, replace(SETTINGS, tiles=TWELVE), latency_ms_max=2 * of_one.p50_ms
    ).lookup(hidden)
    assert slow is not None, "twelve tiles take longer than two"
    assert plain.lookup(hidden) is None


def test_a_record_says_how_many_tiles_a_latency_is_of() -> None:
    whole = of_image(measurement(4.0), TWELVE)
    assert decode(Measurement, encode(whole)) == whole
    assert encode(whole)["latency"]["tiles"] == {"n": 12, "merge_ms": 1.5}
    alone = encode(measurement(4.0))
    assert "tiles" not in alone["latency"]  # as it was stored before there were tiles
    assert decode(Measurement, alone) == measurement(4.0)


def test_mlflow_shows_the_latency_of_an_image_and_of_a_tile() -> None:
    rows = {
        name: value for name, value, _, _ in cost_metrics(of_image(measurement(4.0), TWELVE), 0)
    }
    assert (rows["latency_ms"], rows["latency_tiles"]) == (49.5, 12)
    assert rows["latency_tile_ms"] == pytest.approx(4.0)
    plain = [name for name, *_ in cost_metrics(measurement(4.0), 0)]
    assert not any("tile" in name for name in plain)


def test_networks_see_tiles_in_the_place_of_images() -> None:
    found = summary()
    assert tiles_of(found) == ImageTiles(16, 1.5)
    assert {name: part.images for name, part in found.seen.splits.items()} == {
        "train": 30,
        "val": 64,
    }
    assert found.seen.class_counts("train") == [5]
    assert found.seen.sizes[LONGER_SIDE].median == 320
    assert found.seen.objects is not None
    assert (found.seen.objects.side_share.median, found.seen.objects.crowd) == (0.03, 2.0)
    plain = replace(found, tiles=None)
    assert plain.seen is plain
    assert tiles_of(plain) is tiles_of(None) is None


@pytest.mark.parametrize("objects", [True, False])
def test_merging_is_timed(objects: bool) -> None:
    ticks = iter(np.arange(100.0) * 0.002)
    found = measured_merge_ms(summary(objects=objects), clock=lambda: next(ticks))
    assert found == pytest.approx(2.0)
    assert Tiling(320, 0.2).count(1000, 1000) == 16
