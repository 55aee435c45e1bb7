"""The race on boxes and masks: the candidate alone, the words of both, and the aims."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dense_race
import one_candidate
import pytest
from dense_race import aims_of, alone_words, figures_of, metric_of, options_of, transfer_gains
from one_candidate import CANDIDATES, candidate_of, epochs_in, settings_of
from race_records import Course, Member

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.config.schema import Config
from archfront.search.prepare.build_space import build_space
from archfront.search.prepare.fit_space import fit_space
from archfront.search.prepare.select_backbones import select
from archfront.trainers.spec import Weights

SHAPES = ("data=shapes", "data.shapes.images=40", "data.shapes.side=32", "engine.threads=1")
DETECTION = (*SHAPES, "task=detection", "space=detection")
SEMANTIC = (*SHAPES, "task=semantic", "space=semantic")


def config_of(root: Path, *words: str) -> Config:
    places = (f"tracking.root={root}", f"tracking.device_db={root / 'latency.db'}")
    composed = compose([*words, *places])
    return build(composed.content, texts=composed.texts)


@pytest.mark.parametrize("kind", dense_race.KINDS)
def test_the_candidate_is_one_of_archfronts_own_space(kind: str, tmp_path: Path) -> None:
    task, space = dense_race.KINDS[kind][1:3]
    architecture = CANDIDATES[task.removeprefix("task=")]
    backbone = architecture.backbone
    words = (task, space, f"space.backbones=[{backbone}]", "data=shapes")
    size = f"space.input_sizes=[{architecture.input_size}]"
    config = config_of(tmp_path, *words, size)
    found = build_space(
        fit_space(config.space, architecture.task).config,
        select(config.space, tmp_path),
        {backbone: Weights()},
        task=architecture.task,
        classes=0,
        channels=0,
    )
    assert architecture in found.architectures


def test_another_task_has_no_candidate(tmp_path: Path) -> None:
    config = config_of(tmp_path, "data=digits", "task=classification")
    with pytest.raises(SystemExit, match="no candidate for classification"):
        candidate_of(config, 10, 1, None)


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    config = config_of(tmp_path, *DETECTION, f"space.weights={tmp_path}")
    with pytest.raises(SystemExit, match="tf_efficientnet_lite0 has no weights"):
        candidate_of(config, 3, 3, None)


def test_epochs_end_with_the_seconds() -> None:
    assert [epochs_in(60, s) for s in (7.0, 60.0, 61.0, 1000.0)] == [8, 1, 1, 1]


def test_the_settings_are_those_of_the_task(tmp_path: Path) -> None:
    config = config_of(tmp_path, *SEMANTIC, "seed=7", "task.metric=dice")
    settings = settings_of(config, 20, 2)
    assert (settings.horizon, settings.until_epoch, settings.seed) == (20, 2, 7)
    assert (settings.metric, settings.loss, settings.schedule) == ("dice", "ce_dice", "cosine")


@pytest.mark.slow
@pytest.mark.parametrize("task", CANDIDATES)
def test_the_candidate_is_trained_for_the_epochs_that_fit(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(one_candidate, "epochs_in", lambda seconds, epoch_s: 3)
    small = replace(CANDIDATES[task], input_size=64, width=16)
    monkeypatch.setitem(CANDIDATES, task, small)
    places = [f"tracking.root={tmp_path}", f"tracking.device_db={tmp_path / 'latency.db'}"]
    space = (f"space={task}", "space.weights=none", "backbone=test_resnet")
    words = [*SHAPES, f"task={task}", *space, *places]
    one_candidate.main([str(tmp_path / "alone"), "1", *words])
    found = json.loads(capsys.readouterr().out)
    assert (found["epochs"], len(found["curve"]), found["weights"]) == (3, 3, "none")
    metric = config_of(tmp_path, *words[:-3], *places).task.metric
    assert found["metrics"][metric] == found["curve"][-1]
    assert found["epoch_s"] > 0


def given(*more: str) -> list[str]:
    return ["--kind", "boxes", "--data", "BCCD", "--weights", "WEIGHTS", *more]


def test_both_get_the_same_words(tmp_path: Path) -> None:
    options = options_of(given("--word", "task.metric=map75", "--backbone", "test_resnet"))
    settings = {"minutes": 8.0, "seed": 2}
    words = alone_words(options, tmp_path, settings, "none")
    assert words[:2] == [str(tmp_path / "alone"), "8"]
    assert {*dense_race.words_of(options, "none"), "seed=2", "backbone=test_resnet"} < {*words}
    assert metric_of(options) == "map75"
    assert metric_of(options_of(given())) == "map50"


def course_of(*metrics: float) -> Course:
    members = tuple(
        Member(CANDIDATES["detection"], m, m - 0.1, m + 0.1, 1.0, 0, 9.0) for m in metrics
    )
    return Course((), members, 9, 4, 0, "finished", "")


def test_aims_are_three_members_and_the_candidates_metric() -> None:
    good = aims_of(figures_of(course_of(0.5, 0.6, 0.785), 0.8))
    assert [aim.is_met for aim in good] == [True, True]
    bad = aims_of(figures_of(course_of(0.5, 0.78), 0.8))
    assert [aim.is_met for aim in bad] == [False, False]
    assert [aim.is_met for aim in aims_of(figures_of(course_of(), 0.8))] == [False, False]
    assert [aim.is_met for aim in aims_of(figures_of(course_of(0.9), None))] == [False, False]


def run_of(seed: int, weights: str, best: float | None, alone: float) -> dict[str, Any]:
    settings = {"data": "BCCD", "seed": seed, "weights": weights}
    return {"settings": settings, "figures": {"best": best, "alone": alone}}


def test_transfer_is_told_against_scratch_of_the_same_run() -> None:
    runs = [
        run_of(0, "folder", 0.9, 0.8),
        run_of(0, "none", 0.5, 0.6),
        run_of(1, "folder", 0.9, 0.8),
        run_of(2, "folder", None, 0.8),
        run_of(2, "none", 0.4, 0.9),
    ]
    assert transfer_gains(runs) == [
        "BCCD, seed 0: archfront transfer 0.900, scratch 0.500, gain +0.400",
        "BCCD, seed 0: the candidate alone transfer 0.800, scratch 0.600, gain +0.200",
        "BCCD, seed 2: the candidate alone transfer 0.800, scratch 0.900, gain -0.100",
    ]
