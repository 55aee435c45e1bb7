"""First weights are at hand, fetched when a training needs them, or not to be had and named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
from safetensors.torch import save_file

from archfront.search.config.schema import Config
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job
from archfront.search.errors import WeightsError
from archfront.search.jobs.perform import perform
from archfront.search.prepare.first_weights import FirstWeights, first_weights
from archfront.search.prepare.prepare import prepare
from archfront.search.records.evaluation import Failed, Trained
from archfront.search.records.events import Event, WeightsFetched
from archfront.search.records.header import StudyHeader
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from archfront.search.study.study import run
from archfront.trainers.networks.weights import fetch
from archfront.trainers.spec import Weights
from tests.support.fake_hub import FakeHub, fake_hub
from tests.support.hub_networks import save
from tests.support.recorded_study import REFERENCE
from tests.support.small_spaces import space_config
from tests.support.small_study import small_config

# Of timm's smallest models: one in the cache, one on the hub, one that the hub does not have,
# and two that nobody publishes.
NAMES = ("test_resnet", "test_byobnet", "test_vit", "lcnet_035", "lcnet_150")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve a hub that has the weights of two models, of which one is in the cache."""
    with fake_hub(tmp_path / "cache", monkeypatch) as served:
        served.publish("test_resnet", "test_byobnet")
        fetch(["test_resnet"])
        served.asked.clear()
        yield served


@pytest.fixture
def offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """Let nothing ask the hub any more."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return hub


def first(names: tuple[str, ...] = NAMES, *, channels: int = 3, **changes: Any) -> FirstWeights:
    options = {"weights": "pretrained", "weights_missing": "fetch", **changes}
    return first_weights(space_config(**options), names, channels=channels)


def test_the_three_states_are_told(hub: FakeHub) -> None:
    found = first()
    mb = round(len(hub.files["timm/test_byobnet.r160_in1k"]) / 1e6)
    assert found.notes == (
        "weights   1 backbone has its in the cache",
        f"          1 more when a training needs them: fetched then, {mb} MB in all",
        "          2 leave the space, nobody publishes any: lcnet_035, lcnet_150",
        "          1 leaves the space, not to be had: test_vit",
    )
    assert list(found.weights) == ["test_resnet", "test_byobnet"]
    assert found.weights["test_resnet"].path is not None
    assert found.weights["test_byobnet"] == Weights(
        "pretrained", "r160_in1k", hub.sha256("test_byobnet")
    )
    dropped = [line.partition(":")[0] for line in found.dropped]
    assert dropped == ["lcnet_035", "lcnet_150", "test_vit"]
    assert hub.downloads() == []


def test_without_a_connection_what_is_in_the_cache_is_left(offline: FakeHub) -> None:
    found = first()
    assert list(found.weights) == ["test_resnet"]
    assert found.notes[2].startswith(
        "          2 leave the space, not in the cache, and http://127.0.0.1:"
    )
    assert found.notes[2].endswith(": test_byobnet, test_vit")
    assert "cannot be reached (OfflineModeIsEnabled" in found.notes[2]


def test_without_anything_the_error_names_every_way_out(offline: FakeHub) -> None:
    with pytest.raises(WeightsError, match=r"None of 4 backbones has weights") as raised:
        first(NAMES[1:])
    text = str(raised.value)
    for part in (
        "2 are not in the cache, and http://127.0.0.1:",
        "2 have none that timm publishes: lcnet_035, lcnet_150",
        "archfront weights fetch",
        "space.weights=FOLDER",
        "space.weights=none",
    ):
        assert part in text


def test_a_folder_of_transformers_without_its_preprocessing_is_told_what_it_needs(
    tmp_path: Path,
) -> None:
    """The advice was on files of timm's names, and the fault an errno with the name twice."""
    save(tmp_path, "resnet")
    name, file = f"hf:{tmp_path}", tmp_path / "preprocessor_config.json"
    file.unlink()
    with pytest.raises(WeightsError, match=r"^The only backbone has no weights") as raised:
        first((name,))
    _, one, why, ways = str(raised.value).splitlines()
    assert one == f"  - 1 is not to be had: {name}"
    assert why.startswith(f"  - {name}: {file} is not there, so it is not known how the images")
    assert "Errno" not in why
    assert "save_pretrained of the image processor" in why
    assert "needs config.json, model.safetensors and preprocessor_config.json" in ways
    assert "timm" not in ways


def test_drop_takes_the_cache_as_it_is_and_asks_nobody(hub: FakeHub) -> None:
    found = first(weights_missing="drop")
    assert list(found.weights) == ["test_resnet"]
    assert len(found.dropped) == 4
    assert hub.asked == []


def test_stop_begins_nothing_where_one_is_missing(hub: FakeHub) -> None:
    with pytest.raises(WeightsError, match=r"4 of 5 backbones have no weights"):
        first(weights_missing="stop")
    assert list(first(NAMES[:1], weights_missing="stop").weights) == ["test_resnet"]


@pytest.mark.parametrize("policy", ["fetch", "drop"])
def test_a_folder_may_hold_any_part_of_the_space(tmp_path: Path, policy: str) -> None:
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "test_vit.safetensors")
    found = first(weights=str(tmp_path), weights_missing=policy)
    assert list(found.weights) == ["test_vit"]
    assert found.notes == (
        f"weights   1 backbone has its in {tmp_path}",
        "          4 leave the space, the folder has none that fit: test_resnet, test_byobnet, "
        "lcnet_035 and 1 more",
    )
    with pytest.raises(WeightsError, match="4 of 5 backbones have no weights"):
        first(weights=str(tmp_path), weights_missing="stop")


