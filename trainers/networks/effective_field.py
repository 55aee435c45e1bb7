"""Effective receptive fields: where in an image most of a feature map's value comes from.

A value is computed from all of its receptive field, but hardly depends on the outer parts of it.
The gradient of a value in the middle of a map tells on which pixels the value depends.
Source: Luo, Li, Urtasun and Zemel 2016 (Understanding the Effective Receptive Field in Deep
Convolutional Neural Networks), section 2. They count the pixels whose gradient is above 4.55 % of
that in the center; of a Gaussian these pixels have 95.45 % of it in sum. The sum is taken here,
since it depends less on the one pixel in the center.

Means over all positions, as of squeeze and excitation and of group norm, count as constants, as in
``receptive_field.py``: every pixel has a little part in them, which adds up over the image.

Weights are drawn, not learned: fields grow in training, but networks keep their order in most
cases (their section 4), and drawn weights need no download.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Share of the gradient inside of a field: of a Gaussian, what is above 4.55 % of its center.
INSIDE = 0.9545
N_IMAGES = 2
# Scales up to this are those of branches that are shut when training begins.
SHUT = 0.1


def effective_fields(network: nn.Module, input_size: int, *, seed: int = 0) -> list[float]:
    """Return the side of the effective field of each feature map, in pixels.

    The network is of no other use afterwards: branches that are shut at first, as by a scale of
    zero, are opened, and norms have other statistics.

    Args:
        network: Gives feature maps ``(N, C, H, W)``; on the CPU, with drawn weights.
        input_size: Side of the image in pixels.
        seed: Seed of the images, and of weights that are drawn again.

    Returns:
        A side for each map, at most that of the image.
    """
    generator = torch.Generator().manual_seed(seed)
    _open_branches(network, generator)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    images = torch.randn(N_IMAGES, 3, input_size, input_size, generator=generator)
    _set_norms(network, images)
    images.requires_grad_(True)
    with _ConstantMeans():
        maps: list[torch.Tensor] = network(images)
    return [
        _side(images, level, generator, keep=number < len(maps))
        for number, level in enumerate(maps, 1)
    ]


class _ConstantMeans(TorchFunctionMode):
    """Lets no gradient through means over all positions of a map."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a function, whose result is a constant where it is such a mean."""
        kwargs = kwargs or {}
        if func is functional.group_norm:
            return _group_norm(*args, **kwargs)
        result = func(*args, **kwargs)
        if func in MEANS and args and args[0].ndim == 4:
            dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
            is_over_all = isinstance(dims, tuple | list) and {d % 4 for d in dims} in PLACES
            return result.detach() if is_over_all else result
        if func in POOLS and result.shape[-2:] == (1, 1):
            return result.detach()
        return result


def _group_norm(
    maps: torch.Tensor,
    num_groups: int,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    """Return normalized maps ``(N, C, ...)``, through whose statistics goes no gradient."""
    groups = maps.reshape(maps.shape[0], num_groups, -1)
    with torch.no_grad():
        variance, mean = torch.var_mean(groups, dim=2, keepdim=True, correction=0)
    normed = ((groups - mean) * (variance + eps).rsqrt()).reshape(maps.shape)
    shape = (1, -1, *[1] * (maps.ndim - 2))
    normed = normed if weight is None else normed * weight.view(shape)
    return normed if bias is None else normed + bias.view(shape)


MEANS = (torch.Tensor.mean, torch.mean, torch.Tensor.amax, torch.amax)
POOLS = (functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d)
# The positions of maps whose channels are the second or the last dimension.
PLACES = ({2, 3}, {1, 2})


def _side(
    images: torch.Tensor, level: torch.Tensor, generator: torch.Generator, *, keep: bool
) -> float:
    """Return the side of the square around the middle that has most of the gradient."""
    height, width = level.shape[-2:]
    # All channels at once, each with a weight of its own: norms make their plain sum constant.
    weights = torch.randn(level.shape[:2], generator=generator)
    value = (level[:, :, height // 2, width // 2] * weights).sum()
    [gradient] = torch.autograd.grad(value, images, retain_graph=keep)
    strength = gradient.abs().double().sum(dim=(0, 1))
    rows, columns = strength.shape
    down = (torch.arange(rows) + 0.5 - (height // 2 + 0.5) * rows / height).abs()
    across = (torch.arange(columns) + 0.5 - (width // 2 + 0.5) * columns / width).abs()
    distances = torch.maximum(down[:, None], across[None]).flatten()
    order = distances.argsort()
    inside = strength.flatten()[order].cumsum(0)
    place = int(torch.searchsorted(inside, INSIDE * inside[-1]))
    side = 2 * float(distances[order[min(place, len(order) - 1)]]) + 1
    return min(side, float(max(rows, columns)))


def _open_branches(network: nn.Module, generator: torch.Generator) -> None:
    """Set scales that shut a branch to one, and draw weights that are all zero."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or not parameter.numel():
                continue
            low, high = float(parameter.min()), float(parameter.max())
            if low != high or abs(high) > SHUT:
                continue
            if max(parameter.shape) == parameter.numel():  # of channels: a scale
                parameter.fill_(1.0)
            else:
                n_inputs = max(parameter[0].numel(), 1)
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(drawn / n_inputs**0.5)


def _set_norms(network: nn.Module, images: torch.Tensor) -> None:
    """Give norms with running statistics those of images, layer by layer."""
    norms = [
        part
        for part in network.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats
    ]
    network.eval()
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        network(images)
    for norm, momentum in zip(norms, before, strict=True):
        norm.eval()
        norm.momentum = momentum
