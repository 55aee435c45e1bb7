from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from archfront.trainers.errors import WeightsError
from archfront.trainers.networks.backbone import build_backbone, create
from archfront.trainers.networks.weights import fetch, resolve
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.sums import sha256_of
from archfront.trainers.tasks import TASKS

# Without weights there is nothing to download: each test saves what it has made itself.
NAMES = ["test_resnet", "test_vit", "test_efficientnet"]


def save(folder: Path, name: str, file: str | None = None, **options: object) -> nn.Module:
    """Save a random network as timm's files are, and return it."""
    torch.manual_seed(41)
    network: nn.Module = timm.create_model(name, **options)
    path = folder / (file or f"{name}.safetensors")
    if path.suffix == ".safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path)
    return network


def test_random_weights_need_no_files() -> None:
    assert resolve(["test_resnet"], "none").weights == {"test_resnet": Weights()}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_in_a_folder_is_found_hashed_and_loaded(
    name: str, suffix: str, tmp_path: Path
) -> None:
    source = save(tmp_path, name, f"{name}.{suffix}")
    resolution = resolve([name], str(tmp_path))
    weights = resolution.weights[name]
    assert not resolution.missing
    assert (weights.source, weights.tag) == ("folder", None)
    assert weights.sha256 == sha256_of(tmp_path / f"{name}.{suffix}")
    network = create(name, channels=3, input_size=160, weights=weights, num_classes=7)
    loaded = network.state_dict()
    for key, value in source.state_dict().items():
        is_head = key.split(".")[0] in ("fc", "head", "classifier")
        assert is_head or torch.equal(value, loaded[key]), key


@pytest.mark.parametrize("head", TASKS["classification"].heads)
def test_every_head_takes_the_backbone_from_the_file(head: str, tmp_path: Path) -> None:
    source = save(tmp_path, "test_resnet").state_dict()
    weights = resolve(["test_resnet"], str(tmp_path)).weights["test_resnet"]
    a = Architecture("classification", "test_resnet", head, 32, 5, 3)
    state = TASKS["classification"].build(a, weights).state_dict()
    assert torch.equal(state["backbone.conv1.0.weight"], source["conv1.0.weight"])
    last = "layer3" if head == "truncated" else "layer4"
    key = f"{last}.0.conv1.weight"
    assert torch.equal(state[f"backbone.{key}"], source[key])


def test_the_first_layer_is_adapted_to_grey_images(tmp_path: Path) -> None:
    source = save(tmp_path, "test_resnet").state_dict()["conv1.0.weight"]
    weights = resolve(["test_resnet"], str(tmp_path), channels=1).weights["test_resnet"]
    network = create("test_resnet", channels=1, input_size=32, weights=weights, num_classes=5)
    loaded = network.state_dict()["conv1.0.weight"]
    assert torch.allclose(loaded, source.sum(dim=1, keepdim=True), atol=1e-6)


def test_positions_are_adapted_to_another_size(tmp_path: Path) -> None:
    save(tmp_path, "test_vit")
    weights = resolve(["test_vit"], str(tmp_path)).weights["test_vit"]
    network = create("test_vit", channels=3, input_size=32, weights=weights, num_classes=5)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 5)


def test_a_pyramid_takes_the_weights_too(tmp_path: Path) -> None:
    source = save(tmp_path, "test_resnet").state_dict()
    weights = resolve(["test_resnet"], str(tmp_path)).weights["test_resnet"]
    backbone = build_backbone("test_resnet", channels=3, input_size=64, weights=weights)
    state = backbone.network.state_dict()
    assert torch.equal(state["layer4.0.conv1.weight"], source["layer4.0.conv1.weight"])


def test_what_a_pyramid_leaves_of_the_weights_is_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, "test_efficientnet")
    weights = resolve(["test_efficientnet"], str(tmp_path)).weights["test_efficientnet"]
    build_backbone("test_efficientnet", channels=3, input_size=64, weights=weights)
    assert not [record for record in caplog.records if record.name.startswith("timm")]


