"""PyTorch as it is: nothing is exported, the measured thing is the module itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archfront.search.runtimes.installed import installed_version, require_gpu, require_precision
from archfront.search.runtimes.protocol import LoadSettings, RunsOn, Session

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class EagerRuntime:
    """PyTorch, operation by operation; reduced precisions are of weights and activations."""

    name: str = "eager"
    runs_on: RunsOn = "cpu"
    precisions: tuple[str, ...] = ("fp32", "bf16")
    exporters: tuple[str, ...] = ("none",)

    def version(self) -> str:
        """Return torch's version."""
        return installed_version("torch")

    def check(self, precision: str = "fp32") -> None:
        """See that the GPU is there, where one is needed."""
        require_precision(self.name, precision, self.precisions)
        if self.runs_on == "cuda":
            require_gpu(self.name, "eager")

    def load(self, module: nn.Module, example: torch.Tensor, settings: LoadSettings) -> Session:
        """Return the module in its precision, on its device."""
        from archfront.search.runtimes.torch_session import moved, session_on

        self.check(settings.precision)
        network = moved(module, self.runs_on, settings.precision)
        what = f"PyTorch in {settings.precision}"
        session = session_on(self.runs_on)(network, network, example, settings, what)
        if network is not module:
            session.outputs(example.numpy())  # some networks make float32 tensors as they run
        return session
