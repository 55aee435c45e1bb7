"""Classifiers of transformers as candidates: their rows, names, limits and spaces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from archfront.search.catalog import catalog
from archfront.search.catalog.describe_hub import describe_hub
from archfront.search.prepare.build_space import build_space
from archfront.search.prepare.select_backbones import select, selection
from archfront.search.space.space import Space
from archfront.trainers.errors import ConfigError
from archfront.trainers.networks.hf.hub_models import HUB_MODELS
from archfront.trainers.networks.hf.names import canonical
from archfront.trainers.networks.hf.network import built, config_for
from archfront.trainers.spec import Weights
from archfront.trainers.tasks import TASKS
from tests.support.hub_networks import TINY, save
from tests.support.small_spaces import recipe_config, space_config

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