def test_a_classifier_of_other_classes_in_the_file_is_no_obstacle(tmp_path: Path) -> None:
    save(tmp_path, "test_resnet", num_classes=3)
    assert resolve(["test_resnet"], str(tmp_path)).weights


def test_the_classifier_comes_from_the_seed(tmp_path: Path) -> None:
    source = save(tmp_path, "test_resnet", num_classes=5).state_dict()
    weights = resolve(["test_resnet"], str(tmp_path)).weights["test_resnet"]
    classifiers = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        options = {"weights": weights, "num_classes": 5}
        network = create("test_resnet", channels=3, input_size=32, **options)
        classifiers.append(network.state_dict()["fc.weight"])
    assert torch.equal(classifiers[0], classifiers[1])
    assert not torch.equal(classifiers[0], classifiers[2])
    assert not torch.equal(classifiers[0], source["fc.weight"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "chosen", "tag"),
    [
        (["test_resnet", "test_resnet.r160_in1k"], "test_resnet.r160_in1k", "r160_in1k"),
        (["test_resnet", "test_resnet.mine"], "test_resnet", None),
        (["test_resnet.mine"], "test_resnet.mine", "mine"),
    ],
)
def test_of_several_files_timm_s_default_goes_first(
    files: list[str], chosen: str, tag: str | None, tmp_path: Path
) -> None:
    save(tmp_path, "test_resnet", f"{files[0]}.safetensors")
    for file in files[1:]:
        (tmp_path / f"{file}.safetensors").write_bytes(
            (tmp_path / f"{files[0]}.safetensors").read_bytes()
        )
    weights = resolve(["test_resnet"], str(tmp_path)).weights["test_resnet"]
    assert (weights.path, weights.tag) == (str(tmp_path / f"{chosen}.safetensors"), tag)


def test_files_among_which_nothing_chooses_are_named(tmp_path: Path) -> None:
    for tag in ("one", "two"):
        (tmp_path / f"resnet18.{tag}.pth").touch()
    reason = resolve(["resnet18"], str(tmp_path)).missing["resnet18"]
    assert "several files for resnet18: resnet18.one.pth, resnet18.two.pth" in reason
    assert "resnet18.a1_in1k.safetensors" in reason


def test_what_a_folder_lacks_is_missing_with_its_reason(tmp_path: Path) -> None:
    save(tmp_path, "test_resnet")
    resolution = resolve(["test_resnet", "test_vit"], str(tmp_path))
    assert list(resolution.weights) == ["test_resnet"]
    assert (
        "has no weights for test_vit: looked for test_vit.r160_in1k.safetensors"
        in (resolution.missing["test_vit"])
    )


def test_a_folder_that_is_not_there_is_an_error() -> None:
    with pytest.raises(WeightsError, match=r"There is no folder 'pretraind'\. Weights are none,"):
        resolve(["test_resnet"], "pretraind")


def test_weights_of_another_network_do_not_fit(tmp_path: Path) -> None:
    save(tmp_path, "test_efficientnet", "test_resnet.safetensors")
    reason = resolve(["test_resnet"], str(tmp_path)).missing["test_resnet"]
    assert "does not fit test_resnet:" in reason
    assert "Missing key(s)" in reason


def drop_a_layer(state: dict[str, torch.Tensor]) -> None:
    del state["layer2.0.conv1.weight"]


def add_a_layer(state: dict[str, torch.Tensor]) -> None:
    state["layer9.weight"] = torch.zeros(3)


