"""One architecture to one measurement: build, perturb, export, compare, time.

Torch is imported when something is measured; the settings and the key of what is remembered
can be had without it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from search.errors import ConfigError, ExportError, ParityError
from search.latency import clock
from search.latency.device import fingerprint
from search.latency.runtimes import (
    LoadSettings,
    Runtime,
    installed_version,
    runtime_named,
    torch_threads,
)
from search.latency.table import LatencyKey
from search.records import Latency, Measurement
from trainers.spec import Architecture, Weights

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class MeasureSettings:
    """How architectures are measured.

    Attributes:
        runtime: Key of ``RUNTIMES``.
        threads: Intra-op threads of the runtime.
        batch_size: Images per run.
        warmup: Runs before the first timed one, at least.
        repeats: Timed runs, at least.
        precision: Numeric precision of the artifact, one that the runtime has.
    """

    runtime: str
    threads: int
    batch_size: int
    warmup: int
    repeats: int
    precision: str = "fp32"


def latency_key(architecture: Architecture, settings: MeasureSettings) -> LatencyKey:
    """Return the key under which this device remembers the measurement.

    Raises:
        ConfigError: If the runtime is unknown or not installed.
    """
    device, runtime_version, timm_version = _here(settings.runtime)
    return LatencyKey(
        device=device,
        runtime=settings.runtime,
        runtime_version=runtime_version,
        threads=settings.threads,
        batch_size=settings.batch_size,
        precision=settings.precision,
        timm_version=timm_version,
        architecture=architecture,
    )


@lru_cache(maxsize=8)
def _here(runtime: str) -> tuple[str, str, str]:
    """Return device id, the runtime's version and timm's: the same for the life of a process."""
    return fingerprint().id, runtime_named(runtime).version(), installed_version("timm")


def measure_architecture(
    architecture: Architecture, settings: MeasureSettings, *, folder: Path, seed: int = 0
) -> Measurement:
    """Return what an architecture costs on this device, on random weights.

    Every exporter of the runtime is tried in turn until one gives a file that computes what
    eager PyTorch computes; that file is timed.

    Args:
        architecture: What to build.
        settings: How to measure it.
        folder: Exists; files in between lie in it and are removed.
        seed: Seed of weights and images.

    Raises:
        BuildError: If the network cannot be built.
        ConfigError: If the task, the runtime or its precision is unknown or not installed.
        ExportError: If no exporter gives a file that the runtime takes.
        ParityError: If one does, and it does not compute what eager computes.
    """
    started = time.perf_counter()
    runtime = _runtime(settings)
    # On more threads than are free, a small network takes seconds where it needs milliseconds.
    with torch_threads(settings.threads), TemporaryDirectory(dir=folder) as temporary:
        prepared = _prepare(architecture, settings.batch_size, seed)
        load = LoadSettings(
            folder=Path(temporary),
            exporter=runtime.exporters[0],
            output_names=prepared.output_names,
            threads=settings.threads,
            precision=settings.precision,
        )
        exporter, timing, size_mb = _time_export(runtime, prepared, settings, load)
    return Measurement(
        latency=_latency(timing, settings, runtime, exporter),
        params_m=prepared.params / 1e6,
        macs_g=prepared.macs / 1e9,
        size_mb=size_mb,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class _Prepared:
    """A perturbed network with the images that it is judged and timed on."""

    architecture: Architecture
    module: nn.Module
    example: torch.Tensor
    batches: Sequence[torch.Tensor]
    output_names: tuple[str, ...]
    params: int
    macs: int


def _runtime(settings: MeasureSettings) -> Runtime:
    runtime = runtime_named(settings.runtime)
    runtime.version()
    if settings.precision not in runtime.precisions:
        raise ConfigError(
            f"The runtime {runtime.name!r} has no precision {settings.precision!r}. "
            f"Known: {', '.join(runtime.precisions)}."
        )
    return runtime


def _prepare(architecture: Architecture, batch_size: int, seed: int) -> _Prepared:
    import torch

    from search.latency.parity import draw_images, perturb
    from trainers.count import count_costs
    from trainers.tasks import task_named

    task = task_named(architecture.task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = task.deploy_module(task.build(architecture, Weights(), dropout=0.0))
    module.eval().requires_grad_(False)
    example = task.example(architecture, batch_size, seed)
    params, macs = count_costs(module, example[:1])
    images = draw_images(example, seed)
    perturb(module, images, seed)
    batches = torch.split(images, batch_size)
    return _Prepared(architecture, module, example, batches, task.output_names, params, macs)


def _time_export(
    runtime: Runtime, prepared: _Prepared, settings: MeasureSettings, load: LoadSettings
) -> tuple[str, clock.Timing, float]:
    """Return the exporter that was good, the time and the size of what it gave."""
    from search.latency.parity import check_parity

    module, example = prepared.module, prepared.example
    refusals: dict[str, ExportError | ParityError] = {}
    for exporter in runtime.exporters:
        try:
            with runtime.load(module, example, replace(load, exporter=exporter)) as session:
                check_parity(module, session, prepared.batches)
                timing = clock.measure_apart(
                    session.run, warmup=settings.warmup, repeats=settings.repeats
                )
                return exporter, timing, session.size_mb
        except (ExportError, ParityError) as error:
            refusals[exporter] = error
    raise _joined(prepared.architecture, refusals)


def _joined(
    architecture: Architecture, refusals: dict[str, ExportError | ParityError]
) -> ExportError | ParityError:
    """Return one error for all exporters: of parity, if any export was made."""
    a = architecture
    reasons = " ".join(f"{exporter}: {error}" for exporter, error in refusals.items())
    message = (
        f"{a.backbone} with head {a.head!r} at {a.input_size} px cannot be exported. {reasons}"
    )
    is_made = any(isinstance(error, ParityError) for error in refusals.values())
    return ParityError(message) if is_made else ExportError(message)


def _latency(
    timing: clock.Timing, settings: MeasureSettings, runtime: Runtime, exporter: str
) -> Latency:
    return Latency(
        p50_ms=timing.p50_ms,
        p95_ms=timing.p95_ms,
        spread=timing.spread,
        repeats=timing.repeats,
        warmup=timing.warmup,
        threads=settings.threads,
        batch_size=settings.batch_size,
        runtime=runtime.name,
        runtime_version=runtime.version(),
        precision=settings.precision,
        device=fingerprint().id,
        exporter=exporter,
        is_stable=timing.is_stable,
    )
