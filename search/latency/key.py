"""The settings of a measurement, and the key under which a device remembers its result."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

from archfront.search.latency.database import LatencyKey
from archfront.search.latency.device import fingerprint
from archfront.search.records.image_tiles import ImageTiles
from archfront.search.runtimes import RUNTIMES, installed_version, runtime_named
from archfront.trainers.errors import ConfigError
from archfront.trainers.networks.hf.names import digest_of, is_hub, transformers_version
from archfront.trainers.spec import Architecture


@dataclass(frozen=True)
class MeasuringDevice:
    """The device of another machine that measures for this one.

    Attributes:
        id: Id of its fingerprint.
        words: The device for people.
        runtime_version: Version of the runtime there.
    """

    id: str
    words: str
    runtime_version: str

    def __str__(self) -> str:
        """Return the device and the runtime for people."""
        return f"{self.words}, runtime {self.runtime_version}"


@dataclass(frozen=True)
class MeasureSettings:
    """The settings of a measurement.

    Attributes:
        runtime: Key of ``RUNTIMES``.
        threads: Intra-op threads of the runtime.
        batch_size: Images per run.
        warmup: Runs before the first timed one, at least.
        repeats: Timed runs, at least.
        precision: Numeric precision of the artifact, one that the runtime has.
        affinity: Logical cores to run on; None for any.
        interval: Half the confidence interval of the median, over the median, to reach.
        max_seconds: Seconds of timing at most.
        throughput_batch: Images at a time for the throughput; None: not measured.
        measures_memory: Whether the memory is measured even where that takes long.
        measures_energy: Whether the energy of an image is measured.
        pace_file: Where the fastest reading of ``search.latency.pace`` is kept for other
            processes; None: nowhere.
        tiles: The predictions that an image takes; None for a single one. A network is measured
            by itself, and its costs are those of an image where they are looked up.
        device: The device that measures; None for this machine's.
    """

    runtime: str
    threads: int
    batch_size: int
    warmup: int
    repeats: int
    precision: str = "fp32"
    affinity: tuple[int, ...] | None = None
    interval: float = 0.02
    max_seconds: float = 10.0
    throughput_batch: int | None = None
    measures_memory: bool = False
    measures_energy: bool = False
    pace_file: str | None = None
    tiles: ImageTiles | None = None
    device: MeasuringDevice | None = None


def latency_key(architecture: Architecture, settings: MeasureSettings) -> LatencyKey:
    """Return the key under which the device that measures is remembered with its measurement.

    Raises:
        ConfigError: If the runtime is unknown or not installed.
    """
    device, runtime_version, timm_version = _here(settings.runtime)
    if (other := settings.device) is not None:
        device, runtime_version = other.id, other.runtime_version
    return LatencyKey(
        device=device,
        runtime=settings.runtime,
        runtime_version=runtime_version,
        threads=settings.threads,
        batch_size=settings.batch_size,
        precision=settings.precision,
        timm_version=_library(architecture.backbone) or timm_version,
        architecture=architecture,
        affinity=_pinned(settings.affinity),
    )


def is_under(key: LatencyKey, settings: MeasureSettings) -> bool:
    """Return whether a remembered measurement was made here, as it would be made now.

    Raises:
        ConfigError: As ``latency_key``.
    """
    try:
        _library(key.architecture.backbone)
    except ConfigError:  # of a network of transformers that cannot be made here any more
        return False
    return key == latency_key(key.architecture, settings)


@lru_cache(maxsize=256)
def _library(backbone: str) -> str | None:
    """Return the library and configuration of a network that is not timm's; None for timm's."""
    if not is_hub(backbone):
        return None
    return f"transformers {transformers_version()} {digest_of(backbone)}"


def _pinned(affinity: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return the cores of a key, sorted; all cores are the same as none in particular."""
    if affinity is None or set(affinity) >= set(range(os.cpu_count() or 1)):
        return None
    return tuple(sorted(affinity))


def device_here(runtime: str) -> MeasuringDevice:
    """Return the device of this machine, as another one has to know it that it measures for."""
    named = RUNTIMES.get(runtime)
    version = "none" if named is None else named.version()
    device = fingerprint()
    return MeasuringDevice(device.id, str(device), version)


@lru_cache(maxsize=8)
def _here(runtime: str) -> tuple[str, str, str]:
    """Return device id, the runtime's version and timm's: the same for the life of a process."""
    return fingerprint().id, runtime_named(runtime).version(), installed_version("timm")
