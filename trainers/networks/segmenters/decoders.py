"""The decoders of smp by name, each with what it reads and gives.

``width`` is their channels at stride 4, so that one number means about the same in all of them;
those that go on to the full resolution halve their channels with every doubling of the map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.linknet.decoder import LinknetDecoder
from segmentation_models_pytorch.decoders.manet.decoder import MAnetDecoder
from segmentation_models_pytorch.decoders.pan.decoder import PANDecoder
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.unetplusplus.decoder import UnetPlusPlusDecoder
from torch import nn

from archfront.trainers.networks.segmenters.encoder import DILATED_STRIDE, Reads

# Chen et al. 2018 (DeepLabv3+), section 4, for a last map of stride 16.
ATROUS_RATES = (6, 12, 18)
# Of LinkNet at the full resolution; its other channels are the backbone's (Chaurasia and
# Culurciello 2017, table 1).
LINKNET_CHANNELS = 32
# Stages of the heads whose depth is no choice.
DEPTH = 5

# From the encoder's channels, a width and a depth; smp's modules have no types.
Build = Callable[[list[int], int, int], Any]


@dataclass(frozen=True)
class Decoder:
    """How a head is made.

    Attributes:
        build: Returns the module.
        channels: Channels that it gives, of its width.
        stride: Of the map that it gives.
        kernel: Of the convolution that classifies it, as smp has it.
        reads: What it reads, of its width and depth.
    """

    build: Build
    channels: Callable[[int], int]
    stride: int
    kernel: int
    reads: Callable[[int, int], Reads]


def _widths(width: int, depth: int) -> tuple[int, ...]:
    """Return the channels of the blocks that end at strides ..., 8, 4, 2 and 1."""
    return (4 * width, 2 * width, width, width // 2, width // 4)[-depth:]


def _unet(channels: list[int], width: int, depth: int) -> Any:
    return UnetDecoder(channels, _widths(width, depth), n_blocks=depth)


def _unetplusplus(channels: list[int], width: int, depth: int) -> Any:
    return UnetPlusPlusDecoder(channels, _widths(width, depth), n_blocks=depth)


def _manet(channels: list[int], width: int, depth: int) -> Any:
    return MAnetDecoder(channels, _widths(width, depth), n_blocks=depth)


def _linknet(channels: list[int], width: int, depth: int) -> Any:
    return LinknetDecoder(channels, LINKNET_CHANNELS, n_blocks=depth)


def _fpn(channels: list[int], width: int, depth: int) -> Any:
    # Twice as many in the pyramid: Kirillov et al. 2019 (Panoptic FPN) have 256 and 128.
    return FPNDecoder(
        channels, pyramid_channels=2 * width, segmentation_channels=width, dropout=0.0
    )


def _deeplabv3plus(channels: list[int], width: int, depth: int) -> Any:
    return DeepLabV3PlusDecoder(
        channels,
        encoder_depth=DEPTH,
        out_channels=width,
        atrous_rates=ATROUS_RATES,
        output_stride=DILATED_STRIDE,
        aspp_separable=True,
        aspp_dropout=0.0,
    )


def _pan(channels: list[int], width: int, depth: int) -> Any:
    return PANDecoder(channels, encoder_depth=DEPTH, decoder_channels=width)


class _Segformer(nn.Module):
    """smp's decoder over the maps from stride 4 on, as Xie et al. 2021 (SegFormer) have it."""

    def __init__(self, channels: list[int], width: int, depth: int) -> None:
        super().__init__()
        self.decoder = SegformerDecoder([channels[0], *channels[2:]], depth, width)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return a map of stride 4."""
        found: torch.Tensor = self.decoder([features[0], *features[2:]])
        return found


def _full(build: Build) -> Decoder:
    """Return a decoder that goes on to the full resolution."""
    return Decoder(build, lambda width: width // 4, 1, 3, lambda w, d: Reads(d, half=w // 2))


def _quarter(build: Build, reads: Callable[[int, int], Reads]) -> Decoder:
    """Return a decoder that ends at stride 4."""
    return Decoder(build, lambda width: width, 4, 1, reads)


def _all(width: int, depth: int) -> Reads:
    return Reads(DEPTH)


def _dilated(width: int, depth: int) -> Reads:
    return Reads(DEPTH, is_dilated=True)


DECODERS: Mapping[str, Decoder] = {
    "unet": _full(_unet),
    "unetplusplus": _full(_unetplusplus),
    "fpn": _quarter(_fpn, _all),
    "deeplabv3plus": _quarter(_deeplabv3plus, _dilated),
    "pan": replace(_quarter(_pan, _dilated), kernel=3),
    "linknet": Decoder(
        _linknet,
        lambda width: LINKNET_CHANNELS,
        1,
        1,
        lambda w, d: Reads(d, half=LINKNET_CHANNELS),
    ),
    "manet": _full(_manet),
    "segformer": _quarter(_Segformer, lambda w, d: Reads(d)),
}
