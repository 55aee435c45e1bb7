"""OpenVINO on the processor: float32, bfloat16 where the processor has it, and int8 by NNCF."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from archfront.search.errors import ConfigError, ExportError
from archfront.search.runtimes.exporters import export_onnx, root_reason
from archfront.search.runtimes.installed import installed_version, require_precision
from archfront.search.runtimes.protocol import LoadSettings, RunsOn, Session
from archfront.search.runtimes.quiet import quiet

if TYPE_CHECKING:
    from types import ModuleType

    import torch
    from torch import nn

EXTRA = "openvino"
# What the operations that are not int8 compute in: the same on every processor, where OpenVINO
# would choose bfloat16 by itself on those that have it.
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


@dataclass(frozen=True)
class OpenVinoRuntime:
    """OpenVINO on the processor."""

    name: str = "openvino"
    runs_on: RunsOn = "cpu"
    # float16 is computed as float32 or, where the processor has it, was slower than that:
    # resnet18 at 128 px 10.3 ms against 7.0 (and bfloat16 1.5).
    precisions: tuple[str, ...] = ("fp32", "bf16", "int8")
    exporters: tuple[str, ...] = ("torchscript", "dynamo")

    def version(self) -> str:
        """Return OpenVINO's version."""
        return installed_version("openvino", EXTRA)

    def check(self, precision: str = "fp32") -> None:
        """See that it is installed, with NNCF for int8, and bfloat16 is no emulation."""
        require_precision(self.name, precision, self.precisions)
        self.version()
        if precision == "int8":
            installed_version("nncf", EXTRA)
        if precision == "bf16" and "BF16" not in _capabilities():
            raise ConfigError(
                "The runtime 'openvino' has no bf16 on this processor, which cannot compute in it "
                "(AVX512_BF16 or AMX_BF16). Use hardware.precision=fp32 or int8."
            )

    def load(self, module: nn.Module, example: torch.Tensor, settings: LoadSettings) -> Session:
        """Return the exported file compiled for this processor."""
        self.check(settings.precision)
        path = export_onnx(
            module,
            example,
            settings.folder,
            exporter=settings.exporter,
            output_names=settings.output_names,
        )
        if settings.precision == "fp32":
            return _compiled(path, example, settings)
        from archfront.search.runtimes.parity import check_parity

        if settings.calibration:
            with _compiled(path, example, settings, precision="fp32") as session:
                check_parity(
                    module,
                    session,
                    settings.calibration,
                    compared=settings.compared,
                    aligned=settings.aligned,
                )
        if settings.precision == "int8":
            path = quantize(path, settings.calibration)
        return _compiled(path, example, settings)


def quantize(path: Path, calibration: Sequence[torch.Tensor]) -> Path:
    """Write a network in int8 beside an ONNX file, as OpenVINO's own format.

    Raises:
        ExportError: If NNCF does not take it.
        ValueError: If there are no images.
    """
    if not calibration:
        raise ValueError("int8 needs images: settings.calibration is empty.")
    openvino, nncf = openvino_library(), _nncf()
    target = path.parent.parent / "int8" / "model.xml"
    with quiet(), _without_progress():
        try:
            model = openvino.Core().read_model(path)
            model = nncf.quantize(
                model,
                nncf.Dataset([batch.numpy() for batch in calibration]),
                subset_size=len(calibration),
                # Products of activations with activations stay as they are, and activations get
                # a zero of their own: as fast in convolutional networks, and closer.
                model_type=nncf.ModelType.TRANSFORMER,
                # NNCF 3.4's SmoothQuant breaks networks with several blocks of attention:
                # swin_tiny and pvt_v2_b0 give outputs that have nothing to do with eager's.
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
                        convolution=-1, matmul=-1
                    )
                ),
            )
            openvino.save_model(model, target, compress_to_fp16=False)
        # Neither library has a common class for what it does not take.
        except Exception as error:
            raise ExportError(f"NNCF does not take it: {root_reason(error)}") from error
    return target


def open_openvino(path: Path, threads: int, precision: str) -> Any:
    """Return a file compiled for this processor.

    Raises:
        ExportError: If OpenVINO does not take it.
    """
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        # Pinned threads would all sit on the first cores, whatever else runs there.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
    }
    openvino = openvino_library()
    with quiet():
        try:
            return openvino.Core().compile_model(path, "CPU", options)
        except Exception as error:
            raise ExportError(f"OpenVINO does not take it: {root_reason(error)}") from error


def _compiled(
    path: Path, example: torch.Tensor, settings: LoadSettings, precision: str | None = None
) -> _OpenVinoSession:
    network = open_openvino(path, settings.threads, precision or settings.precision)
    request = network.create_infer_request()
    request.set_input_tensor(openvino_library().Tensor(example.numpy(), shared_memory=False))
    size_mb = sum(file.stat().st_size for file in path.parent.iterdir()) / 1e6
    return _OpenVinoSession(request, settings.output_names, size_mb)


class _OpenVinoSession:
    def __init__(self, request: Any, output_names: Sequence[str], size_mb: float) -> None:
        self._request = request
        self._output_names = output_names
        self.size_mb = size_mb

    @property
    def timer(self) -> Callable[[], float] | None:
        return None

    @property
    def device_memory_mb(self) -> float | None:
        return None

    def run(self) -> None:
        self._request.infer(share_outputs=True)

    def outputs(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        example = np.array(self._request.get_input_tensor().data)
        try:
            self._request.infer([images])
        except Exception as error:
            raise ExportError(f"OpenVINO does not run it: {root_reason(error)}") from error
        tensors = {name: self._request.get_tensor(name) for name in self._output_names}
        found = {name: np.array(tensor.data, np.float32) for name, tensor in tensors.items()}
        self._request.get_input_tensor().data[:] = example
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._request = None


def openvino_library() -> ModuleType:
    """Return OpenVINO, imported without its telemetry."""
    _turn_telemetry_off()
    return import_module("openvino")


def _nncf() -> ModuleType:
    _turn_telemetry_off()
    with quiet():
        return import_module("nncf")


@contextmanager
def _without_progress() -> Iterator[None]:
    """Hide the bars that NNCF draws on rich's shared console, which is not ours."""
    import rich

    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def _turn_telemetry_off() -> None:
    """Have OpenVINO and NNCF find no telemetry: both would tell a server that they are used."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _capabilities() -> Sequence[str]:
    core = openvino_library().Core()
    found: Sequence[str] = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found
