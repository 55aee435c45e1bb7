"""Layer-wise learning rates: the groups of a classifier, and what a training makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from archfront.trainers.networks.classifiers import build_classifier
from archfront.trainers.training.module import parameter_groups
from tests.support.probes import NETWORK, RECIPE, SETTINGS, run


@pytest.mark.parametrize("head", ["timm", "gem", "mlp"])
def test_each_parameter_is_in_one_group_and_lower_layers_learn_less(head: str) -> None:
    model = build_classifier(replace(NETWORK, head=head))
    groups = parameter_groups(model, 0.05, 0.5)
    scales = {id(p): group.get("lr_scale", 1.0) for group in groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    of = {name: scales[id(parameter)] for name, parameter in model.named_parameters()}
    assert of["backbone.conv1.0.weight"] < of["backbone.layer1.0.conv1.weight"]
    assert of["backbone.layer1.0.conv1.weight"] < of["backbone.layer4.0.conv1.weight"] < 1
    top = [scale for name, scale in of.items() if "fc" in name or name.startswith("head")]
    assert set(top) == {1.0}
    assert all((decays[id(p)] > 0) == (p.ndim > 1) for p in model.parameters())
    model.freeze()
    frozen = parameter_groups(model, 0.05, 0.5)
    assert {group.get("lr_scale", 1.0) for group in frozen if group["params"]} == {1.0}
    plain = parameter_groups(model, 0.05)
    assert [set(group) for group in plain] == [{"params", "weight_decay"}] * 2


@pytest.mark.slow
def test_a_training_moves_lower_layers_less_and_its_row_has_the_whole_rate(tmp_path: Path) -> None:
    settings = replace(SETTINGS, init="random", until_epoch=1, horizon=1, ema=0.0)
    moved, rates = {}, []
    for decay in (1.0, 0.3):
        recipe = replace(RECIPE, layer_decay=decay, dropout=0.0)
        folder = tmp_path / str(decay)
        result = run(folder, settings=settings, recipe=recipe)
        before, after = torch.load(folder / "first.pth"), load_file(result.weights)
        moved[decay] = [
            float((after[f"backbone.{name}"] - before[name]).abs().max())
            for name in ("conv1.0.weight", "layer4.0.conv2.weight")
        ]
        rates.append(result.curve[-1].lr)
    assert rates[0] == rates[1]
    assert moved[0.3][0] < 0.1 * moved[1.0][0]
    assert moved[0.3][1] > 0.1 * moved[1.0][1]
