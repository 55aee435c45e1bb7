"""One architecture to one measurement: build, perturb, export, compare, time.

Torch is imported when something is measured; the settings and the key of what is remembered
can be had without it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from archfront.search.engine.worker import alone
from archfront.search.errors import ExportError, ParityError
from archfront.search.latency import clock, memory
from archfront.search.latency.device import fingerprint, pinned
from archfront.search.latency.energy import METERS, Meter, energy_per_image
from archfront.search.latency.key import MeasureSettings, latency_key
from archfront.search.latency.pace import Pace
from archfront.search.records.evaluation import Latency, Measurement
from archfront.search.runtimes import (
    LoadSettings,
    Runtime,
    Session,
    runtime_named,
    torch_threads,
)
from archfront.search.runtimes.alignment import Aligned
from archfront.trainers.spec import Architecture, Weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.trainers.networks.count import Costs

__all__ = ["MeasureSettings", "latency_key", "measure_architecture"]

logger = logging.getLogger(__name__)

# Opening a larger file in a process of its own takes over 0.3 s (resnet50, 79 MB: 0.4), and
# OpenVINO's import and compilation take that for any.
CHEAP, CHEAP_MB = ("onnxruntime",), 60.0
# A batch of images takes long and averages by itself.
THROUGHPUT_EFFORT = clock.Effort(warmup=1, repeats=6, interval=0.05, max_seconds=3.0)


def measure_architecture(
    architecture: Architecture,
    settings: MeasureSettings,
    *,
    folder: Path,
    seed: int = 0,
    weights: Path | None = None,
) -> Measurement:
    """Return what an architecture costs on this device, on drawn weights or on trained ones.

    Every exporter of the runtime is tried in turn until one gives a file that computes what
    eager PyTorch computes; that file is timed. Memory is measured where it costs little or is
    asked for, throughput and energy where they are asked for.

    Args:
        architecture: What to build.
        settings: How to measure it.
        folder: Exists; files in between lie in it and are removed.
        seed: Seed of weights and images.
        weights: Trained weights of this architecture; None for drawn ones.

    Raises:
        BuildError: If the network cannot be built.
        WeightsError: If the trained weights do not fit it.
        ConfigError: If the task, the runtime or its precision is unknown or not installed, a
            core does not exist, or the energy cannot be read.
        ExportError: If no exporter gives a file that the runtime takes.
        ParityError: If one does, and it does not compute what eager computes.
    """
    started = time.perf_counter()
    runtime = _runtime(settings)
    meter = METERS[runtime.runs_on]() if settings.measures_energy else None
    pace = pace_of(settings)
    # On more threads than are free, a small network takes seconds where it needs milliseconds.
    # A runtime's threads inherit the cores when they start, which is when it loads.
    with (
        pinned(settings.affinity) as cores,
        torch_threads(settings.threads),
        TemporaryDirectory(dir=folder) as temporary,
    ):
        with alone():
            pace.read()  # seconds before the timing, another look at how fast the core can be
        prepared = _prepare(architecture, settings.batch_size, seed, weights)
        load = LoadSettings(
            folder=Path(temporary),
            exporter=runtime.exporters[0],
            output_names=prepared.output_names,
            threads=settings.threads,
            precision=settings.precision,
            calibration=prepared.batches,
            compared=prepared.compared,
            aligned=prepared.aligned,
        )
        # A GPU's memory is counted with that of others, and what they queued is still computed.
        with alone() if runtime.runs_on == "cuda" else nullcontext():
            found = _measure_export(runtime, prepared, settings, load, _Instruments(pace, meter))
        load = replace(load, exporter=found.exporter)
        throughput_ips = _throughput(runtime, prepared, settings, load, found)
    return Measurement(
        latency=latency_of(
            found.timing,
            settings,
            version=runtime.version(),
            exporter=found.exporter,
            cores=cores,
            parity=found.parity,
        ),
        params_m=prepared.costs.params / 1e6,
        macs_g=prepared.costs.macs / 1e9,
        size_mb=found.size_mb,
        seconds=time.perf_counter() - started,
        memory_mb=found.memory_mb,
        throughput_ips=throughput_ips,
        throughput_batch=settings.throughput_batch,
        energy_mj=found.energy_mj,
    )


@dataclass(frozen=True)
class _Prepared:
    """A perturbed network with the images that it is judged and timed on."""

    architecture: Architecture
    module: nn.Module
    example: torch.Tensor
    batches: Sequence[torch.Tensor]
    output_names: tuple[str, ...]
    compared: tuple[int, ...]
    aligned: Aligned
    costs: Costs


@dataclass(frozen=True)
class _Instruments:
    """What is read beside the clock: how fast the core is, and the energy where it is asked."""

    pace: Pace
    meter: Meter | None


@dataclass(frozen=True)
class _Found:
    """What measuring a good export gave."""

    exporter: str
    parity: float
    timing: clock.Timing
    size_mb: float
    memory_mb: float | None
    energy_mj: float | None


def _runtime(settings: MeasureSettings) -> Runtime:
    runtime = runtime_named(settings.runtime)
    runtime.check(settings.precision)
    return runtime


def _prepare(
    architecture: Architecture, batch_size: int, seed: int, weights: Path | None
) -> _Prepared:
    import torch

    from archfront.search.runtimes.parity import draw_images, perturb
    from archfront.trainers.networks.checkpoint import load_trained
    from archfront.trainers.networks.count import count_costs
    from archfront.trainers.tasks import task_named

    task = task_named(architecture.task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = task.build(architecture, Weights(), dropout=0.0)
    network.eval().requires_grad_(False)
    example = task.example(architecture, batch_size, seed)
    images = draw_images(example, seed)
    # Before blocks are merged: the norms keep activations in bounds, and are gone after it.
    if weights is None:
        perturb(network, images, seed)
    else:
        load_trained(network, weights)
    module = task.deploy_module(network)
    module.eval().requires_grad_(False)
    costs = count_costs(module, example[:1])
    batches = torch.split(images, batch_size)
    names = task.output_names
    compared = tuple(names.index(name) for name in task.compared)
    return _Prepared(architecture, module, example, batches, names, compared, task.aligned, costs)


def _measure_export(
    runtime: Runtime,
    prepared: _Prepared,
    settings: MeasureSettings,
    load: LoadSettings,
    instruments: _Instruments,
) -> _Found:
    """Return what the first good export costs."""
    from archfront.search.runtimes.parity import check_parity

    module, example = prepared.module, prepared.example
    refusals: dict[str, ExportError | ParityError] = {}
    for exporter in runtime.exporters:
        try:
            with runtime.load(module, example, replace(load, exporter=exporter)) as session:
                parity = check_parity(
                    module,
                    session,
                    prepared.batches,
                    precision=settings.precision,
                    compared=prepared.compared,
                    aligned=prepared.aligned,
                )
                memory_mb = cache(
                    partial(
                        _memory_mb, session, runtime, settings, _artifact(load.folder / exporter)
                    )
                )
                timing = _timing(runtime, session, settings, instruments.pace, memory_mb)
                return _Found(
                    exporter=exporter,
                    parity=parity,
                    timing=timing,
                    size_mb=session.size_mb,
                    memory_mb=memory_mb(),
                    energy_mj=_energy_mj(session, settings, instruments.meter),
                )
        except (ExportError, ParityError) as error:
            refusals[exporter] = error
    raise _joined(prepared.architecture, refusals)


def _timing(
    runtime: Runtime,
    session: Session,
    settings: MeasureSettings,
    pace: Pace,
    meanwhile: Callable[[], object],
) -> clock.Timing:
    """Return the time of a step; ``meanwhile`` is called in the pauses of the clock."""
    with alone() as beside:

        def pause(seconds: float) -> None:
            until = time.perf_counter() + seconds
            with beside():
                meanwhile()
                time.sleep(max(0.0, until - time.perf_counter()))

        return clock.measure(
            session.run,
            effort_of(settings),
            timer=session.timer,
            # A GPU is not slowed by what slows a core.
            pace=pace if runtime.runs_on == "cpu" else None,
            pause=pause,
        )


def effort_of(settings: MeasureSettings) -> clock.Effort:
    """Return how much is done for one latency."""
    return clock.Effort(settings.warmup, settings.repeats, settings.interval, settings.max_seconds)


def _artifact(folder: Path) -> Path:
    """Return what is loaded of an export: the reduced file beside it, where there is one."""
    files = [folder.parent / "int8" / name for name in ("model.xml", "model.onnx")]
    return next((file for file in files if file.is_file()), folder / "model.onnx")


def _memory_mb(
    session: Session, runtime: Runtime, settings: MeasureSettings, artifact: Path
) -> float | None:
    """Return the peak memory; None where it would take long and is not asked for."""
    if session.device_memory_mb is not None:
        return session.device_memory_mb
    if runtime.name not in memory.OPENERS:
        return memory.allocated_mb(session.run) + session.size_mb
    is_cheap = runtime.name in CHEAP and session.size_mb <= CHEAP_MB
    if not settings.measures_memory and not is_cheap:
        return None
    try:
        return memory.artifact_mb(runtime.name, artifact, settings.threads, settings.precision)
    except ExportError as error:
        if settings.measures_memory:
            raise
        logger.warning("The memory was not measured. %s", error)
        return None


def _energy_mj(session: Session, settings: MeasureSettings, meter: Meter | None) -> float | None:
    if meter is None:
        return None
    with alone():
        return energy_per_image(session.run, meter, images=settings.batch_size)


def _throughput(
    runtime: Runtime,
    prepared: _Prepared,
    settings: MeasureSettings,
    load: LoadSettings,
    found: _Found,
) -> float | None:
    """Return images per second at the batch that was asked for, by an export of that batch."""
    import torch

    from archfront.search.runtimes.parity import draw_images
    from archfront.trainers.tasks import task_named

    batch = settings.throughput_batch
    if batch is None:
        return None
    if batch == settings.batch_size:
        return batch / found.timing.p50_ms * 1e3
    architecture = prepared.architecture
    example = task_named(architecture.task).example(architecture, batch, 0)
    images = torch.split(draw_images(example, 0), batch)
    load = replace(load, folder=load.folder / f"batch-{batch}", calibration=images)
    load.folder.mkdir()
    with runtime.load(prepared.module, example, load) as session, alone():
        timing = clock.measure(session.run, THROUGHPUT_EFFORT, timer=session.timer)
        return batch / timing.p50_ms * 1e3


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


def pace_of(settings: MeasureSettings) -> Pace:
    """Return what tells whether the core is slowed."""
    return Pace(file=None if settings.pace_file is None else Path(settings.pace_file))


def latency_of(
    timing: clock.Timing,
    settings: MeasureSettings,
    *,
    version: str,
    exporter: str,
    cores: tuple[int, ...] | None,
    parity: float | None = None,
) -> Latency:
    """Return the record of a timing on this device.

    Args:
        timing: What the clock gave.
        settings: How it was measured.
        version: Of the runtime's library.
        exporter: What made the file.
        cores: That it ran on; None where not known.
        parity: As ``Latency`` has it.
    """
    return Latency(
        p50_ms=timing.p50_ms,
        p95_ms=timing.p95_ms,
        spread=timing.spread,
        repeats=timing.repeats,
        warmup=timing.warmup,
        threads=settings.threads,
        batch_size=settings.batch_size,
        runtime=settings.runtime,
        runtime_version=version,
        precision=settings.precision,
        device=fingerprint().id,
        exporter=exporter,
        is_stable=timing.is_stable,
        affinity=cores,
        interval=timing.interval,
        drift=timing.drift,
        parity=parity,
    )
