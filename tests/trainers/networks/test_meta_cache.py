"""A pass with a memo gives and costs what it does without, and is made of less work."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from archfront.trainers.networks.count import OpCounts, count_costs
from archfront.trainers.networks.meta_cache import MetaCache
from archfront.trainers.networks.undrawn import Undrawn

# Blocks of one kind, windows, states written while it runs, two branches, blocks in place.
NAMES = ["resnet18", "test_vit", "swin_tiny_patch4_window7_224", "levit_128s", "crossvit_9_240"]


class Block(nn.Module):
    """A layer that says when it runs."""

    def __init__(self, ran: list[str], width: int = 4, name: str = "block") -> None:
        super().__init__()
        self.layer = nn.Linear(width, width, device="meta")
        self.says = (ran.append, name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        say, name = self.says
        say(name)
        return torch.relu(self.layer(x))


class Stateful(Block):
    """A block that counts how often it ran."""

    n_runs = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.n_runs += 1
        return super().forward(x)


class InPlace(Block):
    """A block that writes to what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.add_(1))


class Growing(nn.Module):
    """Two equal layers, the second of which gets more."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 3, 2, device="meta") for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first: torch.Tensor = self.first(x)
        second: torch.Tensor = self.second(x[..., :3, :3])
        return first.mean((2, 3)) + second.mean((2, 3))


def _network(ran: list[str], kind: type[Block] = Block, n_blocks: int = 3) -> nn.Module:
    # One bound method for all: another would be another object.
    blocks = [kind(ran) for _ in range(n_blocks)]
    for block in blocks:
        block.says = blocks[0].says
    return nn.Sequential(*blocks).eval()


def _passed(network: nn.Module, *shape: int) -> Any:
    with torch.no_grad():
        return network(torch.zeros(*shape, device="meta"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_costs_and_outputs_are_those_without_a_memo(name: str) -> None:
    def costs() -> list[OpCounts | torch.Size]:
        with Undrawn():
            network = timm.create_model(name, device="meta").eval()
        side = network.pretrained_cfg["input_size"][-1]
        image = torch.zeros(1, 3, side, side, device="meta")
        found: list[OpCounts | torch.Size] = [count_costs(network, image)]
        return [*found, _passed(network, 1, 3, side, side).shape, count_costs(network, image)]

    alone = costs()
    with MetaCache():
        assert costs() == alone
        assert costs() == alone  # now from what was kept


def test_equal_blocks_run_once_on_equal_inputs() -> None:
    ran: list[str] = []
    network = _network(ran)
    with MetaCache():
        assert _passed(network, 2, 4).shape == (2, 4)
        assert len(ran) == 1
        assert _passed(network, 5, 4).shape == (5, 4)
        assert len(ran) == 2


def test_blocks_of_another_width_or_another_object_are_not_equal() -> None:
    ran: list[str] = []
    first, second = Block(ran), Block(ran, name="other")
    with MetaCache():
        _passed(nn.Sequential(first, second), 2, 4)
        wide = nn.Sequential(nn.Linear(4, 6, device="meta"), Block(ran, 6, "wide"))
        assert _passed(wide, 2, 4).shape == (2, 6)
    assert ran == ["block", "other", "wide"]


def test_a_network_that_changes_while_it_runs_runs_as_without() -> None:
    ran: list[str] = []
    network = _network(ran, Stateful)
    image = torch.zeros(2, 4, device="meta")
    alone = count_costs(_network([], Stateful), image)
    with MetaCache():
        assert count_costs(network, image) == alone
        assert count_costs(network, image) == alone


def test_a_block_that_writes_to_its_input_is_not_recalled() -> None:
    class Written(nn.Module):
        def __init__(self, blocks: nn.Module) -> None:
            super().__init__()
            self.blocks = blocks

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            constant = torch.zeros(1, 4, device="meta").expand(2, 4).clone()
            constant.copy_(x)
            moved: torch.Tensor = self.blocks(constant)
            return moved

    image = torch.zeros(2, 4, device="meta")
    network = Written(_network([], InPlace)).eval()
    alone = count_costs(network, image)
    with MetaCache():
        assert count_costs(network, image) == alone
        assert count_costs(network, image) == alone


def test_a_refusal_is_the_same() -> None:
    network = Growing().eval()
    assert _passed(network, 1, 3, 4, 4).shape == (1, 3)
    with MetaCache():
        assert _passed(network, 1, 3, 4, 4).shape == (1, 3)
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"Kernel size can't be greater"):
                _passed(network, 1, 3, 1, 1)
        assert _passed(network, 1, 3, 4, 4).shape == (1, 3)


def test_hooks_hear_of_every_call() -> None:
    network, heard = _network([]), list[int]()
    network[0].register_forward_hook(lambda *_: heard.append(1))  # type: ignore[operator]
    with MetaCache():
        for _ in range(2):
            _passed(network, 2, 4)
    assert len(heard) == 2


def test_arithmetic_and_gradients_are_left_alone() -> None:
    layer = nn.Linear(2, 2)
    images = torch.rand(3, 2)
    call = nn.Module.__call__
    with MetaCache():
        assert nn.Module.__call__ is not call
        assert torch.equal(layer(images), layer(images))
        assert layer(images).requires_grad
        with torch.no_grad():
            assert not torch.equal(layer(images), layer(images + 1))
    assert nn.Module.__call__ is call
