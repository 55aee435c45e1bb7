"""OpCounts are counted operation by operation: closed forms, other devices, published figures."""

from __future__ import annotations

import csv
import gzip
import math
import random
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from archfront.trainers.networks.backbone import create
from archfront.trainers.networks.count import ELEMENT_KINDS, MAC_KINDS, OpCounts, count_costs

# timm's published figures, where the development machine has them.
PUBLISHED = Path(__file__).resolve().parents[4] / "shared/bench/tables/zoo-i7-r.csv.gz"


class Attention(nn.Module):
    """Self-attention of one head by torch's one function."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


def counted(layer: nn.Module, *shape: int) -> OpCounts:
    return count_costs(layer, torch.zeros(shape))


def test_a_convolution_is_its_closed_form() -> None:
    layer = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    n = 10 * 12
    assert counted(layer, 4, 3, 10, 12) == OpCounts(
        params=8 * 27,
        macs=8 * 27 * n,
        acts=8 * n,
        elements=8 * n,
        n_ops=1,
        macs_by=(8 * 27 * n, 0, 0, 0),
        elements_by=(8 * n, 0, 0, 0, 0, 0),
    )


def test_a_depthwise_convolution_meets_one_channel() -> None:
    costs = counted(nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8), 2, 8, 16, 16)
    assert costs.macs == costs.macs_by[2] == 8 * 25 * 8 * 8
    assert costs.acts == 8 * 8 * 8


def test_a_transposed_convolution_spreads_its_inputs() -> None:
    costs = counted(nn.ConvTranspose2d(4, 6, 2, stride=2, bias=False), 1, 4, 5, 5)
    assert (costs.macs, costs.acts) == (4 * 6 * 4 * 5 * 5, 6 * 10 * 10)


def test_a_linear_layer_does_not_depend_on_the_batch() -> None:
    layer = nn.Linear(7, 5)
    one, nine = counted(layer, 1, 7), counted(layer, 9, 7)
    assert one == nine
    assert (one.params, one.macs, one.acts, one.macs_by[3]) == (40, 35, 5, 35)


@pytest.mark.parametrize("no_grad", [torch.no_grad, torch.inference_mode])
def test_attention_is_two_products_whatever_runs_it(no_grad: type[torch.no_grad]) -> None:
    heads, tokens, width = 2, 9, 16
    with no_grad():
        costs = counted(Attention(), 1, heads, tokens, width)
    scores = heads * tokens * tokens
    assert costs.macs == costs.macs_by[3] == 2 * scores * width
    assert costs.acts == scores + heads * tokens * width


def test_the_fast_path_of_multihead_attention_hides_nothing() -> None:
    """One fused operation once counted as nothing."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    tokens, width = 9, 16
    projections = 4 * tokens * width * width + 2 * tokens * width * 32
    assert counted(layer, 1, tokens, width).macs == projections + 2 * tokens * tokens * width


def test_what_only_looks_at_memory_is_free() -> None:
    looks = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (2, 8)), nn.Identity())
    assert counted(looks, 1, 16) == OpCounts(0, 0, 0, 0, 0, (0,) * 4, (0,) * 6)
    norms = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    costs = counted(norms, 1, 4, 8, 8)
    assert (costs.n_ops, costs.elements) == (3, 4 * 64 + 4 * 64 + 4 * 16)
    assert costs.macs == costs.acts == 0


