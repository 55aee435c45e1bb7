"""Statistics of batch norm for a network that is evaluated in the middle of its schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def trained_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """Return the batch norms that follow the training batches, by path; frozen ones do not.

    The network is left in evaluation mode.
    """
    model.train()
    found = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.training and module.running_mean is not None
    }
    model.eval()
    return found


def buffers_of(norms: dict[str, _BatchNorm]) -> dict[str, Tensor]:
    """Return copies of the statistics by their names in the network's state dict."""
    return {
        f"{path}.{name}": value.clone()
        for path, norm in norms.items()
        for name, value in norm.named_buffers(recurse=False)
    }


@torch.no_grad()
def estimate_norms(
    norms: Iterable[_BatchNorm], batches: Iterable[Tensor], predict: Callable[[Tensor], object]
) -> None:
    """Put the plain averages over some batches in place of the running statistics.

    While the learning rate is high, the weights move faster than running averages follow, and the
    network is evaluated with statistics of weights that it no longer has. Source: Wu and Johnson
    2021 (Rethinking "Batch" in BatchNorm), section 3.1, precise statistics.

    Args:
        norms: Of a network in evaluation mode, which all its other layers keep.
        batches: Images as the network sees them in training.
        predict: Runs the network.
    """
    chosen = list(norms)
    momenta = [norm.momentum for norm in chosen]
    try:
        for norm in chosen:
            norm.reset_running_stats()
            norm.momentum = None  # then torch averages all batches alike
            norm.training = True
        for images in batches:
            predict(images)
    finally:
        for norm, momentum in zip(chosen, momenta, strict=True):
            norm.momentum = momentum
            norm.training = False
