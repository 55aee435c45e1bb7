"""Classes of unequal size: when they change the metric and the losses."""

from __future__ import annotations

from typing import Any

import pytest

from archfront.search.config.build import build
from archfront.search.prepare.rules.balance import balance
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Effect
from tests.support.configurations import changed


def effect(*counts: int, **leaves: Any) -> Effect | None:
    """Return what the rule says of classes of some sizes."""
    names = (f"c{i}" for i in range(len(counts)))
    facts = Facts(sum(counts), dict(zip(names, counts, strict=True)), "images", 32.0)
    open_ = {"task__metric": "auto", "space__recipe__loss": "auto"}
    return balance(facts, build(changed(**{**open_, **leaves})))


@pytest.mark.parametrize("counts", [(50, 10), (7,), (9, 9, 9), (40, 0)])
def test_up_to_five_to_one_nothing_follows(counts: tuple[int, ...]) -> None:
    assert effect(*counts) is None


def test_the_ratio_is_that_of_the_commonest_to_the_rarest_class_that_is_shown() -> None:
    found = effect(0, 20, 51, 10)
    assert found is not None
    assert found.measured == "the training images are 5.1:1 between c2 (51) and c3 (10)"


def test_a_metric_that_was_given_decides_whether_other_losses_are_tried() -> None:
    plain = effect(99, 1, task__metric="accuracy")
    assert plain is not None
    assert plain.values == {}
    assert plain.words == "task.metric=accuracy was given, and the plain loss fits it"
    alike = effect(99, 1, task__metric="macro_f1")
    assert alike is not None
    assert list(alike.values) == ["space.recipe.loss"]


def test_weights_of_classes_that_were_asked_for_are_the_only_ones() -> None:
    found = effect(99, 1, task__class_weights="balanced")
    assert found is not None
    assert found.values == {"task.metric": "balanced_accuracy"}
    assert found.words == "task.class_weights=balanced was given, and no loss is tried"


def test_metrics_that_average_over_classes_begin_with_the_plain_loss() -> None:
    dense = {"task__name": "multilabel", "task__loss": "bce", "data__reader": "csv"}
    found = effect(99, 1, **dense, data__root="/nowhere")
    assert found is not None
    assert found.values == {
        "task.metric": "map",
        "space.recipe.loss": ("plain", "class_balanced"),
    }
