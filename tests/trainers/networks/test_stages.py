"""The features of all stages of a network, and the head that takes them."""

from __future__ import annotations

import pytest
import timm
import torch

from archfront.trainers.errors import BuildError
from archfront.trainers.networks.stages import stage_features, stages_of
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


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("test_vit", "maps of 1 sizes in 6 stages at 64 px"),
        ("test_plain", "does not give the maps of its stages"),
    ],
)
def test_a_network_without_stages_carries_no_levels(name: str, why: str) -> None:
    if name == "test_plain":
        with pytest.raises(BuildError, match=f"{name} {why}. Choose another head"):
            stages_of(torch.nn.Linear(3, 3), name, channels=3, input_size=64)
        return
    assert "levels" not in TASKS["classification"].heads_for(name)
    of = Architecture("classification", name, "levels", 64, 3, 3)
    with pytest.raises(BuildError, match=f"{name} has {why}.*Choose another head"):
        TASKS["classification"].build(of, Weights())


def test_a_merged_network_has_the_features_of_its_blocks() -> None:
    task, of = (
        TASKS["classification"],
        Architecture("classification", "test_byobnet", "levels", 64, 3, 3, fused=True),
    )
    model = task.build(of, Weights()).eval()
    images = torch.rand(2, 3, 64, 64)
    (probabilities,) = task.deploy_module(model)(images)
    torch.testing.assert_close(probabilities, task.predict(model, images)["probabilities"])
