"""In fewer bits parity lets pass what rounding explains, and nothing that is broken."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from archfront.search.errors import ParityError
from archfront.search.runtimes import PRECISIONS, torch_threads
from archfront.search.runtimes.parity import check_parity
from archfront.search.runtimes.perturb import draw_images, perturb
from archfront.search.runtimes.rounding import ROUNDINGS, rounded_outputs
from tests.support.parity_sessions import FixedSession, Probabilities

Judged = tuple[nn.Module, tuple[torch.Tensor, ...]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


@pytest.fixture(scope="module", params=["test_resnet", "test_vit"])
def judged(request: pytest.FixtureRequest) -> Judged:
    module = Probabilities(request.param)
    size = 160 if request.param == "test_vit" else 32
    images = draw_images(torch.zeros(1, 3, size, size), 0)
    perturb(module, images, 0)
    return module, torch.split(images, 1)


def zeroed(module: nn.Module) -> nn.Module:
    """Return the network with a layer in its middle that gives zeros."""
    module = copy.deepcopy(module)
    layers = [part for part in module.modules() if isinstance(part, (nn.Linear, nn.Conv2d))]
    layer = layers[len(layers) // 2]
    layer.weight.zero_()
    return module


def test_every_precision_but_float32_has_a_rounding() -> None:
    assert set(ROUNDINGS) == set(PRECISIONS) - {"fp32"}


@pytest.mark.parametrize("precision", ROUNDINGS)
class TestReducedParity:
    def test_rounded_outputs_pass_and_give_their_difference(
        self, judged: Judged, precision: str
    ) -> None:
        module, batches = judged
        session = FixedSession(lambda images: rounded_outputs(module, images, precision))
        assert 1e-3 < check_parity(module, session, batches, precision=precision) < 3

    def test_they_do_not_pass_as_float32(self, judged: Judged, precision: str) -> None:
        module, batches = judged
        session = FixedSession(lambda images: rounded_outputs(module, images, precision))
        with pytest.raises(ParityError, match="differs from eager PyTorch"):
            check_parity(module, session, batches)

    @pytest.mark.slow
    def test_a_layer_of_zeros_is_caught(self, judged: Judged, precision: str) -> None:
        module, batches = judged
        broken = zeroed(module)
        session = FixedSession(lambda images: rounded_outputs(broken, images, precision))
        with pytest.raises(
            ParityError,
            match=rf"^The {precision} export typically differs from eager PyTorch by [\d.e+-]+ of "
            r"the outputs' deviation over the images; rounding explains [\d.e+-]+\.$",
        ):
            check_parity(module, session, batches, precision=precision)

    def test_outputs_in_another_order_are_caught(self, judged: Judged, precision: str) -> None:
        module, batches = judged
        session = FixedSession(lambda images: [module(images)[0].roll(1, dims=1)])
        with pytest.raises(ParityError, match=f"^The {precision} export typically differs"):
            check_parity(module, session, batches, precision=precision)

    def test_the_same_answer_for_all_images_is_caught(
        self, judged: Judged, precision: str
    ) -> None:
        module, batches = judged
        session = FixedSession(lambda images: module(batches[0]))
        with pytest.raises(ParityError, match=f"^The {precision} export typically differs"):
            check_parity(module, session, batches, precision=precision)

    def test_what_is_not_finite_is_caught(self, judged: Judged, precision: str) -> None:
        module, batches = judged
        session = FixedSession(lambda images: [module(images)[0] * torch.nan])
        with pytest.raises(ParityError, match="by nan of"):
            check_parity(module, session, batches, precision=precision)

    def test_rounding_leaves_the_network_as_it_is(self, judged: Judged, precision: str) -> None:
        module, batches = judged
        before = [parameter.clone() for parameter in module.parameters()]
        rounded_outputs(module, batches[0], precision)
        pairs = zip(before, module.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


def test_int8_weights_have_255_values_in_each_channel_and_activations_256() -> None:
    round_weights, round_activations = ROUNDINGS["int8"]
    torch.manual_seed(0)
    weight = round_weights(torch.randn(2, 1000) * torch.tensor([[1.0], [100.0]]))
    assert all(len(channel.unique()) <= 255 for channel in weight)
    assert weight[0].abs().max() < 10
    activations = torch.rand(4000)
    assert len(round_activations(activations).unique()) == 256
    torch.testing.assert_close(round_activations(activations), activations, atol=2e-3, rtol=0)
