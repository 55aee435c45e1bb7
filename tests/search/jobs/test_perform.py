"""Batches in parts: the same training where memory does not hold a whole batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from archfront.search.engine.worker import events_to
from archfront.search.jobs import perform
from archfront.search.jobs.perform import TrainRequest
from archfront.search.records.candidate import Candidate
from archfront.search.records.events import Noticed
from archfront.trainers.data import DataRef
from archfront.trainers.spec import Architecture, Recipe, TrainResult, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.classification import Classification
from archfront.trainers.training.memory_probe import fitting_batch
from archfront.trainers.training.micro_batch import (
    MicroBatcher,
    micro_batches,
    smallest_micro_batch,
)
from archfront.trainers.training.proxy import train

DIGITS = DataRef("digits", None, None, False, 120, 90, 80, 0, None, "stop", 100)
# LayerNorm does not look at the other images of a batch; BatchNorm does.
APART = Architecture("classification", "test_convnext", "timm", 32, 10, 1)
TOGETHER = Architecture("classification", "test_resnet", "timm", 16, 10, 1)
RECIPE = Recipe(lr=1e-3, weight_decay=0.05, batch_size=40, augment="strong", dropout=0.0)
SETTINGS = TrainSettings("accuracy", 2, 2, 7, 0.1, "one_cycle", "fp32", 1)
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
CPU = RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")


def run(folder: Path, architecture: Architecture = APART) -> TrainResult:
    return train(architecture, Weights(), RECIPE, DIGITS, SETTINGS, folder=folder)


def raises_in_forward(loss: torch.Tensor, error: Exception) -> torch.Tensor:
    raise error


def raises_in_backward(loss: torch.Tensor, error: Exception) -> torch.Tensor:
    def fail(gradient: torch.Tensor) -> None:
        raise error

    loss.register_hook(fail)
    return loss


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Return the training whose batches are not halved."""
    return run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Return what makes training steps over more than so many images run out of memory."""

    def limit(n_images: int, error: Exception, fail: Any = raises_in_forward) -> list[int]:
        whole, sizes = Classification.training_step, []

        def step(self: Any, model: Any, batch: Any, settings: Any) -> dict[str, torch.Tensor]:
            losses = whole(self, model, batch, settings)
            sizes.append(len(batch[0]))
            if len(batch[0]) <= n_images:
                return losses
            return {name: fail(loss, error) for name, loss in losses.items()}

        monkeypatch.setattr(Classification, "training_step", step)
        return sizes

    return limit


@pytest.mark.slow
@pytest.mark.parametrize("fail", [raises_in_forward, raises_in_backward])
@pytest.mark.parametrize("error", [CUDA, CPU, MemoryError("no memory left")], ids=repr)
def test_halved_batches_train_as_whole_ones_without_batch_statistics(
    error: Exception,
    fail: Any,
    whole: TrainResult,
    memory_for: Callable[..., list[int]],
    tmp_path: Path,
) -> None:
    sizes = memory_for(15, error, fail)
    halved = run(tmp_path / "halved")
    assert whole.micro_batch is None
    assert halved.micro_batch == 10
    assert sizes[:7] == [40, 20, 10, 10, 10, 10, 10]
    assert [row.train_loss for row in halved.curve] == pytest.approx(
        [row.train_loss for row in whole.curve], rel=1e-4
    )
    before, after = (load_file(result.weights) for result in (whole, halved))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-3, atol=1e-4)
    first, second = (np.load(r.predictions)["probabilities"] for r in (whole, halved))
    np.testing.assert_allclose(second, first, atol=1e-3)


def test_with_batch_statistics_the_other_recipe_is_recorded(
    memory_for: Callable[..., list[int]], tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole", TOGETHER)
    memory_for(20, CUDA)
    halved = run(tmp_path / "halved", TOGETHER)
    assert halved.micro_batch == 20
    assert halved.curve[-1].train_loss != pytest.approx(whole.curve[-1].train_loss, rel=1e-4)


def test_the_record_of_a_trial_tells_the_parts(
    memory_for: Callable[..., list[int]], tmp_path: Path
) -> None:
    memory_for(20, CUDA)
    candidate = Candidate(TOGETHER, Weights(), RECIPE)
    outcome = perform.train(TrainRequest(0, candidate, DIGITS, SETTINGS, tmp_path, tmp_path / "0"))
    assert outcome.micro_batch == 20


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"PK")])
def test_a_training_whose_state_is_damaged_is_made_from_its_start(
    damage: Callable[[Path], Any], tmp_path: Path
) -> None:
    """It failed, and the architecture was not tried again, though the same bits can be made."""
    candidate = Candidate(APART, Weights(), RECIPE)
    low = replace(SETTINGS, until_epoch=1)
    ask = partial(TrainRequest, 0, candidate, DIGITS, study_folder=tmp_path)
    below = perform.train(ask(settings=low, folder=tmp_path / "low"))
    assert below.resume is not None
    state = tmp_path / below.resume
    whole = perform.train(ask(settings=SETTINGS, folder=tmp_path / "one", resume=state))
    damage(state)
    told: list[Any] = []
    with events_to(told.append):
        again = perform.train(ask(settings=SETTINGS, folder=tmp_path / "two", resume=state))
    assert (tmp_path / again.weights).read_bytes() == (tmp_path / whole.weights).read_bytes()
    assert again.metrics == whole.metrics
    [note] = [event.message for event in told if isinstance(event, Noticed)]
    assert note.startswith("trial 0 is trained from its start: ")


@pytest.mark.parametrize(("architecture", "smallest"), [(APART, 1), (TOGETHER, 2)])
def test_what_does_not_fit_in_the_smallest_parts_fails_as_before(
    architecture: Architecture,
    smallest: int,
    memory_for: Callable[..., list[int]],
    tmp_path: Path,
) -> None:
    sizes = memory_for(0, CUDA)
    with pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate 2\.00 GiB"):
        run(tmp_path, architecture)
    assert sizes == [40, 20, 10, 5, 2, 1][: 7 - smallest]


def test_other_errors_are_not_tried_again(
    memory_for: Callable[..., list[int]], tmp_path: Path
) -> None:
    sizes = memory_for(0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run(tmp_path)
    assert sizes == [40]


@pytest.mark.parametrize(("n_images", "size"), [(10, 4), (33, 32), (5, 8), (1, 1), (64, 32)])
def test_parts_are_nearly_equal_and_in_order(n_images: int, size: int) -> None:
    images = torch.arange(n_images)
    parts = list(micro_batches(images, [{"number": i} for i in images], size))
    assert torch.equal(torch.cat([part for part, _, _ in parts]), images)
    assert [t["number"] for _, targets, _ in parts for t in targets] == images.tolist()
    sizes = [len(part) for part, _, _ in parts]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert sum(share for _, _, share in parts) == pytest.approx(1)


@pytest.mark.parametrize(
    ("n_images", "size", "sizes"), [(3, 2, [3]), (5, 2, [2, 3]), (4, 2, [2, 2]), (1, 2, [1])]
)
def test_no_part_is_a_single_image_where_norms_need_two(
    n_images: int, size: int, sizes: list[int]
) -> None:
    """Three images in parts of at most two were one and two."""
    parts = micro_batches(torch.arange(n_images), torch.arange(n_images), size, least=2)
    assert [len(part) for part, _, _ in parts] == sizes


def test_frozen_norms_bear_single_images() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    assert smallest_micro_batch(network) == 2
    network[1].eval()
    assert smallest_micro_batch(network) == 1


def test_a_size_that_did_not_fit_is_not_tried_again() -> None:
    halving, tried = MicroBatcher(12), []

    def work(size: int) -> float:
        tried.append(size)
        if size > 3:
            raise MemoryError
        return 0.5

    assert [halving.run(work, smallest=lambda: 1) for _ in range(2)] == [0.5, 0.5]
    assert tried == [12, 6, 3, 3]


@pytest.mark.parametrize(
    ("architecture", "n_images", "size"), [(APART, 12, 10), (TOGETHER, 40, 40)]
)
def test_a_probe_finds_what_fits_and_changes_nothing(
    architecture: Architecture, n_images: int, size: int, memory_for: Callable[..., list[int]]
) -> None:
    task = TASKS["classification"]
    model = task.build(architecture, Weights())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    chance = torch.get_rng_state()
    tried = memory_for(n_images, CUDA)
    cpu = torch.device("cpu")
    assert fitting_batch(model, task, architecture, RECIPE, SETTINGS, device=cpu) == size
    assert tried == [s for s in (40, 20, 10) if s >= size]
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_probe_says_when_nothing_fits(memory_for: Callable[..., list[int]]) -> None:
    task = TASKS["classification"]
    model = task.build(TOGETHER, Weights())
    memory_for(0, CUDA)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        fitting_batch(model, task, TOGETHER, RECIPE, SETTINGS, device=torch.device("cpu"))
    assert torch.equal(
        model.backbone.bn1.running_mean, torch.zeros_like(model.backbone.bn1.running_mean)
    )
