"""Backbone and neck as torchvision's detectors take them, and the anchors over their maps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator

from archfront.trainers.networks.backbone import Pyramid, build_backbone, family_and_strides
from archfront.trainers.networks.detectors.neck import Neck
from archfront.trainers.spec import Architecture, Weights

# Lin et al. 2017 (FPN and Focal loss) use five. A map of one cell has no neighbors to learn from,
# and norms over it are of a single value.
MAX_LEVELS, LEAST_CELLS = 5, 2


class NamedLevels(nn.Module):
    """A neck, its maps named ``0``, ``1``, ... from the finest.

    Attributes:
        neck: Backbone and neck.
        out_channels: Channels of each map; torchvision asks for it by this name.
    """

    def __init__(self, neck: Neck) -> None:
        super().__init__()
        self.neck = neck
        self.out_channels = neck.width

    @property
    def pyramid(self) -> Pyramid:
        """Return the backbone."""
        return self.neck.pyramid

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Return the maps ``(N, width, H/s, W/s)``."""
        return OrderedDict((str(i), level) for i, level in enumerate(self.neck(images)))


def level_strides(side: int, finest: int) -> tuple[int, ...]:
    """Return strides from the finest on, doubling as long as a map has two cells a side."""
    strides = [finest * 2**i for i in range(MAX_LEVELS)]
    return tuple(s for s in strides if s == finest or s * LEAST_CELLS <= side)


def build_levels(architecture: Architecture, weights: Weights) -> NamedLevels:
    """Return backbone and neck in training mode; raises as ``build_neck``."""
    strides = level_strides(architecture.input_size, architecture.finest)
    return NamedLevels(build_neck(architecture, weights, strides))


def build_neck(architecture: Architecture, weights: Weights, strides: Sequence[int]) -> Neck:
    """Return backbone and neck in training mode, with a map of each stride, the finest first.

    Raises:
        BuildError: If the backbone has no map of the finest stride, or cannot be built.
        WeightsError: If the first weights do not fit.
    """
    a = architecture
    # Stages that no level comes from would be run and never be trained.
    own = family_and_strides(a.backbone)[1]
    taken = tuple(i for i, stride in enumerate(own) if stride in strides)
    options = {"out_indices": taken} if taken else {}
    pyramid = build_backbone(
        a.backbone, channels=a.channels, input_size=a.input_size, weights=weights, **options
    )
    return Neck(pyramid, a.neck, width=a.width, finest=a.finest, n_levels=len(strides))


def anchors_of(generator: AnchorGenerator, strides: Sequence[int], side: int) -> list[Tensor]:
    """Return the anchors ``(A_l, 4)`` of each level, x1, y1, x2, y2 in pixels.

    They are the same for every image, so that they can be constants of an exported network.
    """
    cells = [[-(-side // stride)] * 2 for stride in strides]
    anchors = generator.grid_anchors(cells, [[stride, stride] for stride in strides])
    return [level.float() for level in cast("list[Tensor]", anchors)]


def in_float(values: Sequence[Tensor]) -> list[Tensor]:
    """Return values in at least float32: boxes in bfloat16 are off by pixels."""
    return [v.float() if v.dtype in (torch.bfloat16, torch.float16) else v for v in values]
