"""ONNX Runtime on an NVIDIA GPU, timed by events on the GPU's own clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from archfront.search.errors import ConfigError, ExportError
from archfront.search.runtimes.exporters import INPUT_NAME, export_onnx, root_reason
from archfront.search.runtimes.installed import (
    installed_version,
    require_gpu,
    require_precision,
)
from archfront.search.runtimes.protocol import LoadSettings, RunsOn, Session
from archfront.search.runtimes.quiet import quiet

if TYPE_CHECKING:
    import onnxruntime
    import torch
    from torch import nn

PROVIDER = "CUDAExecutionProvider"


@dataclass(frozen=True)
class OnnxCudaRuntime:
    """ONNX Runtime's CUDA provider; float16 is made of the exported file."""

    name: str = "onnxruntime_cuda"
    runs_on: RunsOn = "cuda"
    precisions: tuple[str, ...] = ("fp32", "fp16")
    exporters: tuple[str, ...] = ("torchscript", "dynamo")

    def version(self) -> str:
        """Return the version of ONNX Runtime's package for GPUs."""
        return installed_version("onnxruntime-gpu", "cuda")

    def check(self, precision: str = "fp32") -> None:
        """See that the package for GPUs is the one that is imported, and that there is a GPU."""
        require_precision(self.name, precision, self.precisions)
        self.version()
        require_gpu(self.name, "onnxruntime")
        import onnxruntime

        if PROVIDER not in onnxruntime.get_available_providers():
            raise _hidden("the package for the CPU lies over it")

    def load(self, module: nn.Module, example: torch.Tensor, settings: LoadSettings) -> Session:
        """Return a session on the exported file, all of it on the GPU."""
        self.check(settings.precision)
        path = export_onnx(
            module,
            example,
            settings.folder,
            exporter=settings.exporter,
            output_names=settings.output_names,
        )
        if settings.precision == "fp32":
            return _opened(path, example, settings)
        from archfront.search.runtimes.parity import check_parity

        if settings.calibration:
            with _opened(path, example, settings) as session:
                check_parity(
                    module,
                    session,
                    settings.calibration,
                    compared=settings.compared,
                    aligned=settings.aligned,
                )
        return _opened(to_float16(path), example, settings)


def to_float16(path: Path) -> Path:
    """Write a network in float16 beside an ONNX file, its inputs and outputs in float32.

    Raises:
        ExportError: If the conversion does not take it.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    target = path.parent.parent / "fp16" / "model.onnx"
    target.parent.mkdir(exist_ok=True)
    with quiet():
        try:
            onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), target)
        # What it does not take has no common class.
        except Exception as error:
            raise ExportError(f"It does not turn to float16: {root_reason(error)}") from error
    return target


def _opened(path: Path, example: torch.Tensor, settings: LoadSettings) -> _OnnxCudaSession:
    import onnxruntime
    import torch

    free_before, _ = torch.cuda.mem_get_info()
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.log_severity_level = 4
    # TF32 off, as for PyTorch: float32 is what it says.
    on_gpu = {"user_compute_stream": str(stream.cuda_stream), "use_tf32": "0"}
    with quiet():
        # CUDA and cuDNN come with torch.
        onnxruntime.preload_dlls()
        try:
            inference = onnxruntime.InferenceSession(
                path, options, providers=[(PROVIDER, on_gpu), "CPUExecutionProvider"]
            )
        except Exception as error:
            raise ExportError(f"ONNX Runtime does not take it: {root_reason(error)}") from error
    if PROVIDER not in inference.get_providers():
        raise _hidden("its CUDA libraries cannot be loaded, as where their versions differ")
    size_mb = sum(file.stat().st_size for file in path.parent.iterdir()) / 1e6
    return _OnnxCudaSession(
        inference, example, settings.output_names, size_mb, stream, free_before
    )


class _OnnxCudaSession:
    def __init__(
        self,
        inference: onnxruntime.InferenceSession,
        example: torch.Tensor,
        output_names: Sequence[str],
        size_mb: float,
        stream: torch.cuda.Stream,
        free_before: int,
    ) -> None:
        import onnxruntime

        self._inference: onnxruntime.InferenceSession | None = inference
        self._output_names = list(output_names)
        self._stream = stream
        self._free_before = free_before
        self.size_mb = size_mb
        images = onnxruntime.OrtValue.ortvalue_from_numpy(example.numpy(), "cuda", 0)
        self._binding: Any = inference.io_binding()
        self._binding.bind_ortvalue_input(INPUT_NAME, images)
        for name in self._output_names:
            self._binding.bind_output(name, "cuda")

    @property
    def timer(self) -> Callable[[], float] | None:
        return self._timed

    @property
    def device_memory_mb(self) -> float | None:
        """Return the GPU memory taken since before; ONNX Runtime gives nothing back."""
        import torch

        free, _ = torch.cuda.mem_get_info()
        return max(self._free_before - free, 0) / 1e6

    def run(self) -> None:
        assert self._inference is not None
        self._inference.run_with_iobinding(self._binding)

    def _timed(self) -> float:
        from archfront.search.runtimes.torch_session import cuda_event

        start, end = cuda_event(), cuda_event()
        start.record(self._stream)
        self.run()
        end.record(self._stream)
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3

    def outputs(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        assert self._inference is not None
        try:
            found = self._inference.run(self._output_names, {INPUT_NAME: images})
        # As in loading: what fails when it runs, another export may do.
        except Exception as error:
            raise ExportError(f"ONNX Runtime does not run it: {root_reason(error)}") from error
        arrays = (np.asarray(output, dtype=np.float32) for output in found)
        return dict(zip(self._output_names, arrays, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._binding = self._inference = None


def _hidden(reason: str) -> ConfigError:
    return ConfigError(
        f"onnxruntime-gpu is installed, but cannot use the GPU: {reason}. Run: "
        "pip uninstall onnxruntime onnxruntime-gpu, then pip install 'archfront[cuda]', then "
        "pip install --force-reinstall --no-deps onnxruntime-gpu."
    )
