from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from archfront.trainers.errors import BuildError
from archfront.trainers.networks.backbone import (
    build_backbone,
    create,
    family_and_strides,
    preprocess_for,
    remembered,
    run_once,
)
from archfront.trainers.networks.undrawn import Undrawn
from archfront.trainers.spec import Architecture, Weights

PYRAMIDS = ["test_resnet", "test_efficientnet", "test_convnext", "test_byobnet"]


@pytest.mark.parametrize("name", PYRAMIDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_level_has_its_channels_and_its_share_of_the_side(name: str, channels: int) -> None:
    backbone = build_backbone(name, channels=channels, input_size=64)
    levels = backbone(torch.zeros(2, channels, 64, 64))
    assert list(backbone.strides) == sorted(backbone.strides)
    for level, width, stride in zip(levels, backbone.channels, backbone.strides, strict=True):
        assert tuple(level.shape) == (2, width, 64 // stride, 64 // stride)


@pytest.mark.slow
def test_levels_of_a_channels_last_network_are_turned() -> None:
    backbone = build_backbone("swin_tiny_patch4_window7_224", channels=3, input_size=64)
    finest, *_ = backbone(torch.zeros(1, 3, 64, 64))
    assert tuple(finest.shape) == (1, backbone.channels[0], 16, 16)


@pytest.mark.parametrize("size", [8, 13, 24, 32])
def test_small_images_go_through_small_networks(size: int) -> None:
    network = create("test_resnet", channels=1, input_size=size, num_classes=10)
    assert network(torch.zeros(2, 1, size, size)).shape == (2, 10)


def test_a_network_of_fixed_size_is_made_for_the_size() -> None:
    network = create("test_vit", channels=3, input_size=32, num_classes=5)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 5)


def test_patches_that_do_not_fill_the_image_are_refused() -> None:
    with pytest.raises(BuildError, match=r"test_vit at 24 px.*patches of 16 px.*multiple of 16"):
        create("test_vit", channels=3, input_size=24, num_classes=5)


def test_a_network_that_shrinks_a_small_image_to_nothing_says_at_which_size() -> None:
    with pytest.raises(BuildError, match=r"convnext_atto at 8 px cannot be built: .*Choose"):
        build_backbone("convnext_atto", channels=3, input_size=8)


def test_an_unknown_model_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(BuildError, match=r"no model 'resnet81'\. Did you mean 'resnet18'"):
        create("resnet81", channels=3, input_size=32)


def test_building_draws_from_the_seed_only() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(create("test_resnet", channels=3, input_size=32))
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_images_are_normalized_as_the_weights_were_trained() -> None:
    grey = Architecture("classification", "resnet18", "timm", 32, 10, 1)
    preprocess = preprocess_for(grey, Weights("pretrained", tag="a1_in1k"))
    assert preprocess.mean == pytest.approx([sum((0.485, 0.456, 0.406)) / 3])
    assert preprocess_for(grey, Weights()).mean == (0.5,)


class Greedy(torch.nn.Module):
    """A network for which there is not enough memory."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no memory"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_little_memory_is_not_blamed_on_the_network(error: Exception) -> None:
    with pytest.raises(type(error), match="memory"):
        run_once(Greedy(error), "greedy", channels=3, input_size=8)


def test_any_other_refusal_is() -> None:
    with pytest.raises(BuildError, match=r"odd at 8 px cannot be built: no way\. Choose another"):
        run_once(Greedy(ValueError("no way.")), "odd", channels=3, input_size=8)


@pytest.mark.parametrize(
    "name", ["test_efficientnet", "test_resnet", "mobilenetv3_small_050", "convnext_atto"]
)
def test_stages_behind_the_last_map_are_not_built(name: str) -> None:
    whole = build_backbone(name, channels=3, input_size=64)
    index = [whole.strides.index(8), whole.strides.index(16)]
    part = build_backbone(name, channels=3, input_size=64, out_indices=tuple(index))
    assert part.strides == (8, 16)
    sum(level.sum() for level in part(torch.randn(2, 3, 64, 64))).backward()
    assert all(p.grad is not None for p in part.parameters())
    assert len(list(part.parameters())) < len(list(whole.parameters()))


def test_looks_at_a_network_are_one_unless_they_move_the_seed() -> None:
    """EfficientNet tries a layer of its own on the CPU, wherever it is built."""
    looks: list[str] = []

    @remembered
    def strides(name: str) -> tuple[int, ...]:
        looks.append(name)
        network = create(name, channels=3, input_size=None, features_only=True, device="meta")
        return tuple(network.feature_info.reduction())

    states = []
    for name in ("test_resnet", "test_efficientnet") * 2:
        torch.manual_seed(7)
        assert strides(name) == family_and_strides(name)[1]
        torch.manual_seed(7)
        strides(name)
        states.append(torch.get_rng_state())
    assert looks.count("test_resnet") == 1
    assert looks.count("test_efficientnet") == 4
    assert torch.equal(states[0], states[2])
    assert torch.equal(states[1], states[3])
    assert not torch.equal(states[0], states[1])


def test_what_could_not_be_built_is_tried_again() -> None:
    """A network whose maps could not be made once had none for the rest of the process."""
    answers = iter((BuildError("no memory"), "seen", "seen again"))

    @remembered
    def look(name: str) -> str:
        answer = next(answers)
        if isinstance(answer, BuildError):
            raise answer
        return answer

    with pytest.raises(BuildError, match="no memory"):
        look("test_resnet")
    assert look("test_resnet") == look("test_resnet") == "seen"


def test_nothing_is_drawn_where_there_is_no_memory() -> None:
    """Filling tensors on meta was two thirds of the time of a look at a network."""
    drawn = []
    for is_skipped in (False, True):
        torch.manual_seed(7)
        with Undrawn() if is_skipped else nullcontext():
            absent = torch.nn.init.trunc_normal_(torch.empty(4, 3, device="meta"))
            layer = torch.nn.Linear(3, 4)
        assert absent.shape == (4, 3)
        drawn.append(layer.weight)
    assert torch.equal(*drawn)
