"""Batches of one image under batch norm failed in the middle of the first training."""

from __future__ import annotations

from typing import Any

import pytest

from archfront.search.errors import ConfigError
from archfront.search.prepare.batch_sizes import check_single_images
from archfront.search.space.axes import Axes
from archfront.search.space.space import Space
from archfront.trainers.spec import Recipe, Weights
from archfront.trainers.tasks import TASKS
from tests.support.small_spaces import backbone

NORMED, PLAIN = "test_resnet", "test_convnext"


def space(name: str, *sizes: int, freeze: bool = False) -> Space:
    axes = (Axes(backbone(name, params_m=0.5), ("avg",), (32,)),)
    recipes = tuple(Recipe(0.01, 0.01, size, "none", 0.0, freeze) for size in sizes)
    return Space(axes, recipes, {name: Weights()}, "classification", 10, 1)


def check(of: Space, **changes: Any) -> None:
    given = {"n_train": 100, "norms": "train", **changes}
    check_single_images(of, TASKS["classification"], **given)


@pytest.mark.parametrize("sizes", [(1,), (1, 32)])
def test_single_images_under_batch_norm_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"batch_size=1: .* at a time: test_resnet\. Allowed is"):
        check(space(NORMED, *sizes))


def test_one_training_image_is_a_batch_of_one_whatever_was_asked() -> None:
    with pytest.raises(ConfigError, match=r"^There is 1 training image, .*: test_resnet\. Give"):
        check(space(NORMED, 32), n_train=1)


def test_networks_that_look_at_each_image_alone_may_have_single_ones() -> None:
    check(space(PLAIN, 1))
    check(space(NORMED, 2))
    check(space(NORMED, 1), norms="frozen")
    check(space(NORMED, 1, freeze=True))
