"""PyTorch through ``torch.compile``: TorchInductor makes C++ or Triton code of the network."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from shutil import which
from typing import TYPE_CHECKING

from archfront.search.errors import ConfigError
from archfront.search.runtimes.installed import installed_version, require_gpu, require_precision
from archfront.search.runtimes.protocol import LoadSettings, RunsOn, Session
from archfront.search.runtimes.quiet import quiet

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class CompiledRuntime:
    """``torch.compile`` in its default mode, for the example's shape only."""

    name: str = "compiled"
    runs_on: RunsOn = "cpu"
    precisions: tuple[str, ...] = ("fp32", "bf16")
    exporters: tuple[str, ...] = ("inductor",)

    def version(self) -> str:
        """Return torch's version."""
        return installed_version("torch")

    def check(self, precision: str = "fp32") -> None:
        """See that the C++ compiler is there, or the GPU where one is needed."""
        require_precision(self.name, precision, self.precisions)
        if self.runs_on == "cuda":
            require_gpu(self.name, "compiled")
        else:
            _require_compiler()

    def load(self, module: nn.Module, example: torch.Tensor, settings: LoadSettings) -> Session:
        """Return the network compiled: that takes seconds to minutes, and is done here."""
        import torch

        from archfront.search.runtimes.torch_session import moved, session_on, torch_threads

        self.check(settings.precision)
        torch.compiler.reset()
        network = moved(module, self.runs_on, settings.precision)
        compiled = torch.compile(network, dynamic=False)
        session = session_on(self.runs_on)(network, compiled, example, settings, "TorchInductor")
        # What is compiled holds for this number of threads, and for this state of autograd.
        with torch_threads(settings.threads), _without_workers(), quiet():
            session.outputs(example.numpy())
        session.during.append(_compiled_once)
        return session


def _require_compiler() -> None:
    """Raise a ConfigError if TorchInductor would find no C++ compiler."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if which(compiler) is None:
        raise ConfigError(
            f"The runtime 'compiled' needs a C++ compiler, and there is no {compiler!r}. "
            "Install g++, or set CXX to another; or use hardware.runtime=eager."
        )


@contextmanager
def _without_workers() -> Iterator[None]:
    """Compile in this process: workers would outlive it and take cores from what is timed."""
    from torch._inductor import config

    with config.patch(compile_threads=1):
        yield


@contextmanager
def _compiled_once() -> Iterator[None]:
    """Refuse to compile again within the timed part, and forget what was compiled after it."""
    import torch

    try:
        with torch.compiler.set_stance("fail_on_recompile"):
            yield
    finally:
        torch.compiler.reset()