def test_files_are_compared_in_the_engine_which_needs_those_imports_anyway(tmp_path: Path) -> None:
    kinds: list[str] = []

    def noted(job: Job) -> Any:
        kinds.append(job.kind)
        return perform(job)

    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "test_resnet.safetensors")
    config = space_config(weights=str(tmp_path), weights_missing="drop")
    names = ("test_resnet", "test_vit")
    engine = InlineEngine(noted, workers=1, threads=1)
    found = first_weights(config, names, channels=3, engine=engine)
    assert kinds == ["weights"]
    assert found == first_weights(config, names, channels=3)
    assert list(found.weights) == ["test_resnet"]
    broken = InlineEngine(lambda job: 1 / 0, workers=1, threads=1)
    assert first_weights(config, names, channels=3, engine=broken) == found


def test_a_folder_for_other_backbones_is_an_error_that_names_its_files(tmp_path: Path) -> None:
    (tmp_path / "resnet18.safetensors").touch()
    with pytest.raises(WeightsError, match=r"None of 5 backbones has weights") as raised:
        first(weights=str(tmp_path))
    assert "the folder has resnet18.safetensors" in str(raised.value)
    assert "space.backbones=NAMES" in str(raised.value)


def test_the_adaptation_to_grey_images_is_told(hub: FakeHub) -> None:
    assert "summed over the colors for grey images" in first(channels=1).notes[-1]
    assert "grey" not in " ".join(first(channels=3).notes)


def config(root: Path, **changes: Any) -> Config:
    """Return a study of digits over two networks, with weights for one of them in the cache."""
    options = {
        "space__backbones": ["test_resnet", "test_byobnet"],
        "space__heads": ["avg"],
        "space__input_sizes": [16],
        "space__weights": "pretrained",
        "space__weights_missing": "fetch",
        "space__recipe__lr": [0.001],
        "hardware__max_seconds": 0.1,
        **changes,
    }
    return small_config(root, **options)


def test_identities_are_those_of_a_study_that_has_the_files(hub: FakeHub, tmp_path: Path) -> None:
    before = prepare(config(tmp_path))
    fetch(["test_byobnet"])
    after = prepare(config(tmp_path))
    ids = [[p.space.at(i).id for i in range(p.space.size)] for p in (before, after)]
    assert ids[0] == ids[1]
    assert before.fingerprint == after.fingerprint
    header = before.header(started=0.0, reference=REFERENCE, precision="fp32")
    assert StudyHeader.from_dict(header.as_dict()) == header
    assert header.space.weights == {
        name: ("r160_in1k", hub.sha256(name)) for name in ("test_resnet", "test_byobnet")
    }


def test_a_study_keeps_the_weights_that_it_began_with(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever can be had later, more or less, its space stays the same."""
    began = prepare(config(tmp_path))
    header = began.header(started=0.0, reference=REFERENCE, precision="fp32")
    alone = prepare(config(tmp_path, space__backbones=["test_resnet"]))
    small = alone.header(started=0.0, reference=REFERENCE, precision="fp32")
    assert prepare(config(tmp_path), begun=small).fingerprint == alone.fingerprint
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    again = prepare(config(tmp_path), begun=header)
    assert again.fingerprint == began.fingerprint
    assert again.space.weights["test_byobnet"].path is None


@pytest.mark.slow
def test_a_training_fetches_what_it_needs_and_tells_how_far_it_is(
    hub: FakeHub, tmp_path: Path
) -> None:
    events: list[Event] = []
    whole = config(tmp_path, hardware__limits__latency_ms=None, budget__trials=2)
    assert run(whole, followers=[events.append]).state == "finished"
    assert hub.downloads() == ["timm/test_byobnet.r160_in1k"]
    told = [event for event in events if isinstance(event, WeightsFetched)]
    assert {event.backbone for event in told} == {"test_byobnet"}
    assert told[-1].mb == told[-1].of_mb > 0


@pytest.mark.slow
def test_weights_that_cannot_be_had_after_all_leave_the_space(
    hub: FakeHub, tmp_path: Path
) -> None:
    whole = config(
        tmp_path,
        hardware__limits__latency_ms=None,
        space__input_sizes=[16, 24],
        budget__trials=5,
    )
    prepared = prepare(whole)
    hub.files.clear()
    result = run(whole, prepared=prepared)
    assert result.state == "stopped"  # the same command tries what could not be fetched again
    assert "test_byobnet could not be fetched" in result.reason
    paths = StudyPaths(tmp_path, "small")
    evaluations = Results.read(reading(paths, None), paths).evaluations
    failed = [e for e in evaluations if isinstance(e.outcome, Failed)]
    trained = [e for e in evaluations if isinstance(e.outcome, Trained)]
    assert [e.outcome.kind for e in failed] == ["weights"]
    assert "could not be fetched" in failed[0].outcome.message
    assert {e.candidate.architecture.input_size for e in trained} == {16, 24}
    assert prepared.space.size == len({e.trial for e in trained}) + 2
