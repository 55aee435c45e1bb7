"""Blocks that can be merged are merged in what is deployed, and it computes the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from archfront.search.runtimes import torch_threads
from archfront.search.runtimes.perturb import draw_images, perturb
from archfront.trainers.networks.classifiers import build_classifier
from archfront.trainers.networks.task_network import Deployed
from archfront.trainers.spec import Architecture

# One of each kind of block that timm 1.0.31 merges, as small as there is.
FUSABLE = (
    "repvgg_a0",
    "mobileone_s1",
    "repvit_m0_9",
    "repghostnet_050",
    "ghostnetv3_050",
    "fastvit_t8",
    "efficientvit_m0",
    "levit_128s",
    "levit_conv_128s",
    "tiny_vit_5m_224",
    "efficientvim_m1",
    "iformer_t",
    "lcnetv2_small",
    "shvit_s1",
    "nextvit_small",
)
SIDE = 64
QUICK = ("repvgg_a0", "repghostnet_050", "fastvit_t8", "efficientvit_m0")
NAMES = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in FUSABLE]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def deployed(model: nn.Module) -> Deployed:
    return Deployed(model, nn.Softmax(dim=1))


def n_norms(module: nn.Module) -> int:
    return sum(isinstance(part, _BatchNorm) for part in module.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_merged_network_computes_the_same_with_less(name: str) -> None:
    torch.manual_seed(0)
    architecture = Architecture("classification", name, "timm", SIDE, classes=10, channels=3)
    trained = build_classifier(architecture)
    whole = deployed(trained).requires_grad_(False)
    images = draw_images(torch.zeros(1, 3, SIDE, SIDE), 0)
    perturb(whole, images, 0)
    trained.architecture = replace(architecture, fused=True)
    merged = deployed(trained).requires_grad_(False)
    with torch.inference_mode():
        (expected,), (found,) = whole(images), merged(images)
    spread = float(expected.std(dim=0).mean())
    assert float((found - expected).abs().max()) < 2e-3 * spread
    assert n_parameters(merged) < n_parameters(whole)
    assert n_norms(merged) < n_norms(whole)


def test_what_is_trained_on_is_not_merged_itself() -> None:
    torch.manual_seed(0)
    architecture = Architecture("classification", "repghostnet_050", "timm", 32, 10, 3, fused=True)
    trained = build_classifier(architecture)
    before = n_parameters(trained)
    merged = deployed(trained)
    assert n_parameters(trained) == before > n_parameters(merged)
    assert trained.training
    assert not any(part.training for part in merged.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["levit_128s", "tiny_vit_5m_224", "efficientvit_m0"])
def test_a_network_that_ran_before_is_perturbed_as_one_that_did_not(name: str) -> None:
    """Regression: what it kept of its weights stayed, and its right exports failed parity."""
    images = draw_images(torch.zeros(1, 3, SIDE, SIDE), 0)[:2]
    found = []
    for ran_before in (False, True):
        torch.manual_seed(0)
        architecture = Architecture("classification", name, "timm", SIDE, classes=10, channels=3)
        module = deployed(build_classifier(architecture)).requires_grad_(False)
        with torch.inference_mode():
            if ran_before:
                module(images[:1])
        perturb(module, images, 0)
        with torch.inference_mode():
            found.append(module(images)[0])
    torch.testing.assert_close(found[0], found[1])
