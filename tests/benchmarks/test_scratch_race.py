"""The race from scratch: the plain loop ends with its time, and the aims follow from both."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import plain_scratch
import pytest
import scratch_race
import torch
from PIL import Image
from plain_scratch import lr_share, own_size, trained
from race_records import Course, Member
from scratch_race import aims_of, figures_of

from archfront.trainers.spec import Architecture

COLORS = {"blue": (40, 60, 200), "green": (40, 200, 60)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, n_images in {"train": 8, "val": 4}.items():
        for name, color in COLORS.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(n_images):
                pixels = np.array(color) + rng.normal(0, 30, (20, 28 + 2 * (number == 0), 3))
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(folder / split / name / f"{number}.png")
    return folder


def options(data: Path, *more: str) -> argparse.Namespace:
    return plain_scratch.options_of(["--data", str(data), "--backbone", "test_resnet", *more])


def ticking(seconds: float) -> Callable[[], float]:
    """Return a clock that goes on by so much whenever it is read."""
    ticks = count(1)
    return lambda: seconds * next(ticks)


@pytest.mark.slow
@pytest.mark.parametrize("metric", plain_scratch.METRICS)
def test_the_loop_learns_until_its_time_is_up(
    data: Path, metric: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = trained(options(data, "--metric", metric), 0.0, clock=ticking(4.0))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    assert [row["epoch"] for row in rows] == [*range(1, len(rows) + 1)]
    assert max(row[metric] for row in rows) > 0.9
    assert {row["input_size"] for row in rows} == {28}
    # The last epoch's predictions are within the minutes, and hardly before their end.
    assert 330 < rows[-1]["seconds"] <= 360


def test_without_time_one_line_is_printed(data: Path) -> None:
    assert len(trained(options(data, "--minutes", "0.01"), 0.0, clock=ticking(1.0))) == 1


def test_the_own_size_is_the_median_of_the_longest_sides(data: Path) -> None:
    assert own_size(data / "train") == 28
    rows = trained(options(data, "--size", "16", "--minutes", "0.01"), 0.0, clock=ticking(1.0))
    assert rows[0]["input_size"] == 16


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    assert lr_share(0.0) == pytest.approx(1 / 25)
    assert lr_share(0.3) == pytest.approx(1.0)
    assert lr_share(0.65) == pytest.approx(0.5)
    assert lr_share(1.0) == pytest.approx(0.0)


def course_of(metrics: list[float], n_seen: int) -> Course:
    network = Architecture("classification", "test_resnet", "timm", 32, 2, 3)
    members = tuple(Member(network, m, m - 0.1, m + 0.1, 1.0, 0, 9.0) for m in metrics)
    return Course((), members, n_seen, 3, 0, "finished", "")


EPOCHS = [{"accuracy": value} for value in (0.5, 0.8, 0.7)]


def test_the_best_epoch_of_the_loop_counts() -> None:
    figures = figures_of(course_of([0.4, 0.6, 0.8], 8), EPOCHS, "accuracy")
    assert (figures["loop_best"], figures["loop_last"], figures["loop_epochs"]) == (0.8, 0.7, 3)
    assert [aim.is_met for aim in aims_of(figures)] == [True] * 3
    figures = figures_of(course_of([0.4, 0.79], 7), EPOCHS, "accuracy")
    assert [aim.is_met for aim in aims_of(figures)] == [False] * 3


def test_a_run_without_a_member_misses_its_aims() -> None:
    figures = figures_of(course_of([], 8), EPOCHS, "accuracy")
    assert [aim.is_met for aim in aims_of(figures)] == [False, True, False]


def test_sizes_are_archfronts_own_unless_given(data: Path) -> None:
    words = ["--data", str(data)]
    plain = scratch_race.words_of(scratch_race.options_of(words), data)
    given = scratch_race.words_of(scratch_race.options_of([*words, "--sizes", "28", "32"]), data)
    assert "space.weights=none" in plain
    assert {*given} - {*plain} == {"space.input_sizes=[28,32]"}
