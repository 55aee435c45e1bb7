"""Losses for classes of unequal size: their weights, their priors, and what they change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from archfront.trainers.errors import ConfigError
from archfront.trainers.spec import Balance, Recipe, TrainSettings
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.class_balance import effective_weights, log_priors, with_loss

SETTINGS = TrainSettings("accuracy", 1, 1, 0, 0.0, "one_cycle", "fp32", 1)
SIZES = (90.0, 9.0, 1.0)


def recipe(loss: Balance) -> Recipe:
    return Recipe(1e-3, 0.05, 32, "none", 0.0, loss=loss)


def test_a_plain_loss_leaves_the_settings_as_they_are() -> None:
    settings = replace(SETTINGS, class_weights=(0.5, 1.5))
    assert with_loss(settings, recipe("plain")) is settings


def test_small_classes_weigh_by_their_size_and_large_ones_alike() -> None:
    few, many = effective_weights((1, 10)), effective_weights((20_000, 200_000))
    assert sum(few) == pytest.approx(2)
    assert few[0] / few[1] == pytest.approx(10, rel=0.01)  # (1 - 0.999^10) / 0.001 = 9.955
    assert many == pytest.approx((1, 1))


def test_a_class_of_less_than_one_example_counts_as_one_of_one() -> None:
    assert effective_weights((0.01, 4)) == effective_weights((1, 4))
    assert log_priors((0.0, 3)) == log_priors((1, 3))


def test_the_loss_of_balanced_softmax_is_that_of_its_paper() -> None:
    settings = with_loss(replace(SETTINGS, class_sizes=SIZES), recipe("balanced_softmax"))
    logits, labels = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), [0, 1, 2] * 2
    task, batch = TASKS["classification"], (logits, torch.tensor(labels))
    (loss,) = task.training_step(nn.Identity(), batch, settings).values()
    scores = torch.tensor(SIZES) * logits.exp()
    expected = -(scores[range(6), labels] / scores.sum(dim=1)).log().mean()
    torch.testing.assert_close(loss, expected)


def test_balanced_softmax_takes_the_weights_of_the_study_away() -> None:
    settings = replace(SETTINGS, class_sizes=SIZES, class_weights=(1.0, 1.0, 1.0))
    assert with_loss(settings, recipe("balanced_softmax")).class_weights is None


def test_unknown_sizes_of_classes_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"The loss class_balanced needs the sizes"):
        with_loss(SETTINGS, recipe("class_balanced"))
