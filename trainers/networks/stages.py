"""The features of the stages of a timm network: what the heads ``levels`` and ``truncated`` take.

What a network learned of one kind of images is often wrong for another kind in its last stage, and
right in the stages before it. Source: Evci, Dumoulin, Larochelle and Mozer 2022 (Head2Toe), with
means of whole maps and without the selection of features; measured in benchmarks/LOG.md, "Frozen
features, solved heads and fine-tuning". ``levels`` takes the features of all stages, ``truncated``
those of all but the last stage, which is dropped: "Networks without their last stage" there.
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
# Share of the parameters that a network without its last stage has at most. All others of timm
# have up to .92, and CoaT, whose last stages work side by side, .99.
LEFT_MOST = 0.95


class Stages(NamedTuple):
    """Stages of a network whose features a head takes.

    Attributes:
        indices: Of the stages.
        width: Of all features together, the network's own included where the head takes these.
    """

    indices: tuple[int, ...]
    width: int


class _Stages(nn.Module):
    """Images to the network's own features and the maps of its stages."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

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
    own, maps = _tried(network, name, "levels", (channels, input_size), device)
    # The last map is what the network pools itself, except for a norm.
    used = maps[:-1] if maps[-1].shape[1] == own.shape[1] else maps
    return Stages(tuple(range(len(used))), sum(each.shape[1] for each in (own, *used)))


def truncate(
    network: nn.Module, name: str, *, channels: int, input_size: int, device: str = "cpu"
) -> Stages:
    """Drop the last stage of a network and what is behind it, and return the stages before it.

    Args:
        network: Made by timm without classes; it is changed.
        name: Of the network, for errors.
        channels: Of images.
        input_size: Side of an image on which it is tried.
        device: Of the network.

    Raises:
        BuildError: If the network does not give maps of several sizes, or timm cannot drop its
            last stage.
    """
    _, maps = _tried(network, name, "truncated", (channels, input_size), device)
    stages = Stages(tuple(range(len(maps) - 1)), sum(each.shape[1] for each in maps[:-1]))
    before = _n_parameters(network)
    if hasattr(network, "prune_intermediate_layers"):
        cast("Any", network).prune_intermediate_layers(list(stages.indices), prune_norm=True)
    if _n_parameters(network) > LEFT_MOST * before:
        raise BuildError(f"timm cannot drop the last stage of {name}. Choose another head.")
    return stages


def truncated_features(network: nn.Module, images: Tensor, stages: tuple[int, ...]) -> Tensor:
    """Return ``(N, D)``: the means of the maps of a truncated network's stages."""
    maps = cast("Any", network).forward_intermediates(
        images,
        indices=list(stages),
        stop_early=True,
        output_fmt="NCHW",
        intermediates_only=True,
    )
    return torch.cat([each.mean(dim=(2, 3)) for each in maps], dim=1)


def _n_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _tried(
    network: nn.Module, name: str, head: str, image: tuple[int, int], device: str
) -> tuple[Tensor, list[Tensor]]:
    """Return a network's features of a black image and the maps of its stages."""
    channels, input_size = image
    if not hasattr(network, "forward_intermediates"):
        raise BuildError(f"{name} does not give the maps of its stages. Choose another head.")
    own, maps = run_once(
        _Stages(network), name, channels=channels, input_size=input_size, device=device
    )
    n_sizes = len({each.shape[-1] for each in maps})
    if own.ndim != 2 or n_sizes < SIZES_LEAST or len(maps) > STAGES_MOST:
        raise BuildError(
            f"{name} has maps of {n_sizes} sizes in {len(maps)} stages at {input_size} px; {head} "
            f"takes at least {SIZES_LEAST} sizes in at most {STAGES_MOST} stages. Choose another "
            "head."
        )
    return own, maps


def stage_features(network: nn.Module, images: Tensor, stages: tuple[int, ...]) -> Tensor:
    """Return ``(N, D)``: a network's own features, then the means of the maps of stages."""
    own, maps = _own_and_maps(network, images)
    return torch.cat([own, *(maps[stage].mean(dim=(2, 3)) for stage in stages)], dim=1)


def _own_and_maps(network: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    timm_network = cast("Any", network)
    last, maps = timm_network.forward_intermediates(images, output_fmt="NCHW")
    return timm_network.forward_head(last, pre_logits=True), maps
