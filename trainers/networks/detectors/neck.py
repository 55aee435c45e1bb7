"""Feature maps of a backbone, mixed over their scales: FPN, and PAN on top of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from archfront.trainers.errors import BuildError
from archfront.trainers.networks.backbone import Pyramid


class Neck(nn.Module):
    """Images to maps of equal width, finest first.

    Source of ``fpn``: Lin et al. 2017 (Feature pyramid networks), by torchvision. Source of
    ``pan``: Liu et al. 2018 (Path aggregation network), section 3.1, its bottom-up path.

    Attributes:
        strides: Pixels of the image per pixel of each map.
        width: Channels of each map.

    Args:
        pyramid: The backbone.
        kind: ``none`` (each map only brought to the width), ``fpn`` or ``pan``.
        width: Channels of each map.
        finest: Stride of the finest map.
        n_levels: Maps in all; those coarser than the backbone's are halved from its last.

    Raises:
        BuildError: If the backbone has no map of the finest stride.
    """

    def __init__(
        self, pyramid: Pyramid, kind: str, *, width: int, finest: int, n_levels: int
    ) -> None:
        super().__init__()
        if finest not in pyramid.strides:
            raise BuildError(
                f"A level of stride {finest} is needed, and the backbone has "
                f"{', '.join(map(str, pyramid.strides))}. Choose another backbone or head."
            )
        self.pyramid = pyramid
        first = pyramid.strides.index(finest)
        self._taken = range(first, min(first + n_levels, len(pyramid.strides)))
        self._kind, self._n_levels = kind, n_levels
        channels = [pyramid.channels[i] for i in self._taken]
        strides = [pyramid.strides[i] for i in self._taken]
        n_more = n_levels - len(strides)
        self.strides = (*strides, *(strides[-1] * 2 ** (i + 1) for i in range(n_more)))
        self.width = width
        if kind == "none":
            self.sides = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        else:
            self.fpn = FeaturePyramidNetwork(channels, width)
        self.coarser = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(n_more)
        )
        n_up = n_levels - 1 if kind == "pan" else 0
        self.up = nn.ModuleList(_block(width, stride=2) for _ in range(n_up))
        self.out = nn.ModuleList(_block(width) for _ in range(n_up))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps ``(N, width, H/s, W/s)``."""
        maps = self.pyramid(images)
        taken = [maps[i] for i in self._taken]
        if self._kind == "none":
            levels = [side(level) for side, level in zip(self.sides, taken, strict=True)]
        else:
            named = OrderedDict((str(i), level) for i, level in enumerate(taken))
            levels = list(self.fpn(named).values())
        for halve in self.coarser:
            levels.append(halve(F.relu(levels[-1])))
        return self._aggregated(levels) if self._kind == "pan" else levels

    def _aggregated(self, levels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        mixed = [levels[0]]
        for up, out, level in zip(self.up, self.out, levels[1:], strict=True):
            mixed.append(out(up(mixed[-1]) + level))
        return mixed


def _block(width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.SiLU(),
    )
