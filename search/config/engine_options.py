"""The group of options of the engine, with what it asks of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from archfront.search.config.option_types import (
    Bounds,
    Gpus,
    Limit,
    Named,
    Nullable,
    OneOf,
    Text,
    option,
)
from archfront.search.engine.engines import ENGINES

# Text that stands in a line of a script.
Line = Annotated[Text, Field(pattern=r"^[^\r\n]*\S[^\r\n]*$")]


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """The engine that runs jobs; may change when a study is resumed."""

    name: Annotated[str, OneOf(ENGINES)] = option("the engine")
    workers: Nullable[Annotated[int, Bounds(1, 256)]] = option(
        "trainings at a time, of engine=ray on each node at most; null: as many as fit there"
    )
    threads: Nullable[Annotated[int, Bounds(1, 1024)]] = option(
        "threads of one training; null: cores / workers"
    )
    precision: Literal["fp32", "bf16", "auto"] = option("auto: bf16 where measured to be faster")
    shared_mb: Annotated[float, Bounds(0)] = option(
        "decoded images shared by all workers and studies of this machine, in MB; 0: none"
    )
    address: Text = option(
        "the Ray cluster of engine=ray: auto for the one of this machine, local for one that is "
        "started and ended here, HOST:6379, or ray://HOST:10001"
    )
    labels: Named[Text] = option("labels of the nodes that train, as {pool: fast}")
    device_label: Named[Text] = option(
        "labels of the nodes that measure, as {device: pi5}; without: those of this machine's "
        "device"
    )
    gpus: Gpus = option(
        "GPUs of one training on a node; 0.5: two trainings share one; 0: none is used"
    )
    gpu_memory_gb: Nullable[Limit] = option(
        "memory of one training on each of its GPUs in GiB, so that no more share one than it "
        "holds; null: not counted"
    )
    memory_gb: Nullable[Limit] = option(
        "memory of one training in GiB, which limits the trainings at a time on a node, and which "
        "SLURM is asked for; null: not counted, what the site gives"
    )
    cluster: Literal["slurm", "local"] = option(
        "the queue of engine=submitit: slurm, or local for processes of this machine, to try it"
    )
    partition: Nullable[Line] = option("SLURM's partition for trainings; null: its default")
    account: Nullable[Line] = option("SLURM's account that pays; null: its default")
    qos: Nullable[Line] = option("SLURM's quality of service; null: its default")
    constraint: Nullable[Line] = option(
        "features of the nodes that train, as sbatch takes them: intel&avx512; null: any node"
    )
    device_partition: Nullable[Line] = option(
        "SLURM's partition for measurements; null: engine.partition"
    )
    device_constraint: Nullable[Line] = option(
        "features of the nodes that measure, which have to be of one device; null: those of "
        "engine.constraint"
    )
    job_minutes: Annotated[int, Bounds(2, 60 * 24 * 28)] = option(
        "wall minutes that a job asks of SLURM, in which it does one training after the other"
    )
    idle_minutes: Annotated[float, Bounds(0)] = option(
        "minutes without work after which a job gives its node back"
    )
    sbatch: Named[Line] = option(
        "further options of sbatch by their long names, as {reservation: course}; true for those "
        "without value"
    )
    files: Literal["auto", "shared", "sent"] = option(
        "the files of a study on a cluster: auto sends them to nodes that do not see the driver's "
        "folders and brings results back, sent does so with all nodes, shared with none"
    )
    files_gb: Limit = option(
        "space that files sent to a node may take in its cache, in GB; what was not used for "
        "longest is removed"
    )
