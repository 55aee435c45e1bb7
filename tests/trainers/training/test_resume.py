"""Training in rungs: in several goes as in one, bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from archfront.trainers.data import DataRef
from archfront.trainers.data.ref import Shapes
from archfront.trainers.errors import ConfigError, StateError
from archfront.trainers.spec import Architecture, Recipe, TrainResult, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.batch_norm import estimate_norms, trained_norms
from archfront.trainers.training.proxy import train
from archfront.trainers.training.resume import identity_of
from archfront.trainers.training.scoring import score
from tests.trainers.tasks.test_tasks import architecture

RECIPE = Recipe(lr=5e-3, weight_decay=0.05, batch_size=4, augment="strong", dropout=0.2)


def shapes(task: str) -> DataRef:
    # A mask has a class for what is behind the shapes.
    n_shapes = 3 if TASKS[task].target == "mask" else 4
    drawn = Shapes(images=24, side=32, classes=n_shapes, objects_max=2)
    plain = DataRef("shapes", None, None, False, 12, 8, 4, 0, None, "stop", 100)
    return replace(plain, target=TASKS[task].target, shapes=drawn)


def settings(task: str, until_epoch: int) -> TrainSettings:
    of = TASKS[task]
    metric, loss = next(iter(of.metrics)), next(iter(of.losses))
    return TrainSettings(metric, until_epoch, 3, 7, 0.0, "one_cycle", "fp32", 1, loss)


def run(
    task: str,
    folder: Path,
    until_epoch: int,
    *,
    resume: Path | None = None,
    of: Architecture | None = None,
    recipe: Recipe = RECIPE,
) -> TrainResult:
    return train(
        of or architecture(task),
        Weights(),
        recipe,
        shapes(task),
        settings(task, until_epoch),
        folder=folder,
        resume=resume,
    )


def bits(result: TrainResult) -> tuple[Any, ...]:
    """Return all that must be equal when two trainings are at the same place."""
    state = {k: v.numpy().tobytes() for k, v in load_file(result.weights).items()}
    predictions = {k: v.tobytes() for k, v in np.load(result.predictions).items()}
    losses = [(row.epoch, row.train_loss, row.lr) for row in result.curve]
    return state, predictions, json.dumps(result.metrics), losses


@pytest.fixture(scope="module")
def low(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Return a classifier's first epoch of three; its files are only read."""
    return run("classification", tmp_path_factory.mktemp("low"), 1)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_one_epoch_and_then_three_are_three_at_once(task: str, tmp_path: Path) -> None:
    whole = run(task, tmp_path / "whole", 3)
    low = run(task, tmp_path / "low", 1)
    assert low.resume is not None
    middle = run(task, tmp_path / "middle", 2, resume=low.resume)
    torch.rand(11)  # what happens between two rungs does not matter
    high = run(task, tmp_path / "high", 3, resume=middle.resume)
    assert bits(high) == bits(whole)
    assert whole.resume is None
    assert high.resume is None
    assert len(low.curve) == 1
    assert high.seconds == pytest.approx(high.curve[-1].seconds)


@pytest.mark.slow
def test_stochastic_depth_is_drawn_as_in_one_go(tmp_path: Path) -> None:
    """Its layers, and dropout, draw from torch's own generator."""
    of = architecture("classification", backbone="test_vit")
    recipe = replace(RECIPE, dropout=0.5)
    whole = run("classification", tmp_path / "whole", 2, of=of, recipe=recipe)
    low = run("classification", tmp_path / "low", 1, of=of, recipe=recipe)
    high = run("classification", tmp_path / "high", 2, resume=low.resume, of=of, recipe=recipe)
    assert bits(high) == bits(whole)


def test_the_weights_of_a_rung_are_those_that_were_evaluated(low: TrainResult) -> None:
    metrics, _ = score(
        architecture("classification"),
        low.weights,
        shapes("classification"),
        split="val",
        preprocess_of=Weights(),
        threads=1,
    )
    assert metrics == low.metrics
    assert low.resume is not None
    carried = torch.load(low.resume, weights_only=True)["state"]
    evaluated = load_file(low.weights)
    differing = {name for name in evaluated if not torch.equal(evaluated[name], carried[name])}
    assert differing
    assert {name.rpartition(".")[2] for name in differing} <= {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


def test_estimated_norms_are_the_averages_over_the_batches() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2, momentum=0.01), nn.Dropout(0.5))
    batches = [torch.randn(8, 2) + 3 for _ in range(5)]
    norms = trained_norms(model)
    estimate_norms(norms.values(), batches, model)
    (norm,) = norms.values()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    means, variances = ([f(b, 0) for b in batches] for f in (torch.mean, torch.var))
    assert torch.allclose(norm.running_mean, torch.stack(means).mean(0))
    assert torch.allclose(norm.running_var, torch.stack(variances).mean(0))
    assert norm.momentum == 0.01
    assert not model.training
    assert not norm.training


def test_frozen_norms_are_left_alone(tmp_path: Path) -> None:
    state = load_file(run("classification", tmp_path / "first", 3).weights)
    path = tmp_path / "test_resnet.pth"
    torch.save({k.removeprefix("backbone."): v for k, v in state.items()}, path)
    low = train(
        architecture("classification"),
        Weights("folder", path=str(path)),
        replace(RECIPE, freeze=True),
        shapes("classification"),
        settings("classification", 1),
        folder=tmp_path / "low",
    )
    after = load_file(low.weights)
    norms = [name for name in state if "running" in name]
    assert norms
    assert all(torch.equal(state[name], after[name]) for name in norms)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": replace(RECIPE, lr=1e-3)}, r"of another training: recipe differ"),
        ({"until_epoch": 1}, r"has 1 epoch already and until_epoch is 1"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(
    change: dict[str, Any], message: str, low: TrainResult, tmp_path: Path
) -> None:
    options = {"until_epoch": 3, **change}
    with pytest.raises(ConfigError, match=message):
        run("classification", tmp_path / "high", resume=low.resume, **options)


def test_a_file_that_is_no_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resume.pt"
    with pytest.raises(StateError, match=r"resume.pt cannot be read as the state of a training"):
        run("classification", tmp_path, 3, resume=path)
    path.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(StateError, match=r"Train from the start"):
        run("classification", tmp_path, 3, resume=path)
    torch.save({"state": {}, "optimizer": {}}, path)
    with pytest.raises(StateError, match=r"'about'. Train from the start"):
        run("classification", tmp_path, 3, resume=path)


def test_settings_that_earlier_versions_did_not_have_leave_their_files_valid() -> None:
    of, plain = architecture("classification"), settings("classification", 1)
    before = identity_of(of, Weights(), RECIPE, plain)["settings"]
    assert before.keys() == {
        "metric", "horizon", "seed", "label_smoothing", "schedule", "precision", "loss",
        "class_weights",
    }  # fmt: skip
    new = {"init": "probe", "norms": "frozen", "ema": 0.95, "share": 0.5, "log_priors": [-1.0]}
    after = identity_of(of, Weights(), RECIPE, replace(plain, class_sizes=(9.0,), **new))[
        "settings"
    ]
    assert after == {**before, **new}


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran",))


def test_no_code_of_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "resume.pt"
    torch.save({"about": _Code()}, path)
    with pytest.raises(StateError, match=r"cannot be read as the state of a training"):
        run("classification", tmp_path, 3, resume=path)
    assert capsys.readouterr().out == ""
