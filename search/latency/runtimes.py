"""What loads and runs a network, by name. The names are known without importing any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from search.errors import ConfigError, ExportError, unknown
from search.latency.export import INPUT_NAME, export_onnx, root_reason

if TYPE_CHECKING:
    from types import TracebackType

    import onnxruntime
    import torch
    from torch import nn


@dataclass(frozen=True)
class LoadSettings:
    """How a network is loaded.

    Attributes:
        folder: Where the artifact is written; the caller removes it.
        exporter: One of the runtime's ``exporters``.
        output_names: Names of the network's outputs, in their order.
        threads: Intra-op threads.
        precision: One of the runtime's ``precisions``.
    """

    folder: Path
    exporter: str
    output_names: tuple[str, ...]
    threads: int = 1
    precision: str = "fp32"


class Session(Protocol):
    """A loaded network, in a ``with`` block; what it changed in the process is put back after.

    Attributes:
        size_mb: Size of the artifact in 10^6 bytes.
    """

    size_mb: float

    def run(self) -> None:
        """Predict the example once; return when that is done."""

    def outputs(self, images: torch.Tensor) -> list[np.ndarray]:
        """Return the outputs for a batch of the example's shape, in their order."""

    def __enter__(self) -> Self:
        """Make the session ready to run."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free what it holds."""


class Runtime(Protocol):
    """A library that runs networks.

    Attributes:
        name: Its key in ``RUNTIMES``.
        exporters: What makes its artifact, the one to try first in front.
        precisions: Numeric precisions that it has.
    """

    @property
    def name(self) -> str:
        """Return its key in ``RUNTIMES``."""

    @property
    def exporters(self) -> tuple[str, ...]:
        """Return what makes its artifact, the one to try first in front."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return the numeric precisions that it has."""

    def version(self) -> str:
        """Return the version of the library, without importing it.

        Raises:
            ConfigError: If the library is not installed.
        """

    def load(self, module: nn.Module, example: torch.Tensor, settings: LoadSettings) -> Session:
        """Return the network ready to run.

        Args:
            module: In evaluation mode; takes ``example`` and gives a tuple of tensors.
            example: Images ``(N, C, H, W)``; batch and size are fixed to theirs.
            settings: How it is loaded.

        Raises:
            ExportError: If the exporter or the runtime does not take the network.
        """


@dataclass(frozen=True)
class EagerRuntime:
    """PyTorch as it is: nothing is exported, the measured thing is the module itself."""

    name: str = "eager"
    exporters: tuple[str, ...] = ("none",)
    precisions: tuple[str, ...] = ("fp32",)

    def version(self) -> str:
        """Return torch's version."""
        return installed_version("torch")

    def load(self, module: nn.Module, example: torch.Tensor, settings: LoadSettings) -> Session:
        """Return the module with the number of threads."""
        return _EagerSession(module, example, settings.threads)


class _EagerSession:
    def __init__(self, module: nn.Module, example: torch.Tensor, threads: int) -> None:
        self._module = module
        self._example = example
        self._threads = torch_threads(threads)
        state = module.state_dict().values()
        self.size_mb = sum(tensor.numel() * tensor.element_size() for tensor in state) / 1e6

    def run(self) -> None:
        import torch

        with torch.inference_mode():
            self._module(self._example)

    def outputs(self, images: torch.Tensor) -> list[np.ndarray]:
        import torch

        with torch.inference_mode():
            return [output.numpy() for output in self._module(images)]

    def __enter__(self) -> Self:
        self._threads.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._threads.__exit__(None, None, None)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run torch on so many intra-op threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime on the processor."""

    name: str = "onnxruntime"
    exporters: tuple[str, ...] = ("torchscript", "dynamo")
    precisions: tuple[str, ...] = ("fp32",)

    def version(self) -> str:
        """Return ONNX Runtime's version."""
        return installed_version("onnxruntime")

    def load(self, module: nn.Module, example: torch.Tensor, settings: LoadSettings) -> Session:
        """Return a session on the exported file."""
        self.version()
        path = export_onnx(
            module,
            example,
            settings.folder,
            exporter=settings.exporter,
            output_names=settings.output_names,
        )
        try:
            inference = open_onnx(path, settings.threads)
        # ONNX Runtime's exceptions have no common class; what it refuses, another export may do.
        except Exception as error:
            raise ExportError(f"ONNX Runtime does not take it: {root_reason(error)}") from error
        return _OnnxSession(inference, path, example, settings.output_names)


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


class _OnnxSession:
    def __init__(
        self,
        inference: onnxruntime.InferenceSession,
        path: Path,
        example: torch.Tensor,
        output_names: Sequence[str],
    ) -> None:
        self._inference: onnxruntime.InferenceSession | None = inference
        self._output_names = list(output_names)
        self._feed = {INPUT_NAME: example.numpy()}
        # Weights of over 2 GB lie in a second file beside the first.
        self.size_mb = sum(file.stat().st_size for file in path.parent.iterdir()) / 1e6

    def run(self) -> None:
        assert self._inference is not None
        self._inference.run(self._output_names, self._feed)

    def outputs(self, images: torch.Tensor) -> list[np.ndarray]:
        assert self._inference is not None
        try:
            found = self._inference.run(self._output_names, {INPUT_NAME: images.numpy()})
        # As in loading: what fails when it runs, another export may do.
        except Exception as error:
            raise ExportError(f"ONNX Runtime does not run it: {root_reason(error)}") from error
        return [np.asarray(output) for output in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._inference = None


def installed_version(package: str, extra: str | None = None) -> str:
    """Return the version of an installed package, without importing it.

    Args:
        package: Name of the distribution.
        extra: The extra of archfront that installs it; None if archfront itself does.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        what = f"'archfront[{extra}]'" if extra else package
        raise ConfigError(f"{package} is not installed: pip install {what}.") from None


def runtime_named(name: str) -> Runtime:
    """Return the runtime of this name.

    Raises:
        ConfigError: If there is no such runtime.
    """
    if name not in RUNTIMES:
        raise unknown("runtime", name, RUNTIMES)
    return RUNTIMES[name]


RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime for runtime in (EagerRuntime(), OnnxRuntime())
}
