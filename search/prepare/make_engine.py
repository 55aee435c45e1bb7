"""The engine of a configuration."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from archfront.search.config.schema import Config
from archfront.search.config.settings import train_threads
from archfront.search.engine.cluster_engine import ClusterEngine
from archfront.search.engine.engines import ENGINES
from archfront.search.engine.file_sets import Outline
from archfront.search.engine.jobs import Engine
from archfront.search.engine.placement import ClusterNeeds
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.submitit_engine import SubmititEngine
from archfront.search.errors import ConfigError
from archfront.search.jobs.elsewhere import perform_elsewhere
from archfront.search.jobs.outline import outline
from archfront.search.jobs.perform import MEASURING_IMPORTS, TRAINING_IMPORTS, perform
from archfront.search.latency.key import MeasuringDevice, device_here
from archfront.search.prepare.data_reference import data_ref
from archfront.search.records.events import Follower

# Of a node there are never more trainings at a time.
MOST_WORKERS = 256


def make_engine(config: Config, emit: Follower = lambda _: None) -> Engine:
    """Return the engine of a study, whose workers import while the study is prepared.

    Args:
        config: The study.
        emit: Takes events of a cluster's nodes.

    Raises:
        ConfigError: If a cluster is asked for and cannot be joined, or cannot do the study.
    """
    engine = config.engine
    if engine.name == "ray":
        return ClusterEngine(
            perform_elsewhere,
            workers=engine.workers or MOST_WORKERS,
            threads=train_threads(config),
            imports=TRAINING_IMPORTS,
            exclusive_imports=MEASURING_IMPORTS,
            needs=cluster_needs(config),
            emit=emit,
        )
    if engine.name == "submitit":
        return SubmititEngine(
            perform_elsewhere,
            workers=engine.workers or 1,
            threads=train_threads(config),
            imports=TRAINING_IMPORTS,
            exclusive_imports=MEASURING_IMPORTS,
            needs=queue_needs(config),
        )
    return ENGINES[engine.name](
        perform,
        workers=engine.workers or 1,
        threads=engine.threads,
        imports=TRAINING_IMPORTS,
        exclusive_imports=MEASURING_IMPORTS,
    )


def measuring_engine(config: Config) -> Engine:
    """Return an engine that only measures, on this machine's device.

    Raises:
        ConfigError: If jobs of a queue are asked for, which are of other machines.
    """
    engine = config.engine
    if engine.name == "submitit":
        raise ConfigError(
            "engine: this measures for the machine that it runs on; got engine=submitit. Run it "
            "on the device: srun --exclusive --mem=0 --partition=NAME archfront ... "
            "engine=processes."
        )
    if engine.name == "ray":
        needs = replace(cluster_needs(config, trains=False), device_label={})
        return ClusterEngine(perform_elsewhere, workers=1, threads=1, needs=needs)
    return ENGINES[engine.name](perform, workers=1, threads=None)


def device_of(engine: Engine, runtime: str) -> MeasuringDevice | None:
    """Return the device on which an engine measures with a runtime; None for this machine's."""
    if not isinstance(engine, ClusterEngine | SubmititEngine):
        return None
    if not isinstance(engine.device, MeasuringDevice):
        return None
    return None if engine.device == device_here(runtime) else engine.device


def cluster_needs(config: Config, *, trains: bool = True) -> ClusterNeeds:
    """Return what a configuration asks of a cluster.

    Args:
        config: The configuration.
        trains: Whether anything is trained, and so read and written in the study's folders.
    """
    engine = config.engine
    return ClusterNeeds(
        address=engine.address,
        labels=engine.labels,
        device_label=engine.device_label,
        gpus=engine.gpus,
        gpu_memory_gb=engine.gpu_memory_gb,
        memory_gb=engine.memory_gb,
        trains=trains,
        measures=config.hardware.device is None,
        shared=config.tracking.root if trains else None,
        read=_read(config) if trains else (),
        describe=partial(device_here, config.hardware.runtime),
        files=engine.files,
        files_gb=engine.files_gb,
        outline=Outline(outline, data_ref(config)) if trains and config.data.root else None,
    )


def queue_needs(config: Config) -> QueueNeeds:
    """Return what a configuration asks of the jobs of a queue."""
    engine = config.engine
    return QueueNeeds(
        cluster=engine.cluster,
        study=config.study,
        partition=engine.partition,
        account=engine.account,
        qos=engine.qos,
        constraint=engine.constraint,
        device_partition=engine.device_partition,
        device_constraint=engine.device_constraint,
        job_minutes=engine.job_minutes,
        idle_minutes=engine.idle_minutes,
        memory_gb=engine.memory_gb,
        gpus=engine.gpus,
        gpu_memory_gb=engine.gpu_memory_gb,
        sbatch=engine.sbatch,
        measures=config.hardware.device is None,
        shared=config.tracking.root,
        read=_read(config),
        describe=partial(device_here, config.hardware.runtime),
    )


def _read(config: Config) -> tuple[str, ...]:
    """Return the folders and files that trainings read."""
    folders = [config.data.root, config.data.annotations]
    if config.space.weights not in ("none", "pretrained"):
        folders.append(config.space.weights)
    return tuple(folder for folder in folders if folder is not None)
