"""A network and a session whose parity tests judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import timm
import torch
from torch import nn

Function = Callable[[torch.Tensor], Sequence[torch.Tensor]]


class Probabilities(nn.Module):
    """A timm network as it is deployed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = timm.create_model(name, num_classes=10)
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.model(images).softmax(dim=1),)


class FixedSession:
    """A session that gives what a function of the images gives."""

    size_mb = 0.0
    timer = None
    device_memory_mb = None

    def __init__(self, function: Function) -> None:
        self.function = function

    def run(self) -> None:
        """Do nothing."""

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            found = self.function(torch.from_numpy(images))
            return {str(i): output.numpy().copy() for i, output in enumerate(found)}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing."""
