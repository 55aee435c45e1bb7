"""Classifiers of transformers as candidates: tiny ones, which the tests write themselves."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForImageClassification
from transformers.utils import logging as told

from archfront.search.catalog import catalog
from archfront.search.catalog.describe_hub import describe_hub
from archfront.search.latency.key import MeasureSettings, latency_key
from archfront.search.latency.measure import measure_architecture
from archfront.search.prepare.build_space import build_space
from archfront.search.prepare.select_backbones import select, selection
from archfront.search.space.space import Space
from archfront.trainers.data import DataRef
from archfront.trainers.errors import BuildError, ConfigError, WeightsError
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.networks.hf.files import create_hub
from archfront.trainers.networks.hf.hub_models import HUB_MODELS
from archfront.trainers.networks.hf.names import canonical, content_of, digest_of
from archfront.trainers.networks.hf.network import built, config_for
from archfront.trainers.networks.weights import fetch, resolve
from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.proxy import train
from archfront.trainers.training.scoring import score
from tests.support.small_spaces import recipe_config, space_config

TINY: dict[str, dict[str, Any]] = {
    "resnet": {
        "embedding_size": 8,
        "hidden_sizes": [8, 16],
        "depths": [1, 1],
        "layer_type": "basic",
    },
    "vit": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "patch_size": 8,
        "image_size": 32,
    },
}
PREPROCESSOR = {"image_mean": [0.1, 0.2, 0.6], "image_std": [0.5, 0.5, 0.2], "resample": 3}
# timm's network of the same design.
TWINS = {
    "apple/mobilevit-small": "mobilevit_s",
    "apple/mobilevit-x-small": "mobilevit_xs",
    "apple/mobilevit-xx-small": "mobilevit_xxs",
    "facebook/convnext-base-224": "convnext_base",
    "facebook/convnext-small-224": "convnext_small",
    "facebook/convnext-tiny-224": "convnext_tiny",
    "facebook/deit-base-patch16-224": "deit_base_patch16_224",
    "facebook/deit-small-patch16-224": "deit_small_patch16_224",
    "facebook/deit-tiny-patch16-224": "deit_tiny_patch16_224",
    "google/mobilenet_v2_0.35_96": "mobilenetv2_035",
    "google/mobilenet_v2_0.75_160": "mobilenetv2_075",
    "google/mobilenet_v2_1.0_224": "mobilenetv2_100",
    "google/mobilenet_v2_1.4_224": "mobilenetv2_140",
    "google/vit-base-patch16-224": "vit_base_patch16_224",
    "google/vit-large-patch16-224": "vit_large_patch16_224",
    "microsoft/resnet-101": "resnet101",
    "microsoft/resnet-152": "resnet152",
    "microsoft/resnet-18": "resnet18",
    "microsoft/resnet-26": "resnet26",
    "microsoft/resnet-34": "resnet34",
    "microsoft/resnet-50": "resnet50",
    "microsoft/swin-base-patch4-window7-224": "swin_base_patch4_window7_224",
    "microsoft/swin-small-patch4-window7-224": "swin_small_patch4_window7_224",
    "microsoft/swin-tiny-patch4-window7-224": "swin_tiny_patch4_window7_224",
}


def save(folder: Path, kind: str, **changes: Any) -> nn.Module:
    """Write a tiny network as transformers does, and return it."""
    torch.manual_seed(11)
    config = AutoConfig.for_model(kind, **{**TINY[kind], "num_labels": 6, **changes})
    network: nn.Module = AutoModelForImageClassification.from_config(config)
    told.disable_progress_bar()
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return network.eval()


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


def architecture(name: str, **changes: Any) -> Architecture:
    return replace(Architecture("classification", name, "timm", 32, 4, 3), **changes)


def test_every_known_configuration_has_a_twin() -> None:
    assert set(TWINS) == set(HUB_MODELS)


@pytest.mark.slow
@pytest.mark.parametrize("repository", HUB_MODELS)
def test_a_known_configuration_has_as_many_parameters_as_its_twin(repository: str) -> None:
    network = built(repository, config_for(f"hf:{repository}"), "meta")
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    # The catalog has four digits behind the point.
    assert count == pytest.approx(catalog()[TWINS[repository]].params_m, abs=6e-5)


@pytest.mark.slow
@pytest.mark.parametrize("repository", ["microsoft/resnet-18", "facebook/deit-tiny-patch16-224"])
def test_a_row_has_the_work_of_its_twin(repository: str) -> None:
    row, twin = describe_hub(f"hf:{repository}"), catalog()[TWINS[repository]]
    assert (row.input_size, row.size_step) == (twin.input_size, twin.size_step)
    assert row.costs_at(224).macs_g == pytest.approx(twin.costs_at(224).macs_g, rel=1e-3)
    assert (row.heads, row.is_fusable, row.licence()) == ((("timm",),), False, "apache-2.0")


@pytest.mark.slow
def test_a_row_says_which_sizes_a_network_takes(kind: str, name: str) -> None:
    row = describe_hub(name)
    assert row.family == f"hf_{kind}"
    assert row.licence() == "?"
    assert row.is_built
    expected = {"resnet": ("any", 1, 224), "vit": ("img_size", 8, 32)}[kind]
    assert (row.sizes, row.size_step, row.input_size) == expected
    assert row.takes(40)


def test_folders_are_known_by_their_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert canonical("hf:./net") == f"hf:{tmp_path / 'net'}"
    assert canonical("hf:~/net") == f"hf:{Path('~/net').expanduser()}"
    assert canonical("hf:microsoft/resnet-50") == "hf:microsoft/resnet-50"


@pytest.mark.slow
def test_names_are_taken_beside_patterns_and_remembered(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = space_config(backbones=("resnet18", name, name))
    first = select(config, tmp_path / "root")
    assert [row.name for row in first] == ["resnet18", name]
    monkeypatch.setattr("archfront.search.catalog.describe_hub.describe_hub", None)
    assert select(config, tmp_path / "root") == first
    assert [p.name for p in (tmp_path / "root").rglob("*") if p.is_file()] == ["hub.json"]


@pytest.mark.slow
def test_a_memory_that_cannot_be_read_is_built_anew(name: str, tmp_path: Path) -> None:
    memory = tmp_path / "root" / "cache" / "hub.json"
    memory.parent.mkdir(parents=True)
    memory.write_text("{")
    assert [row.name for row in select(space_config(backbones=(name,)), tmp_path / "root")] == [
        name
    ]
    assert name in json.loads(memory.read_text())


@pytest.mark.slow
def test_limits_hold_for_them_too(name: str, tmp_path: Path) -> None:
    config = space_config(backbones=("resnet18", name), params_m_max=1.0, families=("hf_*",))
    assert [row.name for row in select(config, tmp_path)] == [name]
    excluded = space_config(backbones=("resnet18", name), exclude=("hf:*",))
    assert selection(excluded, tmp_path).left_out == {"excluded by space.exclude": 1}


@pytest.mark.usefixtures("empty_hub")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "hf:microsoft/resnet-51",
            r"the configuration of hf:microsoft/resnet-51 is not on this machine \(near: "
            r"microsoft/resnet-\d+.*Fetch it with: archfront weights fetch space\.backbones=hf:",
        ),
        ("hf:/nowhere/net", r"hf:/nowhere/net needs the file /nowhere/net/config\.json, which"),
        ("hf:a/b/c", r"hf:a/b/c is no name of a repository \(owner/name\) and no folder"),
    ],
)
def test_a_name_without_a_configuration_says_what_to_do(
    name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        select(space_config(backbones=(name,)), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"config\.json cannot be read as a configuration: "),
        ("[]", r"config\.json has no model_type\."),
        ('{"model_type": "resnit"}', r"transformers [\d.]+ knows no model_type 'resnit'"),
        ('{"model_type": "gpt2"}', r"cannot be built as an image classifier of transformers: "),
    ],
)
def test_a_configuration_that_is_none_is_refused(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        select(space_config(backbones=(f"hf:{tmp_path}",)), tmp_path / "root")


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


def space(name: str, root: Path, **changes: Any) -> Space:
    config = space_config(
        backbones=(name,), heads=("timm",), input_sizes=(16, 32), recipe=recipe_config(), **changes
    )
    rows = select(config, root)
    return build_space(
        config, rows, {name: Weights()}, task="classification", classes=4, channels=3
    )


@pytest.mark.slow
def test_a_space_is_the_same_until_the_configuration_changes(
    name: str, kind: str, tmp_path: Path
) -> None:
    before = space(name, tmp_path).fingerprint
    assert space(name, tmp_path / "other").fingerprint == before
    file = tmp_path / kind / "config.json"
    content: Mapping[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "transformers_version": "9", "id2label": {"0": "a"}}))
    assert space(name, tmp_path).fingerprint == before
    file.write_text(json.dumps({**content, "initializer_range": 0.5}))
    assert space(name, tmp_path).fingerprint != before


@pytest.mark.slow
def test_other_tasks_leave_them_out_with_the_reason(name: str, tmp_path: Path) -> None:
    from archfront.search.prepare.build_space import _heads

    [row] = select(space_config(backbones=(name,)), tmp_path)
    heads, reasons = _heads(row, space_config(heads=("unet",)), TASKS["semantic"])
    assert heads == ()
    assert reasons == ["transformers' image classifiers give no feature maps"]


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "eager"])
def test_they_are_measured_as_they_are_deployed(name: str, runtime: str, tmp_path: Path) -> None:
    settings = MeasureSettings(runtime, 1, 1, 1, 5, max_seconds=0.2)
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
