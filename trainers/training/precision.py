"""Whether half precision pays on this machine: measured, not believed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn
from torch.optim import AdamW

from archfront.trainers.spec import Architecture, Precision, TrainSettings, Weights
from archfront.trainers.tasks import task_named
from archfront.trainers.tasks.protocol import Task
from archfront.trainers.training.micro_batch import on_device

GAIN = 1.15  # below it, the difference drowns in the noise of a shared machine
# Two steps of some milliseconds say little where other work comes and goes: there are more, as
# many as the second number, until all of them have taken this many seconds.
TIMED_S, MOST_ROUNDS = 0.5, 50


@dataclass(frozen=True)
class PrecisionProbe:
    """Result of a short measurement.

    Attributes:
        precision: The one to train in.
        fp32_ms: Median of a training step.
        bf16_ms: The same under autocast; infinite where it was not timed.
    """

    precision: Precision
    fp32_ms: float
    bf16_ms: float

    @property
    def step_ms(self) -> float:
        """Return the median of a training step in the precision to train in."""
        return self.bf16_ms if self.precision == "bf16" else self.fp32_ms


def takes_bf16(model: nn.Module, example: torch.Tensor) -> bool:
    """Return whether every convolution of a network may be trained in bfloat16 on a CPU.

    Where a kernel reaches as far as its map is wide, some of its weights meet nothing but
    padding. Their gradient is 0, but oneDNN (in torch 2.15) leaves it uninitialized in
    bfloat16: NaN at times, another number each time at others.

    Args:
        model: Runs once, in evaluation mode.
        example: Images ``(N, C, S, S)``.
    """
    is_safe = True

    def look(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal is_safe
        if isinstance(layer, nn.Conv2d):
            sides = zip(layer.kernel_size, layer.dilation, inputs[0].shape[2:], strict=True)
            is_safe &= all(kernel // 2 * step < side for kernel, step, side in sides)

    handles = [layer.register_forward_pre_hook(look) for layer in model.modules()]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(example)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return is_safe


def precision_probe(
    architecture: Architecture,
    settings: TrainSettings,
    *,
    batch_size: int,
    rounds: int = 5,
    precisions: Sequence[Precision] = ("fp32", "bf16"),
    clock: Callable[[], float] = time.perf_counter,
) -> PrecisionProbe:
    """Time training steps in one precision or in both, taking turns.

    Args:
        architecture: A network that stands for the study's.
        settings: Its threads and seed are used.
        batch_size: Images per step.
        rounds: Timed steps of each precision at least, after one that is not timed. There are
            more, up to ``MOST_ROUNDS``, until they have taken ``TIMED_S`` together.
        precisions: Those that are timed, ``fp32`` among them.
        clock: Seconds.

    Returns:
        ``bf16`` only where its median step is at least 1.15 times faster and
        ``takes_bf16`` says yes.

    Raises:
        BuildError: If the network cannot be built.
    """
    task = task_named(architecture.task)
    before = torch.get_num_threads()
    times: dict[Precision, list[float]] = {name: [] for name in precisions}
    torch.set_num_threads(settings.threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            model = task.build(architecture, Weights())
            is_safe = takes_bf16(model, task.example(architecture, 1, settings.seed))
            step = _step(task, model, architecture, settings, batch_size)
            for turn in range(MOST_ROUNDS + 1):
                for precision, measured in times.items():
                    start = clock()
                    step(precision)
                    elapsed = clock() - start
                    if turn > 0:
                        measured.append(elapsed)
                if turn >= rounds and sum(map(sum, times.values())) >= TIMED_S:
                    break
    finally:
        torch.set_num_threads(before)
    fp32_ms, bf16_ms = (
        1000 * median(times[name]) if name in times else math.inf for name in ("fp32", "bf16")
    )
    pays = is_safe and fp32_ms >= GAIN * bf16_ms
    return PrecisionProbe("bf16" if pays else "fp32", fp32_ms, bf16_ms)


def _step(
    task: Task,
    model: nn.Module,
    architecture: Architecture,
    settings: TrainSettings,
    batch_size: int,
) -> Callable[[Precision], None]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).to(memory_format=torch.channels_last)
    optimizer = AdamW(model.parameters(), fused=True)
    images = task.example(architecture, batch_size, settings.seed).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    drawn = task.example_targets(architecture, batch_size, settings.seed)
    targets = on_device(drawn, torch.device(device))

    def step(precision: Precision) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            losses = task.training_step(model, (images, targets), settings)
        torch.autograd.backward(torch.stack(tuple(losses.values())).sum())
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    return step
