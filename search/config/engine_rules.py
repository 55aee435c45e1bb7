"""The rules of a configuration about its engine."""

from __future__ import annotations

import re

from archfront.search.config.schema import Config
from archfront.search.engine.gpu_shares import sharing
from archfront.search.engine.slurm_commands import reserved
from archfront.trainers.words import quoted

_RAY, _QUEUE, _BOTH = ("ray",), ("submitit",), ("ray", "submitit")
# What only some engines use, with its value where nothing is asked, and these engines.
CLUSTER_OPTIONS: dict[str, tuple[object, tuple[str, ...]]] = {
    "address": ("auto", _RAY),
    "labels": ({}, _RAY),
    "device_label": ({}, _RAY),
    "files": ("auto", _RAY),
    "files_gb": (100, _RAY),
    "gpus": (0, _BOTH),
    "gpu_memory_gb": (None, _BOTH),
    "memory_gb": (None, _BOTH),
    "cluster": ("slurm", _QUEUE),
    "partition": (None, _QUEUE),
    "account": (None, _QUEUE),
    "qos": (None, _QUEUE),
    "constraint": (None, _QUEUE),
    "device_partition": (None, _QUEUE),
    "device_constraint": (None, _QUEUE),
    "job_minutes": (60, _QUEUE),
    "idle_minutes": (5, _QUEUE),
    "sbatch": ({}, _QUEUE),
}


def workers(config: Config) -> list[str]:
    """Return what is wrong with the number of workers."""
    engine = config.engine
    if engine.workers is None and engine.name != "ray":
        return [
            f"engine.workers: engine={engine.name} needs a number; got null, which means as many "
            "as fit on the nodes of engine=ray."
        ]
    if engine.name == "inline" and engine.workers != 1:
        return [
            "engine.workers: engine=inline runs one job at a time in this process; got "
            f"{engine.workers}. Use engine.workers=1 or engine=processes."
        ]
    return []


def cluster(config: Config) -> list[str]:
    """Return which options are given that the engine does not use."""
    engine = config.engine
    return [
        f"engine.{name}: engine={engine.name} does not use it; got "
        f"{quoted(getattr(engine, name))}. Use {' or '.join(f'engine={e}' for e in engines)}."
        for name, (unset, engines) in CLUSTER_OPTIONS.items()
        if engine.name not in engines and getattr(engine, name) != unset
    ]


def gpus(config: Config) -> list[str]:
    """Return what is wrong with the GPUs of a training."""
    engine = config.engine
    is_used = engine.name in CLUSTER_OPTIONS["gpu_memory_gb"][1]
    if is_used and not engine.gpus and engine.gpu_memory_gb is not None:
        return [
            "engine.gpu_memory_gb: no training uses a GPU with engine.gpus=0; got "
            f"{engine.gpu_memory_gb:g}. Give engine.gpus as well."
        ]
    n = sharing(engine.gpus)
    if engine.name == "submitit" and engine.cluster == "slurm" and (engine.workers or n) < n:
        return [
            f"engine.gpus: a job of SLURM takes whole GPUs, which its {n} trainings share with "
            f"{engine.gpus:g}; got engine.workers={engine.workers}. Use engine.workers={n} or "
            "more, or engine.gpus=1."
        ]
    return []


def sbatch(config: Config) -> list[str]:
    """Return which further options of sbatch cannot be given."""
    given = config.engine.sbatch
    problems = [
        f"engine.sbatch: a long name of sbatch is needed, as reservation; got {quoted(name)}."
        for name in given
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name)
    ]
    return problems + [
        f"engine.sbatch: {name} follows from the other options of the engine; got "
        f"{quoted(given[name])}. Leave it out."
        for name in reserved(given)
    ]
