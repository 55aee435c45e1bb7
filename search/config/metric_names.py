"""The names that other tools have for our metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from archfront.search.config.schema import TaskConfig
from archfront.trainers.tasks import TASKS

# Other names of ours, by their letters and digits.
OTHERS: Mapping[str, str] = {
    "accuracy": "acc top1 acc1 top1acc top1accuracy",
    "balanced_accuracy": "balancedacc bacc balacc macrorecall uar",
    "macro_f1": "f1 f1score f1macro macrof1score fscore",
    "micro_f1": "f1micro microf1score",
    "map": "ap map5095 map05095 map595 ap5095 maskmap meanap",
    "map50": "ap50 map5 map05 ap05",
    "map75": "ap75 map075",
    "box_map50": "boxap50",
    "miou": "iou jaccard meaniou jaccardindex",
    "dice": "dicescore dicecoefficient meandice f1 f1score",
    "pixel_accuracy": "pixelacc pa overallaccuracy accuracy acc",
    "class_accuracy": "macc meanaccuracy classacc mpa",
}


def our_metric(task: str, name: str) -> str | None:
    """Return our name for a metric of a task, such as ``map`` for ``mAP50-95``; None without."""
    letters = re.sub("[^a-z0-9]", "", name.lower())
    for metric in TASKS[task].metrics:
        if letters in (metric.replace("_", ""), *OTHERS.get(metric, "").split()):
            return metric
    return None


def with_our_metric(task: TaskConfig) -> TaskConfig:
    """Return the options of a task with our name of its metric, where that is known."""
    if task.name not in TASKS or task.metric in TASKS[task.name].metrics:
        return task
    return replace(task, metric=our_metric(task.name, task.metric) or task.metric)


def tasks_with(name: str) -> list[str]:
    """Return the tasks that have a metric, by any of its names."""
    return [task for task, kind in TASKS.items() if name in kind.metrics or our_metric(task, name)]
