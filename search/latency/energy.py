"""The energy of one image, from the counters that processors and GPUs keep themselves.

What is counted is everything that the counted part of the machine took while the step ran back
to back: idle power is *not* subtracted. It is real, a meter at the plug shows it (like in MLPerf
Power, Tschand et al. 2025), and a difference of two noisy powers would rank small networks by
chance. On the processor these are its packages and, where counted apart, the memory; another
process on them counts too. On a GPU it is the whole board.

Counters: RAPL of Intel and AMD through Linux's powercap files; NVML's total energy of GPUs since
Volta, through nvidia-ml-py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from archfront.search.errors import ConfigError
from archfront.search.latency.pace import Step
from archfront.search.runtimes.protocol import RunsOn

POWERCAP = Path("/sys/class/powercap")
# NVML's counter moves about ten times a second, so that a tenth of this is its error.
SECONDS = 2.0
MIN_RUNS = 3


class Meter(Protocol):
    """A counter of energy."""

    def start(self) -> None:
        """Note where the counter stands."""

    def elapsed_mj(self) -> float:
        """Return the millijoules since ``start``."""


class Rapl:
    """The processor's own counters.

    Args:
        root: The folder with ``intel-rapl:0`` and the others.

    Raises:
        ConfigError: If there are no counters, or they may not be read.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _is_counted(zone)]
        self._before: list[int] = []
        if not self._zones:
            raise ConfigError(
                "The energy of this processor cannot be measured: there is no RAPL counter in "
                f"{str(root)!r}, like in most virtual machines. Leave energy_mj out of objectives "
                "and limits, or measure on the bare machine."
            )
        try:
            self.start()
        except PermissionError:
            raise ConfigError(
                "The energy of this processor may not be read. Allow it until the next start: "
                f"sudo chmod a+r {root}/intel-rapl*/energy_uj"
            ) from None

    def start(self) -> None:
        """Note where the counters stand."""
        self._before = [_number(zone / "energy_uj") for zone in self._zones]

    def elapsed_mj(self) -> float:
        """Return the millijoules since ``start``, over at most one wraparound of a counter."""
        total = 0
        for zone, before in zip(self._zones, self._before, strict=True):
            now = _number(zone / "energy_uj")
            # The counter begins at zero again after its largest value.
            turn = _number(zone / "max_energy_range_uj") + 1 if now < before else 0
            total += now - before + turn
        return total / 1e3


class Nvml:
    """The GPU's own counter: of the first one that CUDA shows.

    Raises:
        ConfigError: If nvidia-ml-py or the driver is missing, or the GPU is too old.
    """

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError:
            raise ConfigError(
                "The energy of a GPU is read by nvidia-ml-py, which is not installed: "
                "pip install 'archfront[energy]'."
            ) from None
        self._nvml: Any = pynvml
        self._before = 0
        try:
            pynvml.nvmlInit()
            self._gpu = self._first()
            self.start()
        except pynvml.NVMLError as error:
            raise ConfigError(
                f"The energy of the GPU cannot be measured: {error}. Leave energy_mj out of "
                "objectives and limits; GPUs since Volta with NVIDIA's driver have the counter."
            ) from error

    def start(self) -> None:
        """Note where the counter stands."""
        self._before = self._total()

    def elapsed_mj(self) -> float:
        """Return the millijoules since ``start``."""
        return float(self._total() - self._before)

    def _first(self) -> Any:
        # NVML counts all GPUs, whichever CUDA is set to show.
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
        if first and not first.isdigit():
            return self._nvml.nvmlDeviceGetHandleByUUID(first)
        return self._nvml.nvmlDeviceGetHandleByIndex(int(first or 0))

    def _total(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu))


# By what a runtime runs on.
METERS: dict[RunsOn, Callable[[], Meter]] = {"cpu": Rapl, "cuda": Nvml}


def energy_per_image(
    step: Step,
    meter: Meter,
    *,
    images: int,
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the millijoules of one image.

    Args:
        step: Predicts a batch and returns when that is done.
        meter: Counts the energy.
        images: Images of the batch.
        seconds: How long the step is repeated, at least; ``SECONDS`` if None.
        clock: Seconds from any fixed point.

    Raises:
        ConfigError: If the counter does not move.
    """
    seconds = SECONDS if seconds is None else seconds
    n_runs, until = 0, clock() + seconds
    meter.start()
    while n_runs < MIN_RUNS or clock() < until:
        step()
        n_runs += 1
    spent = meter.elapsed_mj()
    if spent <= 0:
        raise ConfigError(
            f"The energy counter of this device did not move in {seconds:g} s of work. Leave "
            "energy_mj out of objectives and limits."
        )
    return spent / (n_runs * images)


def _is_counted(zone: Path) -> bool:
    """Return whether a zone is a package, or memory that no package includes."""
    # Zones within a package have a second colon; psys is the whole board, with the packages.
    try:
        name = (zone / "name").read_text().strip()
    except OSError:
        return False
    is_inner = zone.name.count(":") > 1
    return name == "dram" if is_inner else name.startswith("package")


def _number(path: Path) -> int:
    return int(path.read_text())
