"""Runtimes by name. The names are known without importing any of their libraries.

::

    protocol.py       the contract: Runtime, Session, LoadedModel, LoadSettings
    installed.py      errors for what is missing
    eager.py          PyTorch as it is; compiled.py: through TorchInductor
    perturb.py        weights that exports are compared on; parity.py: that comparison
    torch_session.py  what both give, on the processor or a GPU
    onnx.py           ONNX Runtime; onnx_cuda.py: on a GPU; quantize.py: its int8
    openvino.py       OpenVINO, its bfloat16 and int8
"""

from __future__ import annotations

from archfront.search.errors import unknown
from archfront.search.runtimes.compiled import CompiledRuntime
from archfront.search.runtimes.eager import EagerRuntime
from archfront.search.runtimes.installed import installed_version
from archfront.search.runtimes.onnx import OnnxRuntime, open_onnx
from archfront.search.runtimes.onnx_cuda import OnnxCudaRuntime
from archfront.search.runtimes.openvino import OpenVinoRuntime
from archfront.search.runtimes.protocol import LoadedModel, LoadSettings, Runtime, Session
from archfront.search.runtimes.torch_session import torch_threads

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "LoadSettings",
    "LoadedModel",
    "Runtime",
    "Session",
    "installed_version",
    "open_onnx",
    "runtime_named",
    "torch_threads",
]

# float32 is exact on a GPU too: TF32 is off.
ON_CUDA = ("fp32", "fp16", "bf16")

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        EagerRuntime(),
        CompiledRuntime(),
        OnnxRuntime(),
        OpenVinoRuntime(),
        EagerRuntime("eager_cuda", "cuda", ON_CUDA),
        CompiledRuntime("compiled_cuda", "cuda", ON_CUDA),
        OnnxCudaRuntime(),
    )
}
PRECISIONS = tuple(dict.fromkeys(p for runtime in RUNTIMES.values() for p in runtime.precisions))


def runtime_named(name: str) -> Runtime:
    """Return the runtime of this name.

    Raises:
        ConfigError: If there is no such runtime.
    """
    if name not in RUNTIMES:
        raise unknown("runtime", name, RUNTIMES)
    return RUNTIMES[name]
