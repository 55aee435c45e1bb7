"""ONNX Runtime, on the processor and on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from archfront.search.errors import ExportError
from archfront.search.runtimes.exporters import INPUT_NAME, export_onnx, root_reason
from archfront.search.runtimes.installed import installed_version, require_precision
from archfront.search.runtimes.protocol import LoadSettings, RunsOn, Session

if TYPE_CHECKING:
    import onnxruntime
    import torch
    from torch import nn


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime on the processor; int8 is quantized after the export."""

    name: str = "onnxruntime"
    runs_on: RunsOn = "cpu"
    precisions: tuple[str, ...] = ("fp32", "int8")
    exporters: tuple[str, ...] = ("torchscript", "dynamo")

    def version(self) -> str:
        """Return ONNX Runtime's version, of its package for GPUs where only that is there."""
        return installed_version("onnxruntime")

    def check(self, precision: str = "fp32") -> None:
        """See that it is installed."""
        require_precision(self.name, precision, self.precisions)
        self.version()

    def load(self, module: nn.Module, example: torch.Tensor, settings: LoadSettings) -> Session:
        """Return a session on the exported file."""
        self.check(settings.precision)
        path = export_onnx(
            module,
            example,
            settings.folder,
            exporter=settings.exporter,
            output_names=settings.output_names,
        )
        session = _opened(path, example, settings)
        if settings.precision == "fp32":
            return session
        from archfront.search.runtimes.parity import check_parity
        from archfront.search.runtimes.quantize import quantize_onnx

        if not settings.calibration:
            raise ValueError("int8 needs images: settings.calibration is empty.")
        with session:
            check_parity(
                module,
                session,
                settings.calibration,
                compared=settings.compared,
                aligned=settings.aligned,
            )
        return _opened(quantize_onnx(path, settings.calibration), example, settings)


def open_onnx(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session on the processor that prints nothing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning take the core from each other when another process needs one:
    # resnet18 on 2 threads beside one busy core 60 ms, without spinning 38.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _opened(path: Path, example: torch.Tensor, settings: LoadSettings) -> OnnxSession:
    try:
        inference = open_onnx(path, settings.threads)
    # ONNX Runtime's exceptions have no common class; what it refuses, another export may do.
    except Exception as error:
        raise ExportError(f"ONNX Runtime does not take it: {root_reason(error)}") from error
    return OnnxSession(inference, path, example, settings.output_names)


class OnnxSession:
    """A session on an ONNX file, alone in its folder except for its own weights."""

    def __init__(
        self,
        inference: onnxruntime.InferenceSession,
        path: Path,
        example: torch.Tensor,
        output_names: Sequence[str],
    ) -> None:
        self._inference: onnxruntime.InferenceSession | None = inference
        self._output_names = list(output_names)
        self._feed: dict[str, Any] = {INPUT_NAME: example.numpy()}
        # Weights of over 2 GB lie in a second file beside the first.
        self.size_mb = sum(file.stat().st_size for file in path.parent.iterdir()) / 1e6

    @property
    def timer(self) -> Callable[[], float] | None:
        """Return None: a clock around ``run`` measures the same."""
        return None

    @property
    def device_memory_mb(self) -> float | None:
        """Return None: it runs on the processor."""
        return None

    def run(self) -> None:
        """Predict the example once."""
        assert self._inference is not None
        self._inference.run(self._output_names, self._feed)

    def outputs(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the outputs for a batch of the example's shape."""
        assert self._inference is not None
        try:
            found = self._inference.run(self._output_names, {INPUT_NAME: images})
        # As in loading: what fails when it runs, another export may do.
        except Exception as error:
            raise ExportError(f"ONNX Runtime does not run it: {root_reason(error)}") from error
        arrays = (np.asarray(output, dtype=np.float32) for output in found)
        return dict(zip(self._output_names, arrays, strict=True))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Free the network."""
        self._inference = None
