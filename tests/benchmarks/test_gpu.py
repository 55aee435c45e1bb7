"""The script for a GPU, on a machine without one: its parts, its time, and its figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import gpu_figures
import pytest
import torch
from gpu_figures import busy_of, shapes

from archfront.trainers.data import load

SCRIPT = Path(gpu_figures.__file__).with_name("gpu.sh")
FILES = {
    *("environment.txt", "tests.txt", "latency.json", "throughput.json"),
    *("study.txt", "front.json", "errors.txt"),
}


def called(folder: Path, *words: str, python: str, **variables: str) -> tuple[int, str, Path]:
    """Return status, output and results of the script on a folder of data and of weights."""
    for name in ("data", "weights"):
        (folder / name).mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHON": python, "OUT": str(folder / "out"), **variables}
    command = ["bash", str(SCRIPT), str(folder / "data"), str(folder / "weights"), *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr, folder / "out"


def stub(folder: Path, text: str) -> str:
    """Return a program in the place of Python."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def test_its_parts_take_at_most_eight_minutes() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    limits = [int(seconds) for seconds in re.findall(r"^part (\d+) ", text, re.MULTILINE)]
    killed = re.findall(r"timeout -k (\d+) ", text)
    assert len(limits) == 6
    assert len(killed) == 1
    assert sum(limits) + len(limits) * int(killed[0]) <= 8 * 60


def test_every_part_writes_into_its_file(tmp_path: Path) -> None:
    python = stub(tmp_path, 'echo "called $*"; echo "said $1" >&2')
    words = {"DEVICE": "cpu", "FIGURES": "--size 32", "MINUTES": "0.5"}
    status, said, out = called(tmp_path, "seed=3", python=python, **words)
    assert status == 0, said
    assert "all parts went well" in said
    assert {file.name for file in out.iterdir()} == FILES
    lines = {name: (out / name).read_text().splitlines() for name in FILES}
    figures = "called benchmarks/gpu_figures.py"
    assert lines["latency.json"] == [f"{figures} latency --device cpu --size 32"]
    assert lines["throughput.json"] == [f"{figures} throughput --device cpu --size 32"]
    (study,) = lines["study.txt"]
    assert f"data.root={tmp_path / 'data'} space.weights={tmp_path / 'weights'} " in study
    assert "hardware=cpu_onnxruntime budget.minutes=0.5 " in study
    assert study.endswith(" seed=3")
    (front,) = lines["front.json"]
    assert front.endswith("/root --json")
    assert "said -m" in lines["errors.txt"]


def test_a_part_that_fails_is_named_and_the_others_run(tmp_path: Path) -> None:
    python = stub(tmp_path, 'case "$*" in *throughput*) exit 3 ;; esac; echo called')
    status, said, out = called(tmp_path, python=python, DEVICE="cpu")
    assert status == 1
    assert re.search(r"throughput: \d+ s, status 3", said)
    assert "failed: throughput; see" in said
    assert (out / "front.json").read_text() == "called\n"


def test_without_a_gpu_it_ends_at_once(tmp_path: Path) -> None:
    python = stub(tmp_path, "echo no GPU >&2; exit 1")
    status, said, out = called(tmp_path, python=python, DEVICE="cuda")
    assert status == 1
    assert "no GPU" in said
    assert not (out / "study.txt").exists()


def test_it_says_what_it_needs(tmp_path: Path) -> None:
    ended = subprocess.run(["bash", SCRIPT], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "usage: OUT=FOLDER" in ended.stderr
    status, said, _ = called(tmp_path, python="false", OUT="")
    assert status == 2
    assert "OUT must name the folder" in said


def test_the_busy_share_is_the_mean_of_the_samples() -> None:
    assert busy_of("50\n100\n[N/A]\n 0 \n") == {"busy": 0.5, "samples": 3}
    assert busy_of("") == {"busy": None, "samples": 0}


def test_the_drawn_images_have_one_label_each() -> None:
    dataset = load(shapes(40, 16))
    assert len(dataset.splits["train"].samples) == 32
    assert len(dataset.class_names) == gpu_figures.CLASSES


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="the trainer takes the GPU")
def test_its_figures_are_those_of_a_processor_where_there_is_no_gpu(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = ["--device", "cpu", "--networks", "test_resnet", "--size", "32"]
    gpu_figures.main(["latency", *small])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["runtime"] for row in rows] == ["eager", "onnxruntime"]
    assert all(row["p50_ms"] > 0 and row["by_hand_fp32_ms"] > 0 for row in rows)
    gpu_figures.main(["throughput", *small, "--images", "100", "--seconds", "0.1", "--pairs", "1"])
    pair, told = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    speeds = [pair[side]["images_per_s"] for side in ("trainer", "loop")]
    assert told["trainer_over_loop"] == pytest.approx(speeds[0] / speeds[1])
    assert 0 < pair["trainer"]["busy"] < 1.5
