"""The settings of measurements and trainings that follow from a configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from archfront.search.config.schema import Config
from archfront.search.latency.key import MeasureSettings
from archfront.trainers.spec import Precision, TrainSettings
from archfront.trainers.threads import cores

# Where rungs are not given, the epochs grow by this factor from each to the next, over at most
# this number of rungs: a training of less than a tenth says little.
FACTOR, MOST_RUNGS = 3, 3


def rung_epochs(config: Config) -> tuple[int, ...]:
    """Return the epochs of each rung; those of the last are a full training's."""
    given, epochs = config.budget.rungs, config.task.epochs
    if given is not None:
        return given or (epochs,)
    found = [epochs]
    while len(found) < MOST_RUNGS and found[0] >= FACTOR:
        found.insert(0, round(found[0] / FACTOR))
    return tuple(found)


def measure_settings(config: Config) -> MeasureSettings:
    """Return the settings by which architectures are measured."""
    hardware = config.hardware
    return MeasureSettings(
        runtime=hardware.runtime,
        threads=hardware.threads,
        batch_size=hardware.batch_size,
        warmup=hardware.warmup,
        repeats=hardware.repeats,
        precision=hardware.precision,
        affinity=hardware.affinity,
        interval=hardware.interval,
        max_seconds=hardware.max_seconds,
        throughput_batch=hardware.throughput_batch,
        measures_memory="memory_mb" in needed_values(config),
        measures_energy="energy_mj" in needed_values(config),
        pace_file=str(Path(config.tracking.device_db).with_name("pace.json")),
    )


def needed_values(config: Config) -> tuple[str, ...]:
    """Return the names of the values that a measurement must have: objectives and limits."""
    limits = asdict(config.hardware.limits)
    limited = [name for name, value in limits.items() if value is not None]
    throughput = ["throughput_ips"] if config.hardware.throughput_batch is not None else []
    return tuple(dict.fromkeys([*config.objectives, *limited, *throughput]))


def train_settings(
    config: Config,
    precision: Precision,
    class_counts: Sequence[int] = (),
    *,
    until_epoch: int | None = None,
) -> TrainSettings:
    """Return the settings by which candidates are trained.

    Args:
        config: The study.
        precision: Numeric precision of the training.
        class_counts: Images, objects or pixels of each class in the training split.
        until_epoch: Last epoch of a rung below the top; None for a full training.
    """
    task = config.task
    is_balanced = task.class_weights == "balanced" and len(class_counts) > 0
    return TrainSettings(
        metric=task.metric,
        until_epoch=until_epoch or task.epochs,
        horizon=task.epochs,
        seed=config.seed,
        label_smoothing=task.label_smoothing,
        schedule=task.schedule,
        precision=precision,
        threads=train_threads(config),
        loss=task.loss,
        class_weights=balanced(class_counts) if is_balanced else None,
    )


def balanced(class_counts: Sequence[int]) -> tuple[float, ...]:
    """Return class weights that grow with the root of a class's rarity, 1 on average.

    The root, since with weights in full proportion a rare class's few images dominate the loss.
    """
    weights = [1 / math.sqrt(max(count, 1)) for count in class_counts]
    mean = sum(weights) / len(weights)
    return tuple(weight / mean for weight in weights)


def train_threads(config: Config) -> int:
    """Return the threads of one training: those configured, else cores over workers."""
    return config.engine.threads or max(1, cores() // config.engine.workers)
