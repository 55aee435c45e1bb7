"""What a network costs before anything is timed: parameters and multiply-accumulates."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_costs(model: nn.Module, example: torch.Tensor) -> tuple[int, int]:
    """Return the parameters of a network and the multiply-accumulates of one image.

    Convolutions, matrix products and attention are counted; norms, activations and pooling are
    not, as in the figures that timm publishes. The model runs once in evaluation mode and is
    left in the mode in which it came.

    Args:
        model: Takes ``example`` as its one argument.
        example: Images ``(N, C, H, W)``, on the model's device.

    Returns:
        Parameters (shared ones once) and multiply-accumulates per image, both exact counts.
    """
    was_training = model.training
    model.eval()
    try:
        # Inference mode would hide linear layers from the counter behind one operator.
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(example)
    finally:
        model.train(was_training)
    params = sum(parameter.numel() for parameter in model.parameters())
    # The counter gives two operations per multiply-accumulate.
    return params, counter.get_total_flops() // (2 * example.shape[0])
