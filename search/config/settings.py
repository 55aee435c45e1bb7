"""The settings of measurements and trainings that follow from a configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import Config
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.key import MeasureSettings
from archfront.search.records.plan import Plan
from archfront.trainers.spec import Precision, TrainSettings
from archfront.trainers.tasks import TASKS
from archfront.trainers.threads import cores

# Where rungs are not given, the epochs grow by this factor from each to the next, over at most
# this number of rungs: a training of less than a tenth says little.
FACTOR, MOST_RUNGS = 3, 3
# The factor where trainings take equally long, so that lighter networks have more epochs: what
# few epochs say of them is clearer then (benchmarks/LOG.md, "Trainings of equal time").
FACTOR_OF_TIME = 4


# Epochs of a full training where they are not given and there are no minutes to plan them by.
UNPLANNED = {"semantic": 20, "detection": 40, "instance": 40}
UNPLANNED_OF_IMAGES = 8
# Decay of averaged weights (benchmarks/LOG.md, "Frozen features, solved heads and fine-tuning";
# benchmarks/LOG.md, "Schedules of trainings from scratch").
EMA = 0.95
# The share of a study's minutes that timing one architecture takes at most, and seconds that it
# may take in any case: beside other work a clock waits as long as it may, and eight candidates
# with what is measured again cost a quarter of six minutes (benchmarks/LOG.md, "The first full
# training on a slow machine").
TIMING, TIMING_LEAST = 0.006, 1.5


def plan_of(
    config: Config, epochs: int | None = None, *, is_short: bool = False, **measured: Any
) -> Plan:
    """Return the plan of a configuration's trainings.

    What is ``auto`` follows from the first weights: with weights a head for labels of images is
    solved on frozen features, and fine-tuning leaves the statistics of batch norm as they are,
    which the head was solved with. The other heads begin at random, and detectors then learn
    faster with the norms of batches (benchmarks/LOG.md, "Norms and averages of dense tasks").

    Args:
        config: The configuration of a study.
        epochs: Epochs of a full training where ``task.epochs`` is ``auto``; None for those of a
            study without minutes.
        is_short: Whether a part of so short a training says nothing that its probe does not.
        **measured: Further fields of the plan.
    """
    task = config.task
    solves = config.space.weights != "none" and TASKS[task.name].is_image_level
    init = ("probe" if solves else "random") if task.init == "auto" else task.init
    norms = ("frozen" if solves else "train") if task.norms == "auto" else task.norms
    ema = EMA if task.ema == "auto" else float(task.ema)
    factor = FACTOR_OF_TIME if measured.get("work") is not None else FACTOR
    rungs = rung_epochs(config, epochs, has_probe=init == "probe", factor=factor)
    if is_short and rungs[0] == 0 and config.budget.rungs is None:
        rungs = (0, rungs[-1])
    return Plan(
        rungs,
        init=init,
        norms=norms,
        ema=ema,
        schedule="cosine" if task.schedule == "auto" else task.schedule,
        **measured,
    )


def rung_epochs(
    config: Config, epochs: int | None = None, *, has_probe: bool = False, factor: int = FACTOR
) -> tuple[int, ...]:
    """Return the epochs of each rung, the last those of a full training; 0 is a probe."""
    given = config.budget.rungs
    if config.task.epochs != "auto":
        epochs = config.task.epochs
    elif given:
        epochs = given[-1]
    elif epochs is None:
        epochs = UNPLANNED.get(config.task.name, UNPLANNED_OF_IMAGES)
    if given is not None:
        return given or (epochs,)
    found = [epochs]
    while len(found) < MOST_RUNGS - has_probe and found[0] >= factor:
        found.insert(0, round(found[0] / factor))
    return (0, *found) if has_probe else tuple(found)


def measure_settings(config: Config) -> MeasureSettings:
    """Return the settings by which architectures are measured."""
    hardware, minutes = config.hardware, config.budget.minutes
    most_s = math.inf if minutes is None else max(TIMING * 60 * minutes, TIMING_LEAST)
    return MeasureSettings(
        runtime=hardware.runtime,
        threads=hardware.threads,
        batch_size=hardware.batch_size,
        warmup=hardware.warmup,
        repeats=hardware.repeats,
        precision=hardware.precision,
        affinity=hardware.affinity,
        interval=hardware.interval,
        max_seconds=min(hardware.max_seconds, most_s),
        throughput_batch=hardware.throughput_batch,
        measures_memory="memory_mb" in needed_values(config),
        measures_energy="energy_mj" in needed_values(config),
        pace_file=str(Path(config.tracking.device_db).with_name("pace.json")),
    )


def latency_table(config: Config) -> LatencyTable:
    """Return the table of remembered latencies."""
    return LatencyTable(config.tracking.latency_url or Path(config.tracking.device_db))


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
    class_sizes: Sequence[float] = (),
    plan: Plan | None = None,
) -> TrainSettings:
    """Return the settings of a full training of a candidate.

    Args:
        config: The study.
        precision: Numeric precision of the training.
        class_counts: Images, objects or pixels of each class in the training split.
        class_sizes: The same with pixels as the images that they fill.
        plan: How its trainings go; the one that needs no measurement when None.
    """
    task, plan = config.task, plan or plan_of(config)
    is_balanced = task.class_weights == "balanced" and len(class_counts) > 0
    return TrainSettings(
        metric=with_metric(config).task.metric,
        until_epoch=plan.horizon,
        horizon=plan.horizon,
        seed=config.seed,
        label_smoothing=task.label_smoothing,
        schedule=plan.schedule,
        precision=precision,
        threads=train_threads(config),
        loss=task.loss,
        class_weights=balanced(class_counts) if is_balanced else None,
        init=plan.init,
        norms=plan.norms,
        ema=plan.ema,
        share=plan.share,
        class_sizes=tuple(class_sizes) or None,
    )


def balanced(class_counts: Sequence[int]) -> tuple[float, ...]:
    """Return class weights that grow with the root of a class's rarity, 1 on average.

    The root, since with weights in full proportion a rare class's few images dominate the loss.
    """
    weights = [1 / math.sqrt(max(count, 1)) for count in class_counts]
    mean = sum(weights) / len(weights)
    return tuple(weight / mean for weight in weights)


def with_metric(config: Config, metric: str | None = None) -> Config:
    """Return a configuration with a metric where it has ``auto``.

    Args:
        config: The configuration.
        metric: The metric; the first one of the task when None.
    """
    if config.task.metric != AUTO:
        return config
    found = metric or TASKS[config.task.name].metrics[0]
    return replace(config, task=replace(config.task, metric=found))


def train_threads(config: Config) -> int:
    """Return the threads of one training: those configured, else cores over workers."""
    return config.engine.threads or max(1, cores() // (config.engine.workers or 1))


def expected_workers(config: Config) -> int:
    """Return the trainings at a time on this machine, before an engine says it."""
    return config.engine.workers or max(1, cores() // train_threads(config))
