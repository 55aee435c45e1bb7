"""The fingerprint of this machine, as far as a latency depends on it, and its cores in use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from archfront.search.errors import ConfigError
from archfront.search.records.candidate import short_hash
from archfront.trainers.words import count_of

_GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
_QUOTA = "sys/fs/cgroup/cpu.max"
_GPUS = "proc/driver/nvidia/gpus"
_CPU_FIELDS = ("model name", "cpu family", "model", "stepping")


@dataclass(frozen=True)
class Device:
    """A machine's fingerprint: two machines with equal ones share their measurements.

    Attributes:
        cpu: Model of the processor, with family, model and stepping where the name says little.
        cores: Logical cores of the machine.
        cpu_quota: Cores that a container may use; None without a limit.
        memory_gb: Main memory in GiB, rounded.
        governor: Frequency governor; None where it cannot be read.
        os: Operating system and instruction set, without versions.
        gpus: Models of NVIDIA's GPUs; None without any.
    """

    cpu: str
    cores: int
    cpu_quota: float | None
    memory_gb: int
    governor: str | None
    os: str
    gpus: str | None = None

    @property
    def id(self) -> str:
        """Return the hash of all fields; a machine without GPUs has the id it always had."""
        fields = asdict(self)
        if not self.gpus:
            del fields["gpus"]
        return short_hash(fields)

    def __str__(self) -> str:
        """Return a line for people."""
        quota = f" (quota {self.cpu_quota:g})" if self.cpu_quota else ""
        governor = f", governor {self.governor}" if self.governor else ""
        gpus = f", {self.gpus}" if self.gpus else ""
        memory = f"{self.memory_gb} GiB"
        cores = count_of(self.cores, "core")
        return f"{self.cpu}, {cores}{quota}, {memory}{governor}{gpus}, {self.os}"


def fingerprint(root: Path = Path("/")) -> Device:
    """Return the fingerprint of this machine.

    Args:
        root: Where ``proc`` and ``sys`` lie; what is not there is left out.
    """
    return Device(
        cpu=_cpu(root),
        cores=os.cpu_count() or 1,
        cpu_quota=_cpu_quota(root),
        memory_gb=round(psutil.virtual_memory().total / 2**30),
        governor=_read(root / _GOVERNOR),
        os=f"{platform.system()} {platform.machine()}",
        gpus=_gpus(root),
    )


def allowed_cores() -> tuple[int, ...] | None:
    """Return the logical cores that this thread may run on; None where that is not known."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return tuple(sorted(os.sched_getaffinity(0)))


def affinity_problem(cores: tuple[int, ...]) -> str | None:
    """Return why this process cannot be pinned to these cores; None if it can."""
    allowed = allowed_cores()
    if allowed is None:
        return f"{platform.system()} does not let a process choose its cores; got {list(cores)}."
    missing = [core for core in cores if core not in allowed]
    if not cores or missing:
        there = ", ".join(str(core) for core in allowed)
        return f"this process may run on the cores {there}; got {list(cores)}."
    return None


@contextmanager
def pinned(cores: tuple[int, ...] | None) -> Iterator[tuple[int, ...] | None]:
    """Keep all threads of this process on some cores inside the block, new ones as well.

    Args:
        cores: Logical cores; None leaves the threads where they are.

    Yields:
        The cores that this thread may run on; None where that is not known.

    Raises:
        ConfigError: If a core does not exist, or the system cannot pin.
    """
    if cores is None:
        yield allowed_cores()
        return
    problem = affinity_problem(cores)
    if problem is not None:
        raise ConfigError(f"hardware.affinity: {problem}")
    before = {thread: os.sched_getaffinity(thread) for thread in _threads()}
    own = os.sched_getaffinity(0)
    try:
        _pin({thread: set(cores) for thread in before})
        yield allowed_cores()
    finally:
        # A thread that a runtime started meanwhile inherited the cores and may outlive it.
        _pin({thread: before.get(thread, own) for thread in _threads()})


def _threads() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return [0]  # the calling one


def _pin(cores: dict[int, set[int]]) -> None:
    for thread, allowed in cores.items():
        with suppress(ProcessLookupError):  # it ended meanwhile
            os.sched_setaffinity(thread, allowed)


def _gpus(root: Path) -> str | None:
    models = []
    for path in sorted((root / _GPUS).glob("*/information")):
        for line in (_read(path) or "").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "Model":
                models.append(value.strip())
    return ", ".join(models) or None


def _cpu(root: Path) -> str:
    fields: dict[str, str] = {}
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        # The first processor's entry comes first; the others repeat it.
        fields.setdefault(name.strip(), value.strip())
    if not all(fields.get(name) for name in _CPU_FIELDS):
        return fields.get("model name") or platform.processor() or "unknown processor"
    name, *numbers = (fields[field] for field in _CPU_FIELDS)
    return f"{name} ({'-'.join(numbers)})"


def _cpu_quota(root: Path) -> float | None:
    """Return the cores of the control group's limit, like 2 for ``200000 100000``."""
    quota, _, period = (_read(root / _QUOTA) or "").partition(" ")
    if not (quota.isdigit() and period.isdigit()):
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
