"""Published weights are looked up, hashed and fetched, against a hub of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch

from archfront.trainers.errors import WeightsError
from archfront.trainers.networks.backbone import create
from archfront.trainers.networks.checkpoint import sha256_of
from archfront.trainers.networks.hub_files import ask_hub, fetched, is_published
from archfront.trainers.networks.weights import fetch, resolve
from archfront.trainers.spec import Weights
from tests.support.fake_hub import FakeHub, fake_hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve a hub that has the weights of two of timm's smallest models."""
    with fake_hub(tmp_path / "cache", monkeypatch) as served:
        served.publish("test_resnet", "test_vit")
        yield served


def test_the_hub_says_hash_and_size_and_sends_nothing(hub: FakeHub) -> None:
    answers = ask_hub(["test_resnet", "test_vit", "test_efficientnet"])
    assert answers.weights == {
        name: Weights("pretrained", "r160_in1k", hub.sha256(name))
        for name in ("test_resnet", "test_vit")
    }
    assert answers.mb["test_resnet"] == len(hub.files["timm/test_resnet.r160_in1k"]) / 1e6
    assert list(answers.missing) == ["test_efficientnet"]
    assert (
        "The hub refuses the weights of test_efficientnet" in answers.missing["test_efficientnet"]
    )
    assert answers.offline is None
    assert hub.downloads() == []


def test_the_published_hash_is_that_of_the_fetched_file(hub: FakeHub) -> None:
    (answered,) = ask_hub(["test_resnet"]).weights.values()
    progress: list[tuple[float, float]] = []
    path = fetched("test_resnet", lambda mb, of_mb: progress.append((mb, of_mb)))
    assert sha256_of(path) == answered.sha256
    mb = path.stat().st_size / 1e6
    assert progress[-1] == (mb, mb)
    assert fetched("test_resnet") == path
    assert hub.downloads() == ["timm/test_resnet.r160_in1k"]
    (found,) = resolve(["test_resnet"], "pretrained").weights.values()
    assert (found.tag, found.sha256) == (answered.tag, answered.sha256)


def test_a_network_fetches_what_it_needs_when_it_is_built(hub: FakeHub) -> None:
    (weights,) = ask_hub(["test_resnet"]).weights.values()
    network = create("test_resnet", channels=3, input_size=32, weights=weights, num_classes=5)
    path = fetched("test_resnet")
    source = create(
        "test_resnet", channels=3, input_size=32, weights=Weights("pretrained", path=str(path))
    )
    assert torch.equal(
        network.state_dict()["conv1.0.weight"], source.state_dict()["conv1.0.weight"]
    )
    assert len(hub.downloads()) == 1


def test_another_file_than_the_one_announced_is_refused(hub: FakeHub) -> None:
    (weights,) = ask_hub(["test_resnet"]).weights.values()
    hub.files["timm/test_resnet.r160_in1k"] = hub.files["timm/test_vit.r160_in1k"]
    with pytest.raises(WeightsError, match="has changed: its SHA-256 is no longer"):
        create("test_resnet", channels=3, input_size=32, weights=weights)


def test_a_hub_without_an_answer_is_asked_once(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    answers = ask_hub(["test_resnet", "test_vit"])
    assert answers.weights == {}
    assert list(answers.missing) == ["test_resnet", "test_vit"]
    assert answers.offline is not None
    assert answers.offline.startswith(f"{hub.url} cannot be reached (OfflineModeIsEnabled: ")
    assert hub.asked == []


def test_weights_outside_of_the_hub_have_no_hash_before_they_are_fetched(hub: FakeHub) -> None:
    answers = ask_hub(["gcvit_xxtiny"])
    assert "are outside of the hub" in answers.missing["gcvit_xxtiny"]
    assert hub.asked == []


def test_a_training_offline_says_what_it_lacked(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (weights,) = ask_hub(["test_resnet"]).weights.values()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"test_resnet could not be fetched \(.*connection"):
        create("test_resnet", channels=3, input_size=32, weights=weights)


def test_what_is_absent_is_told_from_what_nobody_publishes(hub: FakeHub) -> None:
    fetch(["test_vit"])
    found = resolve(["test_resnet", "test_vit", "lcnet_035"], "pretrained")
    assert list(found.weights) == ["test_vit"]
    assert found.absent == ("test_resnet",)
    assert list(found.missing) == ["test_resnet", "lcnet_035"]
    assert (is_published("test_resnet"), is_published("lcnet_035")) == (True, False)


def test_fetching_tells_how_far_each_file_is(hub: FakeHub) -> None:
    told: dict[str, float] = {}
    files = fetch(
        ["test_resnet", "test_vit"], meter=lambda name, mb, of_mb: told.update({name: mb / of_mb})
    )
    assert told == {"test_resnet": 1.0, "test_vit": 1.0}
    assert all(path.is_file() for path in files.values())
