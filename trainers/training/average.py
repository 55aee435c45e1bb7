"""The running average of a network's weights, which is evaluated in its place."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average(nn.Module):
    """A copy of a network whose weights follow those of the trained one.

    Source: Tarvainen and Valpola 2017 (Mean teachers), section 2. The share that is kept begins
    low, so that the average of a short training is not of its first weights.

    Args:
        network: What is trained; the average begins as it is.
        decay: Most of the average that a step keeps, in (0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, trained: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 0, and the statistics of the norms."""
        decay = min(self._decay, (1 + step) / (10 + step))
        pairs = list(zip(_tensors(self.network), _tensors(trained), strict=True))
        mixed = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([mine for mine, _ in mixed], [new for _, new in mixed], 1 - decay)
        for mine, new in pairs:
            if not mine.is_floating_point():
                mine.copy_(new)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
