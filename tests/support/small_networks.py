"""Small networks for the runtimes to run, and which of the runtimes can run here."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from archfront.search.errors import ConfigError
from archfront.search.runtimes import RUNTIMES
from archfront.search.runtimes.perturb import draw_images, perturb


class Small(nn.Module):
    """A network with two outputs, and with what exporters like to fold: norms and dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)
        )
        self.head = nn.Linear(8, 5)
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled = self.features(images).mean(dim=(2, 3))
        return self.head(pooled).softmax(dim=1), pooled


def small_images(batch_size: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch_size, 3, 16, 16, generator=generator)


def skip_where_it_cannot_run(name: str, precision: str = "fp32") -> None:
    try:
        RUNTIMES[name].check(precision)
    except ConfigError as error:
        pytest.skip(str(error))


def can_run(name: str) -> bool:
    try:
        RUNTIMES[name].check("fp32")
    except ConfigError:
        return False
    return True


def slow_if_compiled(name: str) -> list[pytest.MarkDecorator]:
    """Compiling takes seconds to a minute."""
    return [pytest.mark.slow] if "inductor" in RUNTIMES[name].exporters else []


def perturbed(network: str, size: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Return a small network as it is measured, with single images to compare it by.

    A transformer has three blocks: the first, the last and one between them.
    """
    torch.manual_seed(0)
    blocks = {"depth": 3} if "vit" in network else {}
    module = Probabilities(timm.create_model(network, num_classes=10, **blocks))
    module.eval().requires_grad_(False)
    images = draw_images(torch.zeros(1, 3, size, size), 0)
    perturb(module, images, 0)
    return module, torch.split(images, 1)


class Probabilities(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.model(images).softmax(dim=1),)
