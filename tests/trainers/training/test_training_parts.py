from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from archfront.trainers.seeds import derive_seed
from archfront.trainers.spec import Architecture, Recipe, TrainSettings
from archfront.trainers.tasks.classification import Classification
from archfront.trainers.training.augment import LONG, augment, strength_of
from archfront.trainers.training.batches import EvalBatches, TrainBatches
from archfront.trainers.training.module import TrainingPlan
from archfront.trainers.training.precision import MOST_ROUNDS, precision_probe, takes_bf16
from archfront.trainers.training.schedule import lr_factor

NETWORK = Architecture("classification", "test_resnet", "timm", 64, 10, 1)
SETTINGS = TrainSettings("accuracy", 2, 2, 7, 0.1, "one_cycle", "fp32", 1)


class Recorded:
    """A set of images that gives only their indices."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        """Return the number of images."""
        return self.n

    def batches(self, order: Any) -> Iterator[list[int]]:
        return (indices.tolist() for indices in order)


def test_an_epoch_sees_no_image_twice_and_full_batches_only() -> None:
    batches = TrainBatches(Recorded(10), 3, seed=1)
    first = list(batches)
    assert [len(batch) for batch in first] == [3, 3, 3] == [3] * len(batches)
    assert len({index for batch in first for index in batch}) == 9
    assert list(batches) == first
    batches.epoch = 1
    assert list(batches) != first


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    batches = TrainBatches(Recorded(3), 8, seed=1)
    assert [sorted(batch) for batch in batches] == [[0, 1, 2]]
    assert len(batches) == 1


def test_evaluation_sees_every_image_in_order() -> None:
    batches = EvalBatches(Recorded(5), 2)
    assert list(batches) == [[0, 1], [2, 3], [4]]
    assert len(batches) == 3


@pytest.mark.parametrize("total", [1, 2, 10, 200])
def test_one_cycle_is_that_of_torch(total: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    if total >= 10:  # torch's divides by zero below
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=total)
        expected = []
        for _ in range(total):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if len(expected) < total:
                schedule.step()
        assert [lr_factor("one_cycle", s, total) for s in range(total)] == pytest.approx(expected)
    assert all(0 <= lr_factor("one_cycle", step, total) <= 1 for step in range(total))


@pytest.mark.parametrize("total", [1, 2, 10, 200])
def test_cosine_rises_shortly_and_falls_to_nearly_nothing(total: int) -> None:
    values = [lr_factor("cosine", step, total) for step in range(total)]
    peak = int(np.argmax(values))
    assert min(values) > 0
    assert peak <= max(1, 0.05 * total)
    assert values[peak:] == sorted(values[peak:], reverse=True)


@pytest.mark.parametrize("strength", ["none", "light", "strong"])
def test_augmentation_keeps_shape_and_draws_from_its_generator(strength: Any) -> None:
    images, labels = torch.rand(6, 3, 16, 16), torch.arange(6)

    def changed(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(seed)
        return augment(images, labels, strength=strength, classes=6, rng=rng)

    assert torch.equal(changed(1)[0], changed(1)[0])
    assert torch.equal(changed(1)[0], changed(2)[0]) == (strength == "none")
    assert changed(1)[0].shape == images.shape
    assert torch.isfinite(changed(1)[0]).all()


def test_light_augmentation_only_shifts() -> None:
    images = torch.zeros(8, 1, 16, 16)
    images[:, 0, 8, 8] = 1
    rng = np.random.default_rng(0)
    shifted, _ = augment(images, torch.zeros(8), strength="light", classes=2, rng=rng)
    places = shifted[:, 0].flatten(1).argmax(dim=1)
    rows, columns = places // 16, places % 16
    assert torch.equal(shifted.sum(dim=(1, 2, 3)), torch.ones(8))
    assert int((rows - 8).abs().max()) <= 2
    assert int((columns - 8).abs().max()) <= 2
    assert len(set(places.tolist())) > 2


def test_short_trainings_are_not_augmented_where_the_recipe_says_so() -> None:
    assert strength_of("light_if_long", LONG) == "light"
    assert strength_of("light_if_long", LONG - 1) == "none"
    assert strength_of("light", 1) == "light"


def test_a_full_training_is_long_by_how_often_it_sees_each_image() -> None:
    recipe = Recipe(1e-3, 0.05, 8, "light_if_long", 0.0)
    strengths = []
    for horizon, share in ((LONG, 1.0), (LONG, 0.5), (2 * LONG, 0.5)):
        settings = replace(SETTINGS, until_epoch=1, horizon=horizon, share=share)
        plan = TrainingPlan(Classification(), NETWORK, Mock(), recipe, settings, Mock())
        strengths.append(plan.strength)
    assert strengths == ["light", "none", "light"]


def test_mixed_targets_are_shares() -> None:
    images, labels = torch.rand(6, 1, 8, 8), torch.arange(6)
    rng = np.random.default_rng(3)
    _, targets = augment(images, labels, strength="strong", classes=6, rng=rng)
    assert torch.allclose(targets.sum(dim=1), torch.ones(6))
    assert int((targets > 0).sum(dim=1).max()) == 2


def test_seeds_of_places_differ_and_stay() -> None:
    places = [(0,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (2, 3, 4)]
    assert len({derive_seed(*place) for place in places}) == len(places)
    assert derive_seed(2, 3, 4) == derive_seed(2, 3, 4)
    with pytest.raises(ValueError, match="from 0 up"):
        derive_seed(-1, 0)


class Turns:
    """A clock by which the one precision takes longer than the other."""

    def __init__(self, fp32_s: float, bf16_s: float) -> None:
        self.now = 0.0
        self.reads = 0
        self.steps = (fp32_s, bf16_s)

    def __call__(self) -> float:
        if self.reads % 2:
            self.now += self.steps[self.reads // 2 % 2]
        self.reads += 1
        return self.now


@pytest.mark.parametrize(("bf16_s", "chosen"), [(1.0, "bf16"), (1.9, "fp32"), (4.0, "fp32")])
def test_half_precision_is_chosen_only_where_it_is_clearly_faster(
    bf16_s: float, chosen: str
) -> None:
    probe = precision_probe(NETWORK, SETTINGS, batch_size=4, rounds=2, clock=Turns(2.0, bf16_s))
    assert probe.precision == chosen
    assert (probe.fp32_ms, probe.bf16_ms) == pytest.approx((2000, 1000 * bf16_s))


@pytest.mark.parametrize(("step_s", "rounds"), [(1.0, 1), (0.1, 3), (1e-6, MOST_ROUNDS)])
def test_short_steps_are_timed_more_often(step_s: float, rounds: int) -> None:
    clock = Turns(step_s, step_s)
    precision_probe(NETWORK, SETTINGS, batch_size=1, rounds=1, clock=clock)
    assert clock.reads == 2 * 2 * (rounds + 1)


@pytest.mark.parametrize(
    ("kernel", "dilation", "side", "accepted"),
    [(1, 1, 1, True), (3, 1, 1, False), (3, 1, 2, True), (7, 1, 3, False), (3, 2, 2, False)],
)
def test_half_precision_is_for_kernels_that_meet_the_image(
    kernel: int, dilation: int, side: int, accepted: bool
) -> None:
    layer = torch.nn.Conv2d(3, 4, kernel, padding=kernel // 2 * dilation, dilation=dilation)
    model = torch.nn.Sequential(layer, torch.nn.ReLU())
    assert takes_bf16(model, torch.zeros(1, 3, side, side)) is accepted
    assert model.training