def widen_a_layer(state: dict[str, torch.Tensor]) -> None:
    state["layer2.0.conv1.weight"] = torch.zeros(9, 9, 3, 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_a_layer, r"Missing key\(s\).*layer2\.0\.conv1\.weight"),
        (add_a_layer, r"Unexpected key\(s\).*layer9\.weight"),
        (widen_a_layer, r"size mismatch for layer2\.0\.conv1\.weight"),
    ],
)
def test_a_layer_more_or_less_is_never_filled_by_chance(
    damage: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "test_resnet.safetensors"
    save(tmp_path, "test_resnet")
    state = load_file(path)
    damage(state)
    save_file(state, path)
    weights = Weights("folder", path=str(path))
    with pytest.raises(WeightsError, match=f"(?s)does not fit test_resnet: .*{message}"):
        create("test_resnet", channels=3, input_size=32, weights=weights, num_classes=5)


def test_a_layer_that_timm_would_let_pass_is_found_out(tmp_path: Path) -> None:
    """Timm loads pyramids and some families without being strict."""
    path = tmp_path / "test_resnet.safetensors"
    save(tmp_path, "test_resnet")
    state = load_file(path)
    drop_a_layer(state)
    save_file(state, path)
    weights = Weights("folder", path=str(path))
    with pytest.raises(WeightsError, match=r"nothing for layer2\.0\.conv1\.weight"):
        build_backbone("test_resnet", channels=3, input_size=64, weights=weights)


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "test_resnet")
    weights = resolve(["test_resnet"], str(tmp_path)).weights["test_resnet"]
    with pytest.raises(WeightsError, match="has changed: its SHA-256 is no longer 000000000000"):
        create("test_resnet", channels=3, input_size=32, weights=replace(weights, sha256="0" * 64))
    Path(weights.path or "").unlink()
    with pytest.raises(WeightsError, match=r"The weights of test_resnet are not at .* any more"):
        create("test_resnet", channels=3, input_size=32, weights=weights)


class Payload:
    """Code that must not run when weights are read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Return what pickle would run."""
        return exec, ("raise SystemExit('code in a weights file ran')",)


@pytest.mark.parametrize("content", [b"", b"no weights", Payload()])
def test_a_file_that_is_no_weights_is_missing_with_its_reason(
    content: object, tmp_path: Path
) -> None:
    path = tmp_path / "test_resnet.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"layer": content}, path)
    reason = resolve(["test_resnet"], str(tmp_path)).missing["test_resnet"]
    assert "cannot be read as weights" in reason


def test_a_torn_safetensors_file_is_missing_with_its_reason(tmp_path: Path) -> None:
    save(tmp_path, "test_resnet")
    path = tmp_path / "test_resnet.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    reason = resolve(["test_resnet"], str(tmp_path)).missing["test_resnet"]
    assert "cannot be read as weights" in reason


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the hub's cache to an empty folder and forbid the network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_pretrained_weights_are_taken_from_the_hub_s_cache(hub: Path) -> None:
    repository = hub / "models--timm--test_resnet.r160_in1k"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    save(snapshot, "test_resnet", "model.safetensors")
    weights = resolve(["test_resnet"], "pretrained").weights["test_resnet"]
    assert (weights.source, weights.tag) == ("pretrained", "r160_in1k")
    assert weights.path == str(snapshot / "model.safetensors")
    assert fetch(["test_resnet"]) == {"test_resnet": snapshot / "model.safetensors"}


@pytest.mark.usefixtures("hub")
def test_pretrained_weights_that_were_not_fetched_name_the_command() -> None:
    reason = resolve(["test_resnet"], "pretrained").missing["test_resnet"]
    assert "test_resnet.r160_in1k are not on this machine. Run 'archfront weights fetch'" in reason


@pytest.mark.usefixtures("hub")
def test_a_model_without_published_weights_says_so() -> None:
    reason = resolve(["resnet14d"], "pretrained").missing["resnet14d"]
    assert "no model 'resnet14d'" in reason or "publishes no weights for 'resnet14d'" in reason


@pytest.mark.usefixtures("hub")
def test_fetching_without_a_network_names_every_model_and_a_way_out() -> None:
    with pytest.raises(WeightsError, match=r"(?s)2 of 2 weights could not be fetched") as caught:
        fetch(["test_resnet", "test_vit"])
    message = str(caught.value)
    assert "test_resnet: " in message
    assert "test_vit: " in message
    assert "copy the files into a folder" in message
