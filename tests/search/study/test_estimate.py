"""A dry run says what a study would take, from real steps, and writes no records."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.key import MeasureSettings, latency_key
from archfront.search.study import estimate
from archfront.search.study.estimate import Estimate
from archfront.trainers.spec import Architecture
from tests.support.recorded_study import measurement
from tests.support.small_study import small_config

SETTINGS = MeasureSettings("eager", threads=1, batch_size=1, warmup=10, repeats=50)


def config(root: Path, **changes: Any) -> Config:
    options = {"space__backbones": ["test_resnet"], "space__input_sizes": [8, 16], **changes}
    return small_config(root, **options)


def said(of: Config) -> dict[str, str]:
    """Return what is said by its first word."""
    return {text.split()[0]: text[10:] for text in Estimate(of).lines()}


@pytest.mark.slow
def test_a_dry_run_tells_size_time_and_disk_and_leaves_nothing(tmp_path: Path) -> None:
    lines = said(config(tmp_path, budget__minutes=2))
    assert lines["study"] == "small (dry run: nothing is trained or recorded)"
    assert lines["data"] == "digits: 10 classes, 600 train, 600 val, 597 test"
    assert lines["space"] == ("8 candidates: 1 backbone of 1 family, 4 architectures, 2 recipes")
    assert lines["limits"].startswith("no architecture of this space has been measured")
    assert re.match(
        r"[\d.]+ m?s? ?.*to .* a candidate, .* for the middle one \(1 epoch; from "
        r"timed steps of 3 architectures\)$",
        lines["training"],
    )
    assert re.match(
        r"about .* for 6 trainings; about \d+ trainings in 2 minutes; measuring comes "
        r"on top",
        lines["time"],
    )
    assert re.match(
        r"about \d+ MB: weights of the front \(\d+\), predictions \(\d+\), report and "
        r"records \(15\)$",
        lines["disk"],
    )
    assert [path.name for path in tmp_path.iterdir()] == ["latency.db"]


def test_what_is_known_of_the_limits_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_training_seconds", lambda *_: [1.0])
    table = LatencyTable(tmp_path / "latency.db")
    for size, latency_ms in ((8, 1.0), (16, 3.0)):
        architecture = Architecture("classification", "test_resnet", "avg", size, 10, 1)
        table.put(latency_key(architecture, SETTINGS), measurement(latency_ms))
    lines = said(config(tmp_path))
    assert lines["exports"].startswith("hf takes none of these candidates: transformers' image")
    assert lines["limits"] == (
        "1 of 2 measured architectures are over a limit (50%; 2 not measured yet); the fastest "
        "takes 1 ms"
    )


def test_architectures_that_cannot_be_built_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their missing time once made the whole dry run fail."""
    answers = iter([4.0, None, 2.0])
    monkeypatch.setattr(estimate, "_seconds_of", lambda *_: next(answers))
    lines = said(config(tmp_path))
    assert lines["training"] == (
        "2 s to 4 s a candidate, 4 s for the middle one (1 epoch; from timed steps of 2 "
        "architectures)"
    )


def test_when_none_can_be_built_the_rest_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_seconds_of", lambda *_: None)
    lines = said(config(tmp_path))
    assert lines["training"].startswith("unknown: none of the architectures that were tried")
    assert "time" not in lines
    assert "disk" not in lines


def test_time_and_disk_follow_from_the_time_of_one_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_training_seconds", lambda *_: [10.0, 30.0, 60.0])
    lines = said(config(tmp_path, budget__minutes=10, engine__name="processes", engine__workers=2))
    assert lines["training"].startswith("10 s to 1 min a candidate, 30 s for the middle one")
    assert lines["time"].startswith(
        "about 1 min 30 s for 6 trainings; about 40 trainings in 10 minutes"
    )
    few = said(config(tmp_path, budget__minutes=1))
    assert "about 2 trainings in 1 minute" in few["time"]
    assert "fewer than 8 full trainings: expect few members" in few["time"]


def test_a_study_that_cannot_begin_is_an_error_before_anything_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no backbone is left"):
        next(Estimate(config(tmp_path, space__exclude=["test_*"])).lines())


def test_the_classes_are_told_before_any_step_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_training_seconds", lambda *_: pytest.fail("timed too early"))
    lines = Estimate(config(tmp_path, task__epochs=3)).lines()
    shown = [next(lines) for _ in range(14)]
    assert shown[3] == "classes   images  train  val  test"
    assert shown[4].split()[0] == "0"
    assert shown[13].split()[0] == "9"


def test_the_record_has_what_the_lines_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_training_seconds", lambda *_: [10.0, 30.0, 60.0])
    record = json.loads(json.dumps(Estimate(config(tmp_path)).record()))
    assert record["classes"] == [str(digit) for digit in range(10)]
    assert record["splits"]["train"]["images"] == 600
    assert sum(record["splits"]["test"]["per_class"].values()) == 597
    assert record["skipped"] == record["notes"] == record["warnings"] == []
    assert record["space"]["candidates"] == 8
    assert record["known"] == {
        "measured": 0,
        "over": 0,
        "unmeasured": 4,
        "failing": 0,
        "fastest_ms": None,
    }
    assert record["measures"] == ["latency_ms"]
    assert record["plan"]["rungs"] == [1]
    assert record["training_s"] == {"least": 10.0, "middle": 30.0, "most": 60.0}
