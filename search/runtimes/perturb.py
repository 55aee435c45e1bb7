"""Weights on which a network tells images apart, so that its export can be compared.

A network fresh from its constructor cannot tell a right export from a broken one: its logits are
close to zero, whole branches are multiplied by zero or by 1e-6, and it gives all images nearly
the same answer. Here all weights are drawn away from where they started, the norms get statistics
of real activations, and the last layers are scaled so that their outputs spread over the images
by about 1: branches count, probabilities are not saturated, and a difference is compared with
what tells images apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

MIN_IMAGES = 8


def draw_images(example: torch.Tensor, seed: int) -> torch.Tensor:
    """Return at least ``MIN_IMAGES`` images, a multiple of the example's batch size.

    They differ in coarse structure and brightness: averages over white noise are all the same.
    """
    import torch
    from torch.nn.functional import interpolate

    batch_size, channels, height, width = example.shape
    n_images = batch_size * -(-MIN_IMAGES // batch_size)
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(n_images, channels, height, width)
    for side in (1, 4, 16):
        coarse = torch.randn(n_images, channels, side, side, generator=generator)
        images += interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return images / images.std()


def perturb(module: nn.Module, images: torch.Tensor, seed: int) -> None:
    """Draw a network's weights and norm statistics so that its outputs tell images apart.

    Nothing is put back: the network is of no other use afterwards.

    Args:
        module: In evaluation mode; takes ``images`` and gives a tuple of tensors.
        images: Images ``(N, C, H, W)`` that the statistics are taken from.
        seed: Seed of the draws.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            _draw(parameter, generator)
        # Some networks (levit, tiny_vit, efficientvit_m) keep what they made of a weight when
        # they ran in evaluation mode, and forget it on a change of mode.
        module.train()
        module.eval()
        _set_norms(module, images, generator)
        _spread_outputs(module, _last_layers(module, images[:1]), images)


def _draw(parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Add noise: small against a weight's own deviation, and enough for a zero or 1e-6."""
    import torch

    noise = torch.randn(parameter.shape, generator=generator)
    if parameter.ndim <= 1:
        parameter += 0.2 * noise
    else:
        parameter += 0.25 * max(float(parameter.std(correction=0)), 0.02) * noise


def _set_norms(module: nn.Module, images: torch.Tensor, generator: torch.Generator) -> None:
    """Give norms with running statistics drawn ones near those of real activations.

    The activations are centered, except for a fifth of their size: what all images have in common
    would grow with every layer over what tells them apart (convmixer_768_32 at 224 px: rounding
    errors of twice the spread). They are scaled to half their size: networks of random weights
    with full-sized activations are chaotic, and magnify rounding errors (efficientnet_b0 in bf16
    2 to 5 times as much).
    """
    import torch

    def set_statistics(norm: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        features = inputs[0].transpose(0, 1).flatten(1)
        rms = features.square().mean(1).sqrt()
        floor = 0.1 * float(rms.mean()) + 1e-4
        noise = torch.randn(rms.shape, generator=generator)
        mean = features.mean(1) + 0.2 * rms.clamp(min=floor) * noise
        variance = (features - mean[:, None]).square().mean(1).clamp(min=floor**2)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(
            4 * variance * (0.8 + 0.4 * torch.rand(rms.shape, generator=generator))
        )

    hooks = [
        part.register_forward_pre_hook(set_statistics)
        for part in module.modules()
        if isinstance(getattr(part, "running_mean", None), torch.Tensor)
    ]
    try:
        module(images)
    finally:
        for hook in hooks:
            hook.remove()


def _last_layers(module: nn.Module, images: torch.Tensor) -> list[nn.Module]:
    """Return the convolutions and linear layers that no other follows on the way to an output.

    A detector has several, one at the end of each branch. They are found along the graph that
    autograd keeps.
    """
    import torch
    from torch import nn

    made: dict[Any, nn.Module] = {}

    def note(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        made[output.grad_fn] = layer

    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    hooks = [
        part.register_forward_hook(note) for part in module.modules() if isinstance(part, kinds)
    ]
    try:
        with torch.enable_grad():
            outputs = module(images.clone().requires_grad_() * 1.0)
    finally:
        for hook in hooks:
            hook.remove()
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    ahead = [output.grad_fn for output in outputs]
    seen, found = set(), dict[nn.Module, None]()
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in made:
            found[made[node]] = None
        else:
            ahead += [before for before, _ in node.next_functions]
    return list(found)


def _spread_outputs(module: nn.Module, layers: Sequence[nn.Module], images: torch.Tensor) -> None:
    """Scale and shift layers so that their outputs over the images have mean 0, deviation 1.

    Those of all calls, where one serves several maps.
    """
    import torch

    inputs: dict[nn.Module, list[tuple[torch.Tensor, ...]]] = {layer: [] for layer in layers}

    def note(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        inputs[layer].append(given)

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        module(images)
    finally:
        for hook in hooks:
            hook.remove()
    for layer, calls in inputs.items():
        rows = torch.cat([_rows(layer, given) for given in calls])
        deviation = float((rows - rows.mean(0)).std())
        if np.isfinite(deviation) and deviation > 0:
            part: Any = layer
            part.weight /= deviation
            if part.bias is not None:
                part.bias -= torch.cat([_rows(layer, given) for given in calls]).mean(0)


def _rows(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return the outputs of a layer, one row of channels for each place."""
    from torch import nn

    outputs: torch.Tensor = layer(*inputs)
    channel = -1 if isinstance(layer, nn.Linear) else 1
    return outputs.transpose(channel, -1).flatten(end_dim=-2)
