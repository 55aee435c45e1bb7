"""Tasks by name. Nothing here imports torch before a network is built."""

from __future__ import annotations

from archfront.trainers.errors import unknown
from archfront.trainers.tasks.classification import Classification
from archfront.trainers.tasks.detection import Detection
from archfront.trainers.tasks.grid import Grid
from archfront.trainers.tasks.instance import Instance
from archfront.trainers.tasks.multilabel import Multilabel
from archfront.trainers.tasks.protocol import Evaluator, Task
from archfront.trainers.tasks.semantic import Semantic

__all__ = ["NECKS", "TASKS", "Evaluator", "Grid", "Task", "task_named"]


# What may mix the feature maps of a backbone before a head.
NECKS = ("none", "fpn", "pan")
TASKS: dict[str, Task] = {
    "classification": Classification(),
    "multilabel": Multilabel(),
    "semantic": Semantic(),
    "detection": Detection(),
    "instance": Instance(),
}


def task_named(name: str) -> Task:
    """Return the task of this name.

    Raises:
        ConfigError: If there is no such task.
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]
