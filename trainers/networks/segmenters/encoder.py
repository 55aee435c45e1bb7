"""A backbone as the decoders of smp see it: the image, then its maps from fine to coarse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import nn

from archfront.trainers.errors import BuildError
from archfront.trainers.networks.backbone import Pyramid, build_backbone, maps_of
from archfront.trainers.spec import Architecture, Weights

# Of the last map where a head asks for a dilated backbone.
DILATED_STRIDE = 16


@dataclass(frozen=True)
class Reads:
    """Which maps a decoder reads.

    Attributes:
        depth: The coarsest has stride ``2**depth``.
        half: Channels to make of the image at stride 2 where the backbone has no such map;
            0 when the decoder reads none.
        is_dilated: Whether the last stage keeps the stride of the stage before, its kernels
            spread instead.
    """

    depth: int
    half: int = 0
    is_dilated: bool = False


class Encoder(nn.Module):
    """Images to a list: the images, then their maps at strides 2, 4, ....

    Where nothing is read at stride 2, the images hold its place. Where something is and the
    backbone begins at stride 4 (ConvNeXt, Swin, FastViT, ...), two convolutions make it of the
    images; they belong to the head.

    Attributes:
        channels: Channels of each entry.
        pyramid: The backbone.

    Args:
        pyramid: Its maps begin at stride 2 or 4, and double.
        channels: Channels of the images.
        half: As in ``Reads``.
    """

    def __init__(self, pyramid: Pyramid, channels: int, half: int) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.stem: nn.Module | None = None
        first = pyramid.channels
        if pyramid.strides[0] != 2:
            if half > 0:
                self.stem = nn.Sequential(_block(channels, half, stride=2), _block(half, half))
            first = (half or channels, *first)
        self.channels: tuple[int, ...] = (channels, *first)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return one entry a stride, ``(N, channels, H/s, W/s)``."""
        maps = self.pyramid(images)
        if len(maps) + 1 < len(self.channels):
            maps = [images if self.stem is None else self.stem(images), *maps]
        return [images, *maps]


def build_encoder(architecture: Architecture, weights: Weights, reads: Reads) -> Encoder:
    """Return an encoder of the stages that are read; later ones are not built.

    Raises:
        BuildError: If the backbone has no such maps.
        WeightsError: If the first weights do not fit.
    """
    a = architecture
    options: dict[str, Any] = {"out_indices": _places(a, reads)}
    if reads.is_dilated:
        options["output_stride"] = DILATED_STRIDE
    pyramid = build_backbone(
        a.backbone, channels=a.channels, input_size=a.input_size, weights=weights, **options
    )
    _cut(pyramid.network)
    return Encoder(pyramid, a.channels, reads.half)


def _cut(network: nn.Module) -> None:
    """Leave out the stages after the last map that is read.

    timm does so itself, except for these two classes, which would run all of them.
    """
    if isinstance(network, EfficientNetFeatures | MobileNetV3Features):
        whole = cast("Any", network)
        if whole.feature_hooks is None:
            # Stage 0 is the stem, so that stage i is the output of block i - 1.
            whole.blocks = whole.blocks[: max(whole._stage_out_idx)]


def _places(architecture: Architecture, reads: Reads) -> tuple[int, ...]:
    """Return timm's indices of the maps that are read."""
    a = architecture
    strides, indices = maps_of(a.backbone)
    place_of = dict(zip(strides, indices, strict=True))
    needed = [2**i for i in range(2, reads.depth + 1)]
    if missing := [stride for stride in needed if stride not in place_of]:
        raise BuildError(
            f"{a.backbone} with head {a.head!r}: a map of stride {missing[0]} is needed, and the "
            f"backbone has {', '.join(map(str, strides))}. Choose another backbone."
        )
    read = [2, *needed] if reads.half > 0 and 2 in place_of else needed
    return tuple(place_of[stride] for stride in read)


def _block(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
