"""Frozen backbones train on features that are computed once, and give what they gave before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import archfront.trainers.training.proxy
from archfront.trainers.data import DataRef, ImageSet, load
from archfront.trainers.errors import StateError
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.spec import Architecture, Recipe, TrainResult, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.frozen import Cached, cached_features
from archfront.trainers.training.proxy import train
from archfront.trainers.training.resume import Resumed

DIGITS = DataRef("digits", None, None, False, 120, 90, 80, 0, None, "stop", 100)
RECIPE = Recipe(
    lr=5e-3, weight_decay=0.05, batch_size=32, augment="none", dropout=0.0, freeze=True
)
SETTINGS = TrainSettings("accuracy", 3, 3, 7, 0.1, "one_cycle", "fp32", 1)
NETWORK = Architecture("classification", "test_resnet", "timm", 16, 10, 1)
CASES = [
    (NETWORK, RECIPE),
    (replace(NETWORK, head="mlp"), replace(RECIPE, dropout=0.3)),
    (replace(NETWORK, head="gem"), replace(RECIPE, dropout=0.3)),
    (replace(NETWORK, head="levels", input_size=32), replace(RECIPE, dropout=0.3)),
    (replace(NETWORK, head="truncated", input_size=32), replace(RECIPE, dropout=0.3)),
    (replace(NETWORK, backbone="test_vit", input_size=32), RECIPE),
    (replace(NETWORK, backbone="test_convnext", input_size=32), RECIPE),
]


def first_weights(architecture: Architecture, folder: Path) -> Weights:
    """Write a drawn network in timm's own names and return it as weights."""
    path = folder / "first.pth"
    path.write_bytes(drawn(replace(architecture, head="timm")))
    return Weights("folder", path=str(path))


@cache
def drawn(architecture: Architecture) -> bytes:
    """Return the file of a drawn network in timm's own names; each is drawn once."""
    torch.manual_seed(3)
    state = TASKS["classification"].build(architecture, Weights()).state_dict()
    file = BytesIO()
    torch.save({k.removeprefix("backbone."): v for k, v in state.items()}, file)
    return file.getvalue()


def run(architecture: Architecture, recipe: Recipe, folder: Path, **changes: Any) -> TrainResult:
    weights = first_weights(architecture, folder)
    settings = replace(SETTINGS, **changes)
    return train(architecture, weights, recipe, DIGITS, settings, folder=folder / "out")


@contextmanager
def uncached() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archfront.trainers.training.proxy, "cached_features", lambda *_, **__: None)
        yield


def prepared(
    architecture: Architecture, recipe: Recipe, folder: Path, *, limit_bytes: float = 1e9
) -> Cached | None:
    """Return what is cached of a frozen network with these records."""
    weights = first_weights(architecture, folder)
    model = TASKS["classification"].build(architecture, weights, recipe.dropout)
    if recipe.freeze:
        TASKS["classification"].freeze(model)
    preprocess = preprocess_for(architecture, weights, "squash")
    splits = {n: ImageSet.of(load(DIGITS).splits[n], preprocess) for n in ("train", "val")}
    cache = partial(cached_features, model, splits, preprocess, recipe, SETTINGS)
    return cache(eval_batch=64, limit_bytes=limit_bytes)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "recipe"), CASES)
def test_cached_features_train_like_images(
    architecture: Architecture, recipe: Recipe, tmp_path: Path
) -> None:
    for part in ("cached", "whole"):
        (tmp_path / part).mkdir()
    cached = run(architecture, recipe, tmp_path / "cached")
    with uncached():
        whole = run(architecture, recipe, tmp_path / "whole")
    assert [row.train_loss for row in cached.curve] == pytest.approx(
        [row.train_loss for row in whole.curve], rel=1e-6
    )
    before, after = (load_file(result.weights) for result in (whole, cached))
    assert before.keys() == after.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-5, atol=1e-6)
    first, second = (np.load(r.predictions)["probabilities"] for r in (whole, cached))
    np.testing.assert_allclose(second, first, atol=1e-6)
    assert cached.metrics == whole.metrics
    assert len(cached.curve) == 3
    # The seconds of the features count too, though no epoch has them.
    assert cached.seconds > sum(row.seconds for row in cached.curve)
    assert whole.seconds == sum(row.seconds for row in whole.curve)


