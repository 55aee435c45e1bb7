"""A small member of a front for every task: drawn shapes and a network that tells images apart."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from archfront.search.config.build import build
from archfront.search.predict.predictor import Predictor
from archfront.search.prepare.data_reference import data_ref
from archfront.search.prepare.recorded import Study
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.results.select_members import Member
from archfront.search.runtimes.perturb import draw_images, perturb
from archfront.trainers.data import load
from archfront.trainers.data.images import read_pixels
from archfront.trainers.data.ref import Shapes
from archfront.trainers.spec import Architecture, Recipe, Weights
from archfront.trainers.tasks import TASKS
from tests.support.configurations import changed
from tests.support.recorded_study import measurement
from tests.support.study_headers import study_header

SIDE = 64
SHAPES = {
    "images": 40,
    "side": 48,
    "classes": 3,
    "objects_max": 2,
    "seed": 3,
}
METRICS = {name: task.metrics[0] for name, task in TASKS.items()}


def study(task: str, root: Path, **changes: Any) -> Study:
    """Return a recorded study of a task over drawn shapes."""
    shapes = {**asdict(Shapes()), **SHAPES}
    if task == "classification":
        shapes["objects_max"] = 1
    content = changed(
        study=f"small-{task}",
        tracking__root=str(root),
        tracking__device_db=str(root / "latency.db"),
        task__name=task,
        task__metric=METRICS[task],
        task__loss=TASKS[task].losses[0],
        data__reader="shapes",
        data__train=0.6,
        data__val=0.2,
        data__test=0.2,
        data__channels=3,
        data__shapes=shapes,
        space__heads=[TASKS[task].heads[0]],
        space__depths=[3],
        space__widths=[32],
        space__input_sizes=[SIDE],
        hardware__limits__latency_ms=None,
        hardware__max_seconds=0.1,
        hardware__warmup=1,
        hardware__repeats=6,
        **changes,
    )
    config = build(content)
    dataset = load(data_ref(config))
    return Study(config, study_header(config.as_dict(), dataset=dataset.summary()))


def candidate(task: str, backbone: str = "test_resnet", **changes: Any) -> Candidate:
    """Return a small candidate of a task."""
    head = changes.pop("head", TASKS[task].heads[0])
    grid = TASKS[task].grid(head)
    shape = {
        "width": 32 if grid.width else 0,
        "depth": grid.depths[0] if grid.depth else 0,
        "neck": grid.neck[0],
        "finest": grid.finest[0] if grid.finest else 0,
    }
    classes = 4 if task == "semantic" else 3  # the background is one
    architecture = Architecture(task, backbone, head, SIDE, classes, 3, **{**shape, **changes})
    return Candidate(architecture, Weights(), Recipe(1e-3, 0.01, 16, "none", 0.0))


def member(of: Candidate, folder: Path, trial: int = 3) -> Member:
    """Return a member whose weights are drawn so that its outputs tell images apart."""
    task, a = TASKS[of.architecture.task], of.architecture
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trial)
        model = task.build(a, Weights())
    module = task.deploy_module(model)
    perturb(module, draw_images(task.example(a, 1, 0), 0), 0)
    file = folder / "weights.safetensors"
    save_file({k: v.contiguous().clone() for k, v in model.state_dict().items()}, file)
    outcome = Trained(0.5, 0.4, 0.6, {METRICS[a.task]: 0.5}, ({"epoch": 1},), 1.0, "p.npz", "w")
    evaluation = Evaluation(trial, of, 0, 7, 0, measurement(1.0), outcome, 1.8e9, 2.0)
    return Member(evaluation, file, {"kind": "proxy", "seed": 7, "epochs": 1})


def picture(folder: Path) -> Path:
    """Write an image of another shape than the networks take and return its path."""
    rng = np.random.default_rng(5)
    small = Image.fromarray(rng.integers(0, 256, (5, 8, 3), np.uint8))
    file = folder / "picture.png"
    small.resize((90, 60), Image.Resampling.BICUBIC).save(file)
    return file


def resized(predictor: Predictor, file: Path) -> np.ndarray:
    """Return an image file as a predictor takes it."""
    return predictor.resized([read_pixels(file)])
