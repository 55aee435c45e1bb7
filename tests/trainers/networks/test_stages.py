"""The features of the stages of a network, and the heads that take them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import timm
import torch

from archfront.trainers.errors import BuildError
from archfront.trainers.networks.classifiers import ON_STAGES
from archfront.trainers.networks.count import count_costs
from archfront.trainers.networks.stages import (
    stage_features,
    stages_of,
    truncate,
    truncated_features,
)
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks import TASKS


@pytest.mark.parametrize(
    ("name", "n_stages"),
    [
        ("test_resnet", 5),
        ("test_efficientnet", 5),  # with a convolution behind the last stage
        ("test_convnext", 4),
        ("test_mambaout", 4),  # with the channels last
    ],
)
def test_features_are_those_of_the_network_and_the_means_of_its_maps(
    name: str, n_stages: int
) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0).eval()
    images = torch.rand(2, 3, 64, 64)
    indices, width = stages_of(network, name, channels=3, input_size=64)
    found = stage_features(network, images, indices)
    assert found.shape == (2, width)
    own = network(images)
    torch.testing.assert_close(found[:, : own.shape[1]], own)
    means = [each.mean(dim=(2, 3)) for each in network.forward_intermediates(images)[1]]
    assert len(means) == n_stages
    others = torch.cat([means[stage] for stage in indices], dim=1)
    torch.testing.assert_close(found[:, own.shape[1] :], others)
    assert len(indices) == n_stages - (means[-1].shape[1] == own.shape[1])


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_mambaout"])
def test_a_truncated_network_has_the_first_features_at_less_cost(name: str) -> None:
    torch.manual_seed(0)
    whole = timm.create_model(name, num_classes=0).eval()
    network = deepcopy(whole)
    images = torch.rand(2, 3, 64, 64)
    indices, width = truncate(network, name, channels=3, input_size=64)
    found = truncated_features(network, images, indices)
    assert found.shape == (2, width)
    maps = whole.forward_intermediates(images)[1]
    means = [each.mean(dim=(2, 3)) for each in maps[:-1]]
    torch.testing.assert_close(found, torch.cat(means, dim=1))
    left = {key: value.shape for key, value in network.state_dict().items()}
    assert left.items() < {key: value.shape for key, value in whole.state_dict().items()}.items()
    assert sum(p.numel() for p in network.parameters()) < sum(
        p.numel() for p in whole.parameters()
    )


def test_a_truncated_network_does_less_work() -> None:
    of = Architecture("classification", "test_efficientnet", "levels", 64, 3, 3)
    counts = [
        count_costs(TASKS["classification"].build(each, Weights()), torch.zeros(1, 3, 64, 64))
        for each in (of, replace(of, head="truncated"))
    ]
    assert counts[1].macs < 0.99 * counts[0].macs
    assert counts[1].params < 0.6 * counts[0].params
    assert counts[1].n_ops < counts[0].n_ops


def test_a_network_whose_last_stage_timm_cannot_drop_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = timm.create_model("test_resnet", num_classes=0)
    monkeypatch.delattr(type(network), "prune_intermediate_layers")
    with pytest.raises(BuildError, match=r"cannot drop the last stage of test_resnet. Choose"):
        truncate(network, "test_resnet", channels=3, input_size=64)


@pytest.mark.parametrize("head", ["levels", "truncated"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("test_vit", "maps of 1 sizes in 6 stages at 64 px"),
        ("test_plain", "does not give the maps of its stages"),
    ],
)
def test_a_network_without_stages_carries_no_head_on_them(name: str, why: str, head: str) -> None:
    if name == "test_plain":
        find, _ = ON_STAGES[head]
        with pytest.raises(BuildError, match=f"{name} {why}. Choose another head"):
            find(torch.nn.Linear(3, 3), name, channels=3, input_size=64)
        return
    assert head not in TASKS["classification"].heads_for(name)
    of = Architecture("classification", name, head, 64, 3, 3)
    with pytest.raises(BuildError, match=f"{name} has {why}.*Choose another head"):
        TASKS["classification"].build(of, Weights())


@pytest.mark.parametrize("head", ["levels", "truncated"])
def test_a_merged_network_has_the_features_of_its_blocks(head: str) -> None:
    task, of = (
        TASKS["classification"],
        Architecture("classification", "test_byobnet", head, 64, 3, 3, fused=True),
    )
    model = task.build(of, Weights()).eval()
    images = torch.rand(2, 3, 64, 64)
    (probabilities,) = task.deploy_module(model)(images)
    torch.testing.assert_close(probabilities, task.predict(model, images)["probabilities"])
