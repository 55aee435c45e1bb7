"""How far a network's outputs move in fewer bits, whatever runtime computes them.

What a right bfloat16 or int8 of a network differs by depends on the network, by a factor of a
hundred. So it is not guessed: eager PyTorch computes the network once more in float32, with the
weights and what goes in and out of its layers rounded as the precision rounds them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

# Weights are symmetric around 0, activations start where they start.
WEIGHT_STEPS, ACTIVATION_STEPS = 127, 255
SMALLEST_STEP = 1e-12

Rounding = Callable[["torch.Tensor"], "torch.Tensor"]


def rounded_outputs(
    module: nn.Module, images: torch.Tensor, precision: str
) -> Sequence[torch.Tensor]:
    """Return the outputs of a network whose layers round.

    int8 rounds weights by output channel and activations by their range over the images, as
    post-training quantization does.

    Args:
        module: In evaluation mode; it is left as it is.
        images: Images ``(N, C, H, W)``.
        precision: Key of ``ROUNDINGS``.
    """
    import torch
    from torch import nn

    round_weights, round_activations = ROUNDINGS[precision]
    module = copy.deepcopy(module)

    def round_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (round_activations(inputs[0]), *inputs[1:])

    def round_output(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        is_rounded = isinstance(output, torch.Tensor) and output.is_floating_point()
        return round_activations(output) if is_rounded else output

    with torch.inference_mode():
        for part in module.modules():
            if isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)):
                part.weight.data = round_weights(part.weight.data)
                part.register_forward_pre_hook(round_input)
            if next(part.children(), None) is None:
                part.register_forward_hook(round_output)
        found: Sequence[torch.Tensor] = module(images)
    return found


def _by_channel(weight: torch.Tensor) -> torch.Tensor:
    largest = weight.flatten(1).abs().amax(1).view(-1, *[1] * (weight.ndim - 1))
    step = (largest / WEIGHT_STEPS).clamp(min=SMALLEST_STEP)
    return (weight / step).round() * step


def _by_range(activations: torch.Tensor) -> torch.Tensor:
    low, high = activations.amin().clamp(max=0), activations.amax().clamp(min=0)
    step = ((high - low) / ACTIVATION_STEPS).clamp(min=SMALLEST_STEP)
    return (activations / step).round() * step


def _to_bf16(values: torch.Tensor) -> torch.Tensor:
    return values.bfloat16().float()


def _to_fp16(values: torch.Tensor) -> torch.Tensor:
    return values.half().float()


ROUNDINGS: dict[str, tuple[Rounding, Rounding]] = {
    "bf16": (_to_bf16, _to_bf16),
    "fp16": (_to_fp16, _to_fp16),
    "int8": (_by_channel, _by_range),
}
