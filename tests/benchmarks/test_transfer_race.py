"""The transfer race: its aims, its hypervolumes, and one short race."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transfer_race
from PIL import Image
from race_records import Course, Member, Moment
from safetensors.torch import save_file
from transfer_race import aims_of, figures_of, models_of, network_of, options_of, volumes

from archfront.trainers.spec import Architecture
from tests.support.forked_racers import racers

NETWORKS = ("test_resnet", "test_byobnet")
FAST, SLOW = (Architecture("classification", n, "timm", 32, 3, 3) for n in NETWORKS)
LATENCIES_MS = {FAST: 2.0, SLOW: 8.0}


def member(architecture: Architecture, metric: float, seconds: float) -> Member:
    return Member(architecture, metric, metric - 0.1, metric + 0.1, 99.0, 0, seconds)


def model(network: str, metric: float, seconds: float, stage: str = "probe") -> dict[str, Any]:
    row = {"network": network, "input_size": 32, "stage": stage, "seconds": seconds}
    return {**row, "latency_ms": 77.0, "accuracy": metric}


def course_of(*members: Member) -> Course:
    moments = tuple(Moment(m.seconds, n, m.metric) for n, m in enumerate(members, start=1))
    return Course(moments, members, 9, 4, 0, "finished", "")


MODELS = [model("test_resnet", 0.6, 40), model("test_byobnet", 0.8, 50)]


def test_models_after_the_time_and_tests_do_not_count() -> None:
    lines = [*MODELS, model("test_resnet", 0.9, 61), model("test_resnet", 0.9, 50, "test")]
    assert models_of(lines, 60) == MODELS


def test_a_hypervolume_counts_halvings_by_one_clock() -> None:
    found = volumes(
        course_of(member(FAST, 0.7, 30)),
        MODELS,
        LATENCIES_MS,
        metric="accuracy",
        worst=0.2,
        classes=3,
    )
    # Below 1.1 times 8 ms: 2 ms is log2(4.4) halvings, 8 ms log2(1.1).
    halvings = np.log2([4.4, 1.1])
    script = 0.4 * halvings[0] + 0.2 * halvings[1]
    expected = {"volume": 0.5 * halvings[0], "script_volume": script}
    # Nothing surpasses a network without an error that is as fast as the fastest.
    assert found == pytest.approx({**expected, "perfect_volume": 0.8 * halvings[0]})
    nothing = volumes(course_of(), MODELS, LATENCIES_MS, metric="accuracy", worst=0.2, classes=3)
    assert nothing == pytest.approx({**found, "volume": 0.0})
    assert network_of(MODELS[0], 3) == FAST


def test_the_aims_of_a_good_run_are_met_and_those_of_a_late_one_missed() -> None:
    good = course_of(member(FAST, 0.75, 45), member(SLOW, 0.75, 70))
    figures = {**figures_of(good, MODELS, "accuracy"), "volume_ratio": 1.2}
    assert (figures["first_s"], figures["script_first_s"], figures["script_best"]) == (45, 40, 0.8)
    # .75 with an upper end of .85 is not below .8 beyond its interval.
    assert [aim.is_met for aim in aims_of(figures, 3)] == [True] * 5
    late = course_of(member(FAST, 0.6, 130))
    figures = {**figures_of(late, MODELS, "accuracy"), "volume_ratio": 1.0}
    assert [aim.is_met for aim in aims_of(figures, 3)] == [False] * 5
    assert len(aims_of(figures, 2)) == 4


def test_a_run_without_a_member_misses_every_aim() -> None:
    figures = {**figures_of(course_of(), MODELS, "accuracy"), "volume_ratio": 0.0}
    assert not any(aim.is_met for aim in aims_of(figures, 6))


def draw(folder: Path, n_images: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name, color in {"blue": (90, 100, 130), "green": (90, 130, 100)}.items():
        (folder / name).mkdir(parents=True)
        for number in range(n_images):
            pixels = np.array(color) + rng.normal(0, 60, (24, 20, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{number}.png")


def short(root: Path) -> argparse.Namespace:
    """Return the options of a race of test networks with weights drawn here."""
    for seed, (split, n_images) in enumerate({"train": 20, "val": 8}.items()):
        draw(root / "data" / split, n_images, seed)
    (root / "weights").mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in NETWORKS:
            state = timm.create_model(name).state_dict()
            save_file(state, root / "weights" / f"{name}.r160_in1k.safetensors")
    words = ["--data", str(root / "data"), "--weights", str(root / "weights"), "--sizes", "32"]
    words += ["--backbones", *NETWORKS, "--minutes", "0.02", "--seeds", "1"]
    words += ["--word", "space.exclude=[]", "--word", "task.epochs=1", "--train-images", "30"]
    return options_of([*words, "--folder", str(root / "files"), "--out", str(root / "out.json")])


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a race needs two cores")
def test_a_short_race_is_written_with_its_aims_and_no_path(
    tmp_path: Path,
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = short(tmp_path)
    monkeypatch.setattr(transfer_race, "options_of", lambda: options)
    with racers(shared):
        status = transfer_race.main()
    (row,) = json.loads(options.out.read_text())["runs"]
    assert status == int(bool(row["figures"]["missed"]))
    assert {*row["ended"]} == {"archfront", "script"}
    assert row["archfront"]["reason"]
    assert row["settings"]["train_images"] == 30
    assert len(list((tmp_path / "files").glob("data-30-None/train/*/*"))) == 30
    said = capsys.readouterr().out
    assert all(f"{aim['name']} " in said for aim in row["aims"])
    assert {model["stage"] for model in row["script"]} <= {"probe", "fine-tuned"}
    assert str(tmp_path) not in json.dumps({**row, "archfront": None})
    # The same command does nothing again.
    transfer_race.main()
    assert len(json.loads(options.out.read_text())["runs"]) == 1
