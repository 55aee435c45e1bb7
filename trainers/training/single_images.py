"""Which networks cannot be trained on batches of one image."""

from __future__ import annotations

import torch

from archfront.trainers.networks.task_network import TaskNetwork
from archfront.trainers.spec import Architecture, Norms, Weights
from archfront.trainers.tasks.protocol import Task
from archfront.trainers.training.micro_batch import smallest_micro_batch


def needs_two_images(
    task: Task, architecture: Architecture, *, freeze: bool, norms: Norms
) -> bool:
    """Return whether a network learns with statistics over the images of a batch.

    Args:
        task: The task of the network.
        architecture: The network.
        freeze: Whether the backbone is frozen.
        norms: Whether the statistics of the backbone's batch norms are trained.

    Raises:
        BuildError: If the network cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        model = task.build(architecture, Weights())
    if freeze:
        task.freeze(model)
    if norms == "frozen" and isinstance(model, TaskNetwork):
        model.freeze_norms()
    return smallest_micro_batch(model.train()) > 1
