"""What a study asks of the jobs of a batch queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from archfront.search.engine.gpu_shares import sharing

Cluster = Literal["slurm", "local"]


@dataclass(frozen=True)
class QueueNeeds:
    """What a study asks of a queue and of the nodes that the queue gives it.

    Attributes:
        cluster: ``slurm``, or ``local`` for processes of this machine in place of a queue.
        study: Name of the study, a part of the jobs' names.
        partition: Partition of the jobs that train; None for the default one.
        account: Account that pays; None for the default one.
        qos: Quality of service; None for the default one.
        constraint: Features of the nodes that train, as sbatch takes them; None for any node.
        device_partition: Partition of the jobs that measure; None for ``partition``.
        device_constraint: Features of the nodes that measure; None for those of training.
        job_minutes: Wall minutes that a job asks for.
        idle_minutes: Minutes without work after which a job gives its node back.
        memory_gb: Memory of one training in GiB; None for what the site gives.
        gpus: GPUs of one training; 1/n where n share one, all in one job.
        gpu_memory_gb: Memory of one training on each of its GPUs in GiB; None where it does not
            matter.
        sbatch: Further options of sbatch by their long names; ``true`` for those without value.
        trains: Whether anything is trained, and
        measures: measured.
        shared: Folder into which jobs write; None for one of this machine, which is removed.
        read: Folders and files that jobs read: all nodes have to see them.
        describe: Gives a machine's device; None where it does not matter.
    """

    cluster: Cluster = "local"
    study: str = "jobs"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    device_partition: str | None = None
    device_constraint: str | None = None
    job_minutes: int = 60
    idle_minutes: float = 5.0
    memory_gb: float | None = None
    gpus: float = 0
    gpu_memory_gb: float | None = None
    sbatch: Mapping[str, str] = field(default_factory=dict)
    trains: bool = True
    measures: bool = True
    shared: str | None = None
    read: tuple[str, ...] = ()
    describe: Callable[[], object] | None = None

    @property
    def per_job(self) -> int:
        """Return how many trainings a job of SLURM does at a time: those that share its GPU."""
        return sharing(self.gpus)
