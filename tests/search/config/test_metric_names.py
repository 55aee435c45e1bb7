"""The usual names of metrics are taken as ours."""

from __future__ import annotations

import pytest

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.config.metric_names import OTHERS, our_metric
from archfront.search.errors import ConfigError
from archfront.trainers.tasks import TASKS


@pytest.mark.parametrize(
    ("task", "name", "ours"),
    [
        ("classification", "acc", "accuracy"),
        ("classification", "top-1", "accuracy"),
        ("classification", "F1", "macro_f1"),
        ("classification", "balanced accuracy", "balanced_accuracy"),
        ("multilabel", "f1", "macro_f1"),
        ("multilabel", "mAP", "map"),
        ("semantic", "IoU", "miou"),
        ("semantic", "mIoU", "miou"),
        ("semantic", "f1", "dice"),
        ("semantic", "acc", "pixel_accuracy"),
        ("detection", "mAP50-95", "map"),
        ("detection", "mAP@0.5:0.95", "map"),
        ("detection", "mAP@.5", "map50"),
        ("detection", "AP75", "map75"),
        ("instance", "box mAP50", "box_map50"),
        ("detection", "recall", None),
        ("classification", "dice", None),
    ],
)
def test_a_usual_name_is_taken_as_ours(task: str, name: str, ours: str | None) -> None:
    assert our_metric(task, name) == ours


def test_every_name_of_ours_is_a_metric_of_some_task() -> None:
    known = {metric for task in TASKS.values() for metric in task.metrics}
    assert OTHERS.keys() <= known


def test_the_configuration_has_our_name() -> None:
    composed = compose(["task=detection", "task.metric=mAP50-95", "data.root=a"])
    assert build(composed.content, texts=composed.texts).task.metric == "map"


def test_a_metric_of_another_task_names_that_task() -> None:
    composed = compose(["data=digits", "task.metric=iou"])
    with pytest.raises(ConfigError) as caught:
        build(composed.content, texts=composed.texts)
    assert caught.value.problems == (
        "task.metric: Unknown metric 'iou'. Known: accuracy, balanced_accuracy, macro_f1. It is a "
        "metric of task=semantic.",
    )