def test_the_backbone_sees_every_image_once_for_all_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    build = type(TASKS["classification"]).build

    def counted(self: Any, *arguments: Any) -> nn.Module:
        model = build(self, *arguments)
        model.backbone.conv1.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
        return model

    monkeypatch.setattr(type(TASKS["classification"]), "build", counted)
    run(NETWORK, RECIPE, tmp_path)
    # All of train and val, and a few images on which the network is tried before.
    assert 120 + 90 <= sum(seen) < 120 + 90 + 30


@pytest.mark.parametrize(("architecture", "recipe"), CASES[:3])
def test_heads_train_in_several_goes_as_in_one(
    architecture: Architecture, recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    whole = run(architecture, recipe, tmp_path / "whole")
    lower = run(architecture, recipe, tmp_path, until_epoch=1)
    weights = Weights("folder", path=str(tmp_path / "first.pth"))
    upper = train(
        architecture,
        weights,
        recipe,
        DIGITS,
        SETTINGS,
        folder=tmp_path / "upper",
        resume=lower.resume,
    )
    assert [(r.train_loss, r.metrics) for r in upper.curve] == [
        (r.train_loss, r.metrics) for r in whole.curve
    ]
    first, second = (np.load(r.predictions)["probabilities"] for r in (whole, upper))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("is_cached_first", [True, False])
@pytest.mark.parametrize(("architecture", "recipe"), CASES[:2])
def test_a_head_goes_on_in_the_whole_network_and_a_network_as_a_head(
    architecture: Architecture, recipe: Recipe, is_cached_first: bool, tmp_path: Path
) -> None:
    """With another data.memory_mb its averaged weights did not fit, nor its parameter groups."""
    recipe = replace(recipe, layer_decay=0.7)
    (tmp_path / "whole").mkdir()
    with uncached():
        whole = run(architecture, recipe, tmp_path / "whole", ema=0.9)
    with nullcontext() if is_cached_first else uncached():
        lower = run(architecture, recipe, tmp_path, until_epoch=1, ema=0.9)
    with uncached() if is_cached_first else nullcontext():
        upper = train(
            architecture,
            Weights("folder", path=str(tmp_path / "first.pth")),
            recipe,
            DIGITS,
            replace(SETTINGS, ema=0.9),
            folder=tmp_path / "upper",
            resume=lower.resume,
        )
    before, after = (load_file(result.weights) for result in (whole, upper))
    assert before.keys() == after.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-5, atol=1e-6)


def test_averaged_weights_of_earlier_files_are_of_their_head_alone() -> None:
    network = TASKS["classification"].build(NETWORK, Weights())
    head: Any = network.backbone.fc  # type: ignore[union-attr]
    left = Resumed(
        1, (), network.state_dict(), {}, {n: v + 1 for n, v in head.state_dict().items()}
    )
    assert left.average_of(head, network).keys() == head.state_dict().keys()
    with pytest.raises(StateError, match="of a head alone"):
        left.average_of(network, network)


@pytest.mark.parametrize(("architecture", "recipe"), CASES)
def test_these_are_cached(architecture: Architecture, recipe: Recipe, tmp_path: Path) -> None:
    cached = prepared(architecture, recipe, tmp_path)
    assert cached is not None
    assert (len(cached.train), len(cached.val)) == (120, 90)


@pytest.mark.parametrize(
    "recipe",
    [
        replace(RECIPE, augment="light"),
        replace(RECIPE, dropout=0.3),  # timm's own head drops before the layer that is trained
        replace(RECIPE, freeze=False),
    ],
)
def test_what_chance_changes_before_the_head_is_trained_whole(
    recipe: Recipe, tmp_path: Path
) -> None:
    assert prepared(NETWORK, recipe, tmp_path) is None


def test_two_averaged_classifiers_are_trained_whole(tmp_path: Path) -> None:
    two = replace(NETWORK, backbone="deit_tiny_distilled_patch16_224", input_size=32)
    assert prepared(two, RECIPE, tmp_path) is None


def test_features_that_memory_does_not_hold_are_not_cached(tmp_path: Path) -> None:
    assert prepared(NETWORK, RECIPE, tmp_path, limit_bytes=1000) is None


@pytest.mark.slow
def test_half_precision_trains_on_features_in_half(tmp_path: Path) -> None:
    large = replace(NETWORK, input_size=64)
    for part in ("cached", "whole"):
        (tmp_path / part).mkdir()
    cached = run(large, RECIPE, tmp_path / "cached", precision="bf16")
    with uncached():
        whole = run(large, RECIPE, tmp_path / "whole", precision="bf16")
    assert [row.train_loss for row in cached.curve] == pytest.approx(
        [row.train_loss for row in whole.curve], rel=1e-3
    )
