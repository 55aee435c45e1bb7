"""The race of tiles: what is drawn can be read, both studies differ in tiles only, and the aim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiles
from PIL import Image
from race_records import Course, Member
from tiles import aims_of, draw, figures_of, options_of, racers_of, settings_of, words_of

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.prepare.prepare import data_ref
from archfront.trainers.data import load
from archfront.trainers.data.targets import Objects
from archfront.trainers.spec import Architecture


def course(metric: float | None, latency_ms: float = 20.0) -> Course:
    members = ()
    if metric is not None:
        a = Architecture("detection", "resnet10t", "yolo", 128, 2, 3, neck="fpn", width=64)
        members = (Member(a, metric, metric - 0.1, metric + 0.1, latency_ms, 0, 60.0),)
    return Course((), members, n_seen=3, n_full=1, n_late=0, state="finished", reason="")


def test_drawn_images_are_read_with_and_without_tiles(tmp_path: Path) -> None:
    data = draw(tmp_path / "drawn", 4, side=96, object_px=8)
    assert draw(data, 400, side=96, object_px=8) == data  # not drawn again
    for word, n_tiles in (("none", 1), ("64", 4)):
        words = [*words_of(options_of(["--word", f"data.tiles={word}"]), data), "budget.minutes=1"]
        composed = compose(words)
        found = load(data_ref(build(composed.content, texts=composed.texts)))
        assert {name: len(split) for name, split in found.splits.items()} == {"train": 3, "val": 1}
        for sample in found.splits["train"].samples:
            assert isinstance(sample.target, Objects)
            sides = sample.target.boxes[:, 2:] - sample.target.boxes[:, :2]
            assert sides == pytest.approx(np.full((len(sample.target), 2), 8.0), abs=1e-3)
            assert 4 <= len(sample.target) <= 12
        seen = found.summary().tiles
        assert (1 if seen is None else seen.per_image.median) == n_tiles


def test_an_object_differs_from_its_ground(tmp_path: Path) -> None:
    data = draw(tmp_path / "drawn", 4, side=96, object_px=8)
    pixels = np.asarray(Image.open(data / "val" / "images" / "0.png"), np.float64)
    label, x, y, *_ = map(float, (data / "val" / "labels" / "0.txt").read_text().split()[:5])
    left, top = round(x * 96 - 4), round(y * 96 - 4)
    inside = pixels[top + 2 : top + 6, left + 2 : left + 6].mean()
    ring = pixels[max(top - 4, 0) : top + 12, max(left - 4, 0) : left + 12]
    assert label in (0, 1)
    assert abs(inside - np.median(ring)) > 20


def test_both_studies_differ_in_their_tiles_only(tmp_path: Path) -> None:
    options = options_of(["--tile", "320", "--word", "space.backbones=[lcnet_050]"])
    settings = settings_of(options, 2.0, 5)
    tiled, whole = racers_of(options, tmp_path / "data", settings, tmp_path)
    assert (tiled.name, whole.name) == ("tiled", "whole")
    ours, theirs = ({w.replace(one.name, "X") for w in one.command} for one in (tiled, whole))
    assert ours - theirs == {"data.tiles=320"}
    assert theirs - ours == set()
    assert {"hardware.limits.latency_ms=150", "seed=5", "space.backbones=[lcnet_050]"} < ours


@pytest.mark.parametrize(
    ("tiled", "whole", "is_met"),
    [(0.6, 0.5, True), (0.4, 0.5, False), (0.3, None, True), (0.2, 0.0, True), (None, 0.2, False)],
)
def test_the_aim_is_a_metric_no_worse_with_tiles(
    tiled: float | None, whole: float | None, is_met: bool
) -> None:
    (aim,) = aims_of(figures_of(course(tiled), course(whole, 140.0)))
    assert aim.is_met == is_met
    assert tiles.RATIO == 1.0


def test_figures_are_of_the_best_members() -> None:
    found = figures_of(course(0.6, 120.0), course(0.5))
    assert found["ratio"] == pytest.approx(1.2)
    assert (found["tiled_ms"], found["whole_ms"]) == (120.0, 20.0)
    assert (found["tiled_low"], found["whole_high"]) == (pytest.approx(0.5), pytest.approx(0.6))
