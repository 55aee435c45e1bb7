"""The features of all stages of a timm network: what the head ``levels`` takes.

What a network learned of one kind of images is often wrong for another kind in its last stage, and
right in the stages before it. Source: Evci, Dumoulin, Larochelle and Mozer 2022 (Head2Toe), with
means of whole maps and without the selection of features; measured in benchmarks/LOG.md, "Frozen
features, solved heads and fine-tuning".
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from archfront.trainers.errors import BuildError
from archfront.trainers.networks.backbone import run_once

# Sizes of maps that a network with stages has at least, and stages that it has at most: one with
# more of them is made of equal blocks.
SIZES_LEAST, STAGES_MOST = 3, 8


class Stages(NamedTuple):
    """Stages of a network that add to its own features.

    Attributes:
        indices: Of the stages.
        width: Of all features together.
    """

    indices: tuple[int, ...]
    width: int


class _Stages(nn.Module):
    """Images to the network's own features and the maps of its stages."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        return _own_and_maps(self.network, images)


def stages_of(
    network: nn.Module, name: str, *, channels: int, input_size: int, device: str = "cpu"
) -> Stages:
    """Return the stages of a network whose maps say more than its own features.

    Args:
        network: Made by timm without classes.
        name: Of the network, for errors.
        channels: Of images.
        input_size: Side of an image on which it is tried.
        device: Of the network.

    Raises:
        BuildError: If the network does not give maps of several sizes.
    """
    if not hasattr(network, "forward_intermediates"):
        raise BuildError(f"{name} does not give the maps of its stages. Choose another head.")
    own, maps = run_once(
        _Stages(network), name, channels=channels, input_size=input_size, device=device
    )
    n_sizes = len({each.shape[-1] for each in maps})
    if own.ndim != 2 or n_sizes < SIZES_LEAST or len(maps) > STAGES_MOST:
        raise BuildError(
            f"{name} has maps of {n_sizes} sizes in {len(maps)} stages at {input_size} px; levels "
            f"takes at least {SIZES_LEAST} sizes in at most {STAGES_MOST} stages. Choose another "
            "head."
        )
    # The last map is what the network pools itself, except for a norm.
    used = maps[:-1] if maps[-1].shape[1] == own.shape[1] else maps
    return Stages(tuple(range(len(used))), sum(each.shape[1] for each in (own, *used)))


def stage_features(network: nn.Module, images: Tensor, stages: tuple[int, ...]) -> Tensor:
    """Return ``(N, D)``: a network's own features, then the means of the maps of stages."""
    own, maps = _own_and_maps(network, images)
    return torch.cat([own, *(maps[stage].mean(dim=(2, 3)) for stage in stages)], dim=1)


def _own_and_maps(network: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    timm_network = cast("Any", network)
    last, maps = timm_network.forward_intermediates(images, output_fmt="NCHW")
    return timm_network.forward_head(last, pre_logits=True), maps