def test_operations_on_weights_alone_are_folded() -> None:
    class Standardized(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            weight = (self.weight - self.weight.mean()) / self.weight.std()
            return self._conv_forward(input, weight, self.bias)

    plain, standardized = nn.Conv2d(3, 4, 3), Standardized(3, 4, 3)
    assert counted(standardized, 1, 3, 8, 8) == counted(plain, 1, 3, 8, 8)


def test_what_is_written_into_a_part_of_a_tensor_stays_the_images() -> None:
    class Padded(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            wide = images.new_zeros(1, 3, 10, 10)
            wide[:, :, 1:9, 1:9] = images
            return wide * 2

    assert counted(Padded(), 1, 3, 8, 8).n_ops == 2


@pytest.mark.parametrize(
    # Published: He et al. 2016 and timm's results table, in millions and billions.
    ("name", "params_m", "macs_g", "acts_m"),
    [("resnet18", 11.69, 1.82, 2.48), ("vit_tiny_patch16_224", 5.72, 1.26, 5.97)],
)
def test_costs_are_those_that_were_published(
    name: str, params_m: float, macs_g: float, acts_m: float
) -> None:
    network = timm.create_model(name, device="meta")
    costs = count_costs(network, torch.zeros(1, 3, 224, 224, device="meta"))
    assert costs.params / 1e6 == pytest.approx(params_m, rel=0.005)
    assert costs.macs / 1e9 == pytest.approx(macs_g, rel=0.02)
    assert costs.acts / 1e6 == pytest.approx(acts_m, rel=0.02)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_every_device_counts_the_same(name: str) -> None:
    size = timm.get_pretrained_cfg(name).input_size[-1]
    costs = {
        device: count_costs(
            timm.create_model(name, device=device),
            torch.zeros(2, 3, size, size, device=device),
        )
        for device in ("cpu", "meta")
    }
    assert costs["cpu"] == costs["meta"]


def test_an_lstm_has_the_same_products_as_one_operation_and_unrolled() -> None:
    class Last(nn.Module):
        def __init__(self, device: str) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 4, batch_first=True, bidirectional=True, device=device)

        def forward(self, sequence: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.lstm(sequence)[0]
            return outputs

    cpu = count_costs(Last("cpu"), torch.zeros(1, 5, 6))
    meta = count_costs(Last("meta"), torch.zeros(1, 5, 6, device="meta"))
    assert cpu.macs == meta.macs == 2 * 5 * (16 * 6 + 16 * 4)
    assert cpu.acts == meta.acts
    assert cpu.n_ops < meta.n_ops


def test_counting_leaves_the_mode_and_the_norms_alone() -> None:
    network = create("test_resnet", channels=3, input_size=32)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    count_costs(network, torch.randn(2, 3, 32, 32))
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="timm's published figures are not here")
def test_counts_are_those_that_timm_published() -> None:
    """Over 0.5 G, since timm rounds to 0.01; norms of weights are in its figures."""
    with gzip.open(PUBLISHED, "rt", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if math.exp(float(r["n_log_macs"])) > 0.5]
    for row in random.Random(0).sample(rows, 12):
        name, size = row["id"].partition(".")[0], round(math.exp(float(row["n_log_size"])))
        sized = {"img_size": size} if timm.get_pretrained_cfg(name).fixed_input_size else {}
        network = timm.create_model(name, device="meta", **sized)
        costs = count_costs(network, torch.zeros(1, 3, size, size, device="meta"))
        assert costs.macs / 1e9 == pytest.approx(math.exp(float(row["n_log_macs"])), rel=0.05)
        assert costs.acts / 1e6 == pytest.approx(math.exp(float(row["n_log_acts"])), rel=0.05)


def test_work_is_told_apart_by_what_does_it() -> None:
    layers = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 1),
        nn.GELU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Softmax(dim=1),
        nn.ZeroPad2d(1),
    )
    costs = counted(layers, 2, 4, 5, 5)
    by_macs = dict(zip(MAC_KINDS, costs.macs_by, strict=True))
    assert by_macs == {"spatial": 25 * 216, "pointwise": 25 * 48, "grouped": 25 * 72, "matmul": 0}
    by_elements = dict(zip(ELEMENT_KINDS, costs.elements_by, strict=True))
    assert by_elements == {
        "product": 25 * 14,
        "grouped": 25 * 8,
        "math": 25 * 16,
        "moved": 49 * 8,
        "merged": 25 * 12,
        "plain": 0,
    }
    assert (costs.macs, costs.elements) == (sum(costs.macs_by), sum(costs.elements_by))
    assert costs.n_ops == len(layers)
