"""What this machine is, as far as a latency depends on it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from search.candidate import short_hash

_GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
_QUOTA = "sys/fs/cgroup/cpu.max"
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
    """

    cpu: str
    cores: int
    cpu_quota: float | None
    memory_gb: int
    governor: str | None
    os: str

    @property
    def id(self) -> str:
        """Return the hash of all fields."""
        return short_hash(asdict(self))

    def __str__(self) -> str:
        """Return a line for people."""
        quota = f" (quota {self.cpu_quota:g})" if self.cpu_quota else ""
        governor = f", governor {self.governor}" if self.governor else ""
        return f"{self.cpu}, {self.cores} cores{quota}, {self.memory_gb} GiB{governor}, {self.os}"


def fingerprint(root: Path = Path("/")) -> Device:
    """Return what this machine is.

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
    )


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
    """Return the cores of the control group's limit, as ``200000 100000`` gives 2."""
    quota, _, period = (_read(root / _QUOTA) or "").partition(" ")
    if not (quota.isdigit() and period.isdigit()):
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
