"""Writes the graph of a network: ONNX, OpenVINO, TorchScript, torch.export, and int8 of two."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from archfront.search.errors import ExportError
from archfront.search.formats.source import Source
from archfront.search.predict.openers import open_file
from archfront.search.predict.opening import Opening
from archfront.search.runtimes.exporters import EXPORTERS, export_onnx, root_reason
from archfront.search.runtimes.quantize import quantize_onnx
from archfront.search.runtimes.quiet import quiet

# Beyond this an export computes something else: networks that magnify rounding the most stay
# below (``search.runtimes.parity.MAX_TOLERANCE``).
APART = 0.1
# Boxes in pixels and scores from 0 to 1 have no common scale: in 8 bits a box moves by pixels.
PRODUCTS_ONLY = ("detection", "instance")


def write_onnx(source: Source, folder: Path) -> None:
    """Write ``model.onnx`` by the first exporter whose file computes what PyTorch does.

    Raises:
        ExportError: If none does, with the reason of each.
    """
    with TemporaryDirectory(dir=folder) as temporary:
        path = _exported(source, Path(temporary))
        shutil.copyfile(path, folder / "model.onnx")


def write_onnx_int8(source: Source, folder: Path) -> None:
    """Write ``model.onnx`` in int8, calibrated on training images.

    Raises:
        ExportError: If there is no right float32 file, or it is not quantized.
    """
    with TemporaryDirectory(dir=folder) as temporary:
        path = _exported(source, Path(temporary))
        reduced = quantize_onnx(
            path,
            source.batches(source.calibration),
            only_products=source.architecture.task in PRODUCTS_ONLY,
        )
        shutil.copyfile(reduced, folder / "model.onnx")


def write_openvino(source: Source, folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin`` in float32.

    Raises:
        ConfigError: If OpenVINO is not installed.
        ExportError: If it does not take the network.
    """
    from archfront.search.runtimes.openvino import openvino_library

    with TemporaryDirectory(dir=folder) as temporary:
        path = _exported(source, Path(temporary))
        openvino = openvino_library()
        with quiet():
            try:
                model = openvino.Core().read_model(path)
                openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
            # OpenVINO has no common class for what it does not take.
            except Exception as error:
                raise ExportError(f"OpenVINO does not take it: {root_reason(error)}") from error


def write_openvino_int8(source: Source, folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin`` in int8, calibrated on training images.

    Raises:
        ConfigError: If OpenVINO or NNCF is not installed.
        ExportError: If it is not quantized.
    """
    from archfront.search.runtimes.openvino import quantize

    with TemporaryDirectory(dir=folder) as temporary:
        path = _exported(source, Path(temporary))
        reduced = quantize(path, source.batches(source.calibration))
        for suffix in (".xml", ".bin"):
            shutil.copyfile(reduced.with_suffix(suffix), folder / f"model{suffix}")


def write_torchscript(source: Source, folder: Path) -> None:
    """Write ``model.pt`` by tracing.

    Raises:
        ExportError: If it cannot be traced.
    """
    import torch

    def trace() -> None:
        traced = torch.jit.trace(source.module, source.example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(torch.jit.freeze(traced), str(folder / "model.pt"))

    _written("TorchScript", trace)


def write_torch_export(source: Source, folder: Path) -> None:
    """Write ``model.pt2``, a graph of torch.export.

    Raises:
        ExportError: If torch.export does not take the network.
    """
    import torch

    def export() -> None:
        is_dynamic = source.input.batch is None
        shapes = ({0: torch.export.Dim("batch")},) if is_dynamic else None
        program = torch.export.export(source.module, (source.example,), dynamic_shapes=shapes)
        # Example inputs would be pickled into the file.
        program.example_inputs = None
        torch.export.save(program, folder / "model.pt2")

    _written("torch.export", export)


def _written(what: str, write: Callable[[], None]) -> None:
    with quiet():
        try:
            write()
        # What either refuses has no common class.
        except Exception as error:
            raise ExportError(f"{what} does not take it: {root_reason(error)}") from error


def _exported(source: Source, folder: Path) -> Path:
    """Return an ONNX file in float32 that computes what PyTorch does."""
    if source.onnx is not None:
        kept = folder / "float32" / "model.onnx"
        kept.parent.mkdir()
        shutil.copyfile(source.onnx, kept)
        return kept
    names = source.task.output_names
    refusals = []
    for exporter in EXPORTERS:
        try:
            path = export_onnx(
                source.module,
                source.example,
                folder,
                exporter=exporter,
                output_names=names,
                is_batch_dynamic=source.input.batch is None,
            )
            opening = Opening(path, names, 1, "fp32", source.architecture.task, is_trusted=True)
            with open_file("onnx", opening) as opened:
                difference = source.difference(opened)
        except ExportError as error:
            refusals.append(f"{exporter}: {error}")
            continue
        if difference <= APART:
            return path
        refusals.append(
            f"{exporter}: it differs from PyTorch by {difference:.2g} of the outputs' spread."
        )
    raise ExportError(f"No exporter gives a right file. {' '.join(refusals)}")
