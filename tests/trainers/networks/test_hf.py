"""Classifiers of transformers as candidates: tiny ones, which the tests write themselves."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForImageClassification

from archfront.search.latency.key import MeasureSettings, latency_key
from archfront.search.latency.measure import measure_architecture
from archfront.search.prepare.select_backbones import select
from archfront.trainers.data import DataRef
from archfront.trainers.errors import BuildError, ConfigError, WeightsError
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.networks.hf.files import create_hub
from archfront.trainers.networks.hf.names import content_of, digest_of
from archfront.trainers.networks.weights import fetch, resolve
from archfront.trainers.spec import Recipe, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.proxy import train
from archfront.trainers.training.scoring import score
from tests.support.hub_networks import TINY, architecture, save
from tests.support.small_spaces import space_config


@pytest.fixture(params=TINY)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def name(tmp_path: Path, kind: str) -> str:
    """Return the name of a tiny network in a folder."""
    save(tmp_path / kind, kind)
    return f"hf:{tmp_path / kind}"


@pytest.fixture
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the hub's cache to an empty folder and forbid the network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_missing_transformers_names_its_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr("archfront.trainers.networks.hf.names.version", missing)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'archfront\[hf\]'"):
        select(space_config(backbones=(name,)), tmp_path)
    with pytest.raises(BuildError, match=r"pip install 'archfront\[hf\]'"):
        create_hub(name)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [24, 40])
def test_a_network_is_built_for_the_image(name: str, channels: int, size: int) -> None:
    a = architecture(name, input_size=size, channels=channels)
    task = TASKS["classification"]
    outputs = task.deploy_module(task.build(a, Weights()))(task.example(a, 2, 0))
    assert outputs[0].shape == (2, 4)
    assert outputs[0].sum().item() == pytest.approx(2)


def test_another_head_is_refused_by_its_name(name: str) -> None:
    task = TASKS["classification"]
    assert task.heads_for(name) == ("timm",)
    with pytest.raises(BuildError, match=r"head 'gem': transformers' classifiers have one head"):
        task.build(architecture(name, head="gem"), Weights())


@pytest.mark.parametrize("task_name", ["classification", "multilabel"])
def test_only_the_classifier_of_a_frozen_network_is_trained(task_name: str, name: str) -> None:
    task = TASKS[task_name]
    a = architecture(name, task=task_name)
    model = task.build(a, Weights(), 0.2)
    task.freeze(model)
    trained = {key for key, p in model.named_parameters() if p.requires_grad}
    assert {key.split(".")[2] for key in trained} == {"classifier"}
    batch = (task.example(a, 4, 0), task.example_targets(a, 4, 0))
    settings = TrainSettings(task.metrics[0], 1, 1, 0, 0.1, "one_cycle", "fp32", 1)
    sum(task.training_step(model, batch, settings).values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_dropout_comes_before_the_classifier_and_renames_nothing(name: str) -> None:
    plain, dropping = (create_hub(name, input_size=32, dropout=share) for share in (0.0, 0.5))
    assert plain.state_dict().keys() == dropping.state_dict().keys()
    images = torch.randn(2, 3, 32, 32)
    assert not torch.equal(dropping.train()(images), dropping(images))
    assert torch.equal(dropping.eval()(images), dropping(images))


def test_weights_are_read_and_only_the_classifier_is_new(
    kind: str, name: str, tmp_path: Path
) -> None:
    source = AutoModelForImageClassification.from_pretrained(tmp_path / kind).state_dict()
    weights = resolve([name], "pretrained").weights[name]
    assert (weights.source, weights.path) == (
        "pretrained",
        str(tmp_path / kind / "model.safetensors"),
    )
    own = {"resnet": 224, "vit": 32}[kind]
    state = create_hub(name, input_size=own, classes=4, weights=weights).network.state_dict()
    for key, value in source.items():
        assert key.startswith("classifier.") or torch.equal(value, state[key]), key
    assert resolve([name], str(tmp_path)).weights[name].sha256 == weights.sha256


def test_weights_are_adapted_to_grey_images_and_another_size(name: str) -> None:
    weights = resolve([name], "pretrained", channels=1).weights[name]
    colored = create_hub(name, weights=weights).eval()
    grey = create_hub(name, channels=1, weights=weights, input_size=24).eval()
    first = [next(m for m in n.modules() if isinstance(m, nn.Conv2d)) for n in (colored, grey)]
    assert torch.allclose(first[0].weight.sum(dim=1, keepdim=True), first[1].weight)
    assert grey(torch.zeros(1, 1, 24, 24)).shape == (1, 1000)


def test_positions_keep_their_place_at_another_size(tmp_path: Path) -> None:
    save(tmp_path, "vit")
    name = f"hf:{tmp_path}"
    state = load_file(tmp_path / "model.safetensors")
    ramp = torch.arange(4.0).repeat(4)  # from left to right
    state["vit.embeddings.position_embeddings"][0, 1:] = ramp[:, None]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    weights = resolve([name], "pretrained").weights[name]
    small, large = (
        create_hub(name, weights=weights, input_size=size).network.vit.embeddings
        for size in (32, 64)
    )
    assert torch.equal(small.position_embeddings[:, :1], large.position_embeddings[:, :1])
    grid = large.position_embeddings[0, 1:].view(8, 8, 16)
    middle = torch.tensor([0.75, 1.25, 1.75, 2.25])[None, :, None]
    assert torch.allclose(grid[2:6, 2:6], middle.expand(4, 4, 16), atol=0.1)


def test_normalization_is_that_of_the_weights(name: str) -> None:
    weights = resolve([name], "pretrained").weights[name]
    found = preprocess_for(architecture(name), weights)
    assert (found.mean, found.std) == ((0.1, 0.2, 0.6), (0.5, 0.5, 0.2))
    assert found.interpolation == "bicubic"
    grey = preprocess_for(architecture(name, channels=1), weights)
    assert grey.mean == pytest.approx((0.3,))
    assert preprocess_for(architecture(name), Weights()).mean == (0.5, 0.5, 0.5)


def test_weights_for_blue_green_red_take_red_green_blue(tmp_path: Path) -> None:
    network = save(tmp_path, "resnet")
    images = torch.rand(2, 3, 32, 32)
    turned = {"do_normalize": False, "do_flip_channel_order": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(turned))
    name = f"hf:{tmp_path}"
    weights = resolve([name], "pretrained").weights[name]
    assert preprocess_for(architecture(name), weights).mean == (0.0, 0.0, 0.0)
    ours = create_hub(name, classes=6, weights=weights).eval()
    ours.network.classifier.load_state_dict(network.classifier.state_dict())
    expected = network(pixel_values=images.flip(1)).logits
    assert torch.allclose(ours(images), expected, atol=1e-6)


def drop(state: dict[str, torch.Tensor]) -> None:
    del state[next(key for key in state if key.endswith("weight") and "classifier" not in key)]


def add(state: dict[str, torch.Tensor]) -> None:
    state["layer9.weight"] = torch.zeros(3)


def widen(state: dict[str, torch.Tensor]) -> None:
    key = next(k for k, v in state.items() if v.ndim == 4)
    state[key] = torch.zeros(9, 9, 3, 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [(drop, "nothing for "), (add, r"no place for layer9\.weight"), (widen, "another shape of ")],
)
def test_a_layer_more_or_less_is_never_filled_by_chance(
    damage: Any, message: str, name: str, kind: str, tmp_path: Path
) -> None:
    file = tmp_path / kind / "model.safetensors"
    state = load_file(file)
    damage(state)
    save_file(state, file, metadata={"format": "pt"})
    reason = resolve([name], "pretrained").missing[name]
    assert f"{file} does not fit {name}: " in reason
    with pytest.raises(WeightsError, match=message):
        create_hub(name, weights=Weights("folder", path=str(file)))


def test_what_lacks_beside_the_weights_is_named(name: str, kind: str, tmp_path: Path) -> None:
    file = tmp_path / kind / "preprocessor_config.json"
    file.write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    assert "has no image_std" in resolve([name], "pretrained").missing[name]
    file.unlink()
    assert "not known how the images" in resolve([name], "pretrained").missing[name]
    (tmp_path / kind / "model.safetensors").unlink()
    assert (
        f"There are no weights for {name}: looked for"
        in (resolve([name], "pretrained").missing[name])
    )


def test_pretrained_weights_come_from_the_cache_of_the_hub(
    empty_hub: Path, tmp_path: Path
) -> None:
    name = "hf:acme/tiny"
    with pytest.raises(ConfigError, match="the configuration of hf:acme/tiny is not on this"):
        content_of(name)
    snapshot = empty_hub / "models--acme--tiny" / "snapshots" / "abc"
    save(snapshot, "resnet")
    (empty_hub / "models--acme--tiny" / "refs").mkdir()
    (empty_hub / "models--acme--tiny" / "refs" / "main").write_text("abc")
    weights = resolve([name], "pretrained").weights[name]
    assert weights.path == str(snapshot / "model.safetensors")
    assert fetch([name]) == {name: snapshot / "model.safetensors"}
    shutil.copytree(snapshot, tmp_path / "mine" / "acme--tiny")
    found = resolve([name], str(tmp_path / "mine")).weights[name]
    assert (found.source, found.sha256) == ("folder", weights.sha256)


@pytest.mark.usefixtures("empty_hub")
def test_weights_that_were_not_fetched_name_the_command() -> None:
    name = "hf:microsoft/resnet-18"
    reason = resolve([name], "pretrained").missing[name]
    assert f"The weights of {name} are not on this machine. Run 'archfront weights" in reason
    with pytest.raises(WeightsError, match=r"1 of 1 weights could not be fetched"):
        fetch([name])


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "eager"])
def test_they_are_measured_as_they_are_deployed(name: str, runtime: str, tmp_path: Path) -> None:
    settings = MeasureSettings(runtime, 1, 1, 1, 5, max_seconds=0.03)
    found = measure_architecture(architecture(name), settings, folder=tmp_path)
    assert found.latency.exporter == {"onnxruntime": "torchscript", "eager": "none"}[runtime]
    assert found.latency.p50_ms > 0
    assert digest_of(name) in latency_key(architecture(name), settings).timm_version


@pytest.mark.slow
@pytest.mark.parametrize("weights_of", ["none", "pretrained"])
def test_they_are_trained_and_scored_like_the_others(
    weights_of: str, name: str, tmp_path: Path
) -> None:
    data = DataRef("digits", None, None, False, 120, 90, 80, 0, None, "stop", 100)
    a = architecture(name, input_size=16, classes=10, channels=1)
    weights = resolve([name], weights_of, channels=1).weights[name]
    recipe = Recipe(5e-3, 0.01, 32, "light", 0.1, freeze=weights_of == "pretrained")
    settings = TrainSettings("accuracy", 2, 2, 7, 0.1, "one_cycle", "fp32", 1)
    first, second = (
        train(a, weights, recipe, data, settings, folder=tmp_path / part) for part in "ab"
    )
    assert first.metrics == second.metrics
    metrics, _ = score(a, first.weights, data, split="val", preprocess_of=weights, threads=1)
    assert metrics == pytest.approx(first.metrics)
