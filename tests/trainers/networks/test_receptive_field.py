"""Receptive fields are those of closed forms and of gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import timm
import torch
from torch import nn

from archfront.trainers.networks.effective_field import effective_fields
from archfront.trainers.networks.receptive_field import WHOLE, receptive_fields

SIDE = 64


class Gated(nn.Module):
    """A convolution with squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 4, 5, 1, 2), nn.Conv2d(4, 4, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.conv(images)
        return found * self.gate(found.mean((2, 3), keepdim=True)).sigmoid()


class Attention(nn.Module):
    """Attention within windows of positions of maps of stride 4, or between all of them."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window, self.patch = window, nn.Conv2d(3, 6, 4, 4)
        self.mixed = nn.Linear(6, 18)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.patch(images).permute(0, 2, 3, 1)
        n, height, width, channels = maps.shape
        side = self.window
        parts = maps.view(n, height // side, side, width // side, side, channels)
        tokens = parts.transpose(2, 3).reshape(-1, side * side, channels)
        query, key, value = self.mixed(tokens).chunk(3, dim=-1)
        return nn.functional.scaled_dot_product_attention(query, key, value)


class Mixer(nn.Module):
    """Weights of each position, as in MLP-Mixer."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.tokens = nn.Conv2d(3, 6, 8, 8), nn.Linear(64, 64)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.tokens(self.patch(images).flatten(2))


def plain(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("make", "side"),
    [
        (plain(nn.Conv2d(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3)), 19),
        (plain(nn.Conv2d(3, 4, 3, dilation=4, padding=4), nn.ReLU()), 9),
        (plain(nn.Conv2d(3, 4, (1, 7)), nn.Conv2d(4, 4, (7, 1))), 7),
        (plain(nn.PixelUnshuffle(4), nn.BatchNorm2d(48), nn.Conv2d(48, 4, 3)), 12),
        (plain(nn.AvgPool2d(4), nn.ConvTranspose2d(3, 4, 2, 2), nn.Conv2d(4, 4, 3)), 8),
        (plain(nn.AvgPool2d(4), nn.Upsample(scale_factor=2)), 4),
        (Gated, 5),
        (lambda: Attention(4), 16),
        (lambda: Attention(16), WHOLE),
        (Mixer, WHOLE),
    ],
    ids=[
        "pool",
        "dilated",
        "strips",
        "to-depth",
        "transposed",
        "up",
        "gate",
        "window",
        "all",
        "mix",
    ],
)
def test_fields_are_those_of_closed_forms(make: Callable[[], nn.Module], side: float) -> None:
    with torch.device("meta"):
        network = make().to("meta")
        assert receptive_fields(network, torch.zeros(1, 3, SIDE, SIDE)) == [side]
    assert network.training


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("resnet18", [7, 43, 99, 211, 435]),  # the first stage: 7 + 4 + 4 * 2 * 4
        ("test_vit", [WHOLE] * 3),
    ],
)
def test_fields_of_networks_are_those_of_their_layers(name: str, sides: list[float]) -> None:
    network = timm.create_model(name, features_only=True, device="meta")
    size = 160
    assert receptive_fields(network, torch.zeros(1, 3, size, size, device="meta")) == sides


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_a_gradient_is_nowhere_outside_of_the_field(name: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, features_only=True).eval()
    images = torch.randn(1, 3, 224, 224, requires_grad=True)
    fields = receptive_fields(network, images.detach())
    for side, level in zip(fields, network(images), strict=True):
        value = level[0, :, level.shape[2] // 2, level.shape[3] // 2].sum()
        [gradient] = torch.autograd.grad(value, images, retain_graph=True)
        rows = gradient[0].abs().amax(dim=(0, 2))
        # Of a gate all pixels have a share, far below that of the field.
        inside = torch.nonzero(rows > 1e-3 * rows.max()).flatten()
        assert 1 <= len(inside) <= side


def test_the_effective_field_of_equal_weights_is_a_gaussian() -> None:
    """Luo et al. 2016, section 2.1: n layers of k pixels have a variance of n (k^2 - 1) / 12."""
    n_layers, side = 20, 101
    layers = [nn.Conv2d(1 if n else 3, 1, 3, 1, 1, bias=False) for n in range(n_layers)]
    network = nn.Sequential(*layers)
    for layer in layers:
        nn.init.constant_(layer.weight, 0.2)

    class Maps(nn.Module):
        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [layers[0](images), network(images)]

    first, last = effective_fields(Maps(), side)
    deviation = math.sqrt(n_layers * 8 / 12)
    # The part within h of the middle along both axes is erf(h / sqrt(2) / deviation) squared.
    half = 2.277 * deviation
    assert first == 3
    assert last == pytest.approx(2 * half, abs=2)
    assert last < 2 * n_layers + 1


def test_means_over_all_positions_widen_no_effective_field() -> None:
    class Means(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gated, self.norm = Gated(), nn.GroupNorm(2, 4)
            self.shut = nn.Parameter(torch.zeros(4, 1, 1))

        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            found = self.gated(images)
            found = found + self.shut * nn.functional.adaptive_avg_pool2d(found, 1)
            normed = self.norm(found)
            plain = nn.functional.group_norm(found, 2, self.norm.weight, self.norm.bias)
            assert torch.allclose(normed, plain, atol=1e-5)
            return [normed]

    torch.manual_seed(0)
    assert effective_fields(Means(), 65) == [5]


def test_branches_that_are_shut_at_first_count() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 9, 1, 4), nn.BatchNorm2d(3)
            nn.init.zeros_(self.norm.weight)

        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [images * 0.01 + self.norm(self.conv(images))]

    torch.manual_seed(0)
    [side] = effective_fields(Branch(), 33)
    assert 7 <= side <= 9
