"""Blocks that heads are made of."""

from __future__ import annotations

from torch import nn


def conv_block(width: int) -> nn.Sequential:
    """Return a 3 x 3 convolution of equal width, its norm and its activation."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.SiLU()
    )
