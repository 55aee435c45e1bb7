"""Averaged weights, frozen norms and shares of the images: alone, and in a training of rungs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from archfront.trainers.errors import ConfigError
from archfront.trainers.networks.task_network import TaskNetwork
from archfront.trainers.spec import TrainResult, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.average import Average
from archfront.trainers.training.batches import TrainBatches, spread
from archfront.trainers.training.proxy import train
from archfront.trainers.training.schedule import PROBE_WARMUP_SHARE, lr_factor
from tests.trainers.tasks.test_tasks import architecture
from tests.trainers.training.test_resume import RECIPE, bits, settings, shapes

CHANGES = {"ema": 0.9, "share": 0.5, "norms": "frozen"}


def run(task: str, folder: Path, of: TrainSettings, *, resume: Path | None = None) -> TrainResult:
    return train(
        architecture(task), Weights(), RECIPE, shapes(task), of, folder=folder, resume=resume
    )


def test_the_average_is_that_of_a_loop_by_hand() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = Average(network, 0.4)
    expected = {name: value.double() for name, value in network.state_dict().items()}
    for step in range(12):
        with torch.no_grad():
            for value in network.state_dict().values():
                value += 1 if value.dtype == torch.int64 else torch.randn_like(value)
        average.update(network, step)
        decay = min(0.4, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
    found = average.network.state_dict()
    assert int(found.pop("1.num_batches_tracked")) == 12
    for name, value in found.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-5)
    assert not any(p.requires_grad for p in average.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("changes", [CHANGES, {"ema": 0.9}, {"share": 0.4}])
@pytest.mark.parametrize("task", ["classification", "detection"])
def test_rungs_are_the_same_training_as_one_go(
    task: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    whole = run(task, tmp_path / "whole", replace(settings(task, 3), **changes))
    resume = None
    for epoch in (1, 2, 3):
        rung = replace(settings(task, epoch), **changes)
        result = run(task, tmp_path / str(epoch), rung, resume=resume)
        resume = result.resume
    assert bits(result) == bits(whole)


def test_averaged_weights_are_evaluated_with_norms_of_their_own(tmp_path: Path) -> None:
    """Below the top rung; the training goes on from weights and norms that it had before."""
    plain = run("classification", tmp_path / "plain", settings("classification", 1))
    of = replace(settings("classification", 1), ema=0.9)
    averaged = run("classification", tmp_path / "averaged", of)
    assert plain.resume is not None
    assert averaged.resume is not None
    before, after = (torch.load(r.resume, weights_only=True) for r in (plain, averaged))
    assert before["average"] == {}
    assert all(torch.equal(before["state"][k], v) for k, v in after["state"].items())
    saved = load_file(averaged.weights)
    for name, value in after["average"].items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(saved[name], value) == ("running" not in name), name
    assert averaged.curve[0].train_loss == plain.curve[0].train_loss


@pytest.mark.parametrize("task", TASKS)
def test_frozen_norms_of_a_backbone_follow_no_batch(task: str) -> None:
    model = TASKS[task].build(architecture(task), Weights())
    assert isinstance(model, TaskNetwork)
    model.freeze_norms()
    model.eval()
    model.train()
    backbone = {id(module) for module in model.backbone_module().modules()}
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    assert any(id(norm) in backbone for norm in norms)
    assert all(norm.training == (id(norm) not in backbone) for norm in norms)
    assert all(p.requires_grad for norm in norms for p in norm.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "semantic", "detection"])
def test_training_leaves_frozen_statistics_and_changes_scales(task: str, tmp_path: Path) -> None:
    result = run(task, tmp_path, replace(settings(task, 2), norms="frozen"))
    assert result.resume is not None
    for state in (load_file(result.weights), torch.load(result.resume)["state"]):
        model = TASKS[task].build(architecture(task), Weights())
        assert isinstance(model, TaskNetwork)
        model.load_state_dict(state)
        norms = [m for m in model.backbone_module().modules() if isinstance(m, _BatchNorm)]
        assert all(not m.running_mean.any() and (m.running_var == 1).all() for m in norms)
        assert any((m.weight != 1).any() for m in norms)


class Recorded:
    """Gives the indices of each batch."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        """Return the number of images."""
        return self.n

    def batches(self, order: Iterable[torch.Tensor]) -> Iterator[Any]:
        return (indices.tolist() for indices in order)


@pytest.mark.parametrize(("n", "share", "batch"), [(30, 1 / 3, 5), (31, 0.3, 4), (7, 0.1, 3)])
def test_epochs_of_a_share_go_through_all_images_before_any_comes_again(
    n: int, share: float, batch: int
) -> None:
    batches = TrainBatches(Recorded(n), batch, seed=1, share=share)
    seen: list[int] = []
    for epoch in range(40):
        batches.epoch = epoch
        epochs = list(batches)
        assert [len(one) for one in epochs] == [batch] * len(batches)
        seen += [index for one in epochs for index in one]
    assert len(batches) == max(1, int(n * share) // batch)
    passes = [seen[start : start + n] for start in range(0, len(seen) - n + 1, n)]
    assert all(sorted(one) == list(range(n)) for one in passes)
    assert passes[0] != passes[1]


def test_every_stretch_has_each_class_in_its_proportion() -> None:
    labels = np.repeat([0, 1, 2], [80, 30, 10])
    order = spread(labels, np.random.default_rng(0))
    assert sorted(order) == list(range(120))
    for start in range(0, 96, 8):
        counts = np.bincount(labels[order[start : start + 24]], minlength=3)
        assert np.abs(counts - [16, 6, 2]).max() <= 1


def test_a_set_smaller_than_its_batch_is_one_batch_of_any_share() -> None:
    batches = TrainBatches(Recorded(3), 8, seed=1, share=0.5)
    assert [sorted(batch) for batch in batches] == [[0, 1, 2]]


def test_the_warm_up_from_a_probe_is_a_tenth() -> None:
    values = [lr_factor("cosine", s, 100, warmup=PROBE_WARMUP_SHARE) for s in range(100)]
    assert int(np.argmax(values)) == 10
    assert values[:10] == pytest.approx([(s + 1) / 11 for s in range(10)])


@pytest.mark.parametrize("change", [{"ema": 1.0}, {"share": 0.0}, {"share": 1.5}])
def test_shares_out_of_range_are_refused(change: dict[str, float], tmp_path: Path) -> None:
    of = replace(settings("classification", 1), **change)
    with pytest.raises(ConfigError, match=r"0 <= ema < 1 and epochs 0 < share <= 1, got ema"):
        run("classification", tmp_path, of)
