"""How many images of a batch a GPU holds at a time: tried before the training, not believed."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from archfront.trainers.spec import Architecture, Recipe, TrainSettings
from archfront.trainers.tasks.protocol import Task
from archfront.trainers.training.micro_batch import MicroBatcher, on_device, smallest_micro_batch

# AdamW keeps two numbers for each weight, and needs them only after the first step.
OPTIMIZER_COPIES = 2


def fitting_batch(
    model: nn.Module,
    task: Task,
    architecture: Architecture,
    recipe: Recipe,
    settings: TrainSettings,
    *,
    device: torch.device,
) -> int:
    """Return the batch size, halved until a training step fits into the device's memory.

    A step forward and backward is done on drawn images, with the room that the optimizer will
    need taken. Weights, norms and the generator are afterwards what they were before.

    Args:
        model: In training mode; moved to the device.
        task: Its task.
        architecture: What it was built from.
        recipe: Its batch size is the first one tried.
        settings: Of the training.
        device: Where it trains.

    Raises:
        torch.OutOfMemoryError: When not even the smallest part of a batch fits.
    """
    model.to(device)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    room = [
        torch.empty_like(p)
        for p in model.parameters()
        if p.requires_grad
        for _ in range(OPTIMIZER_COPIES)
    ]

    def step(size: int) -> float:
        model.zero_grad()
        images = task.example(architecture, size, settings.seed).to(device)
        images = images.contiguous(memory_format=torch.channels_last)
        targets = on_device(task.example_targets(architecture, size, settings.seed), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            losses = task.training_step(model, (images, targets), settings)
        torch.autograd.backward(torch.stack(tuple(losses.values())).sum())
        if device.type == "cuda":
            torch.cuda.synchronize()
        return 0.0

    micro_batcher = MicroBatcher(recipe.batch_size)
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            micro_batcher.run(step, smallest=partial(smallest_micro_batch, model))
    finally:
        del room
        model.zero_grad()
        with torch.no_grad():
            for name, value in model.named_buffers():
                value.copy_(buffers[name])
    return micro_batcher.size
