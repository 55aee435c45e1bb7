"""One architecture to one measurement: build, perturb, export, compare, time.

Torch is imported when something is measured; the settings and the key of what is remembered
can be had without it.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from archfront.search.errors import ExportError, ParityError
from archfront.search.latency import clock
from archfront.search.latency.device import fingerprint, pinned
from archfront.search.latency.instruments import Exclusive, Instruments, SessionCosts, no_others
from archfront.search.latency.key import MeasureSettings, latency_key
from archfront.search.latency.network import MeasuredNetwork, build_network
from archfront.search.records.evaluation import Latency, Measurement
from archfront.search.runtimes import LoadSettings, Runtime, runtime_named, torch_threads
from archfront.trainers.spec import Architecture

__all__ = ["MeasureSettings", "latency_key", "measure_architecture"]


def measure_architecture(
    architecture: Architecture,
    settings: MeasureSettings,
    *,
    folder: Path,
    seed: int = 0,
    weights: Path | None = None,
    exclusive: Exclusive = no_others,
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
        exclusive: Holds other work off within its block, in which the network is timed.

    Raises:
        BuildError: If the network cannot be built.
        WeightsError: If the trained weights do not fit it.
        ConfigError: If the task, the runtime or its precision is unknown or not installed, a
            core does not exist, or the energy cannot be read.
        ExportError: If no exporter gives a file that the runtime takes.
        ParityError: If one does, and it does not compute what eager computes.
    """
    started = time.perf_counter()
    instruments = Instruments.of(_runtime(settings), settings, exclusive)
    # On more threads than are free, a small network takes seconds where it needs milliseconds.
    # A runtime's threads inherit the cores when they start, which is when it loads.
    with (
        pinned(settings.affinity) as cores,
        torch_threads(settings.threads),
        TemporaryDirectory(dir=folder) as temporary,
    ):
        with exclusive():
            instruments.pace.read()  # seconds before the timing, another look at the core's pace
        network = build_network(architecture, settings.batch_size, seed=seed, weights=weights)
        load = _load_settings(network, instruments, Path(temporary))
        # A GPU's memory is counted with that of others, and what they queued is still computed.
        with exclusive() if instruments.runtime.runs_on == "cuda" else nullcontext():
            found = _measure_export(network, instruments, load)
        throughput_ips = _throughput(network, instruments, load, found)
    measurement = _measurement(network, instruments, found, cores)
    return replace(
        measurement, throughput_ips=throughput_ips, seconds=time.perf_counter() - started
    )


@dataclass(frozen=True)
class _Found:
    """What measuring a good export gave."""

    exporter: str
    parity: float
    size_mb: float
    costs: SessionCosts


def _runtime(settings: MeasureSettings) -> Runtime:
    runtime = runtime_named(settings.runtime)
    runtime.check(settings.precision)
    return runtime


def _load_settings(
    network: MeasuredNetwork, instruments: Instruments, folder: Path
) -> LoadSettings:
    return LoadSettings(
        folder=folder,
        exporter=instruments.runtime.exporters[0],
        output_names=network.output_names,
        threads=instruments.settings.threads,
        precision=instruments.settings.precision,
        calibration=network.batches,
        compared=network.compared,
        aligned=network.aligned,
    )


def _measure_export(
    network: MeasuredNetwork, instruments: Instruments, load: LoadSettings
) -> _Found:
    """Return what the first good export costs."""
    from archfront.search.runtimes.parity import check_parity

    runtime, module, example = instruments.runtime, network.module, network.example
    refusals: dict[str, ExportError | ParityError] = {}
    for exporter in runtime.exporters:
        try:
            with runtime.load(module, example, replace(load, exporter=exporter)) as session:
                parity = check_parity(
                    module,
                    session,
                    network.batches,
                    precision=instruments.settings.precision,
                    compared=network.compared,
                    aligned=network.aligned,
                )
                costs = instruments.costs(session, _artifact(load.folder / exporter))
                return _Found(exporter, parity, session.size_mb, costs)
        except (ExportError, ParityError) as error:
            refusals[exporter] = error
    raise _joined(network.architecture, refusals)


def _artifact(folder: Path) -> Path:
    """Return the file that is loaded of an export: the reduced one beside it, if there is one."""
    files = [folder.parent / "int8" / name for name in ("model.xml", "model.onnx")]
    return next((file for file in files if file.is_file()), folder / "model.onnx")


def _throughput(
    network: MeasuredNetwork, instruments: Instruments, load: LoadSettings, found: _Found
) -> float | None:
    """Return images per second at the batch that was asked for, by an export of that batch."""
    import torch

    from archfront.search.runtimes.perturb import draw_images
    from archfront.trainers.tasks import task_named

    batch, architecture = instruments.settings.throughput_batch, network.architecture
    if batch is None:
        return None
    if batch == instruments.settings.batch_size:
        return batch / found.costs.timing.p50_ms * 1e3
    example = task_named(architecture.task).example(architecture, batch, 0)
    images = torch.split(draw_images(example, 0), batch)
    folder = load.folder / f"batch-{batch}"
    folder.mkdir()
    load = replace(load, folder=folder, exporter=found.exporter, calibration=images)
    with instruments.runtime.load(network.module, example, load) as session:
        return instruments.throughput_ips(session, batch)


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


def _measurement(
    network: MeasuredNetwork,
    instruments: Instruments,
    found: _Found,
    cores: tuple[int, ...] | None,
) -> Measurement:
    """Return the record of a network's costs, without its throughput."""
    latency = latency_of(
        found.costs.timing,
        instruments.settings,
        version=instruments.runtime.version(),
        exporter=found.exporter,
        cores=cores,
        parity=found.parity,
    )
    return Measurement(
        latency=latency,
        params_m=network.costs.params / 1e6,
        macs_g=network.costs.macs / 1e9,
        size_mb=found.size_mb,
        seconds=0.0,
        memory_mb=found.costs.memory_mb,
        throughput_batch=instruments.settings.throughput_batch,
        energy_mj=found.costs.energy_mj,
    )


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
        timing: The timing of a run.
        settings: How it was measured.
        version: Version of the runtime's library.
        exporter: Name of the exporter that wrote the file.
        cores: Cores that it ran on; None if not known.
        parity: Difference from eager PyTorch, like ``Latency.parity``.
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
