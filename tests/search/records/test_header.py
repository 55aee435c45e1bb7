"""The header of a study: its form on disk, and headers of earlier and later versions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from archfront.search.config.build import build
from archfront.search.errors import StudyError
from archfront.search.records.header import VERSION, Environment, StudyHeader, migrated
from archfront.trainers.dataset_summary import ObjectSummary, SideShare, Spread
from tests.support.configurations import changed
from tests.support.study_headers import study_header

OBJECTS = ObjectSummary(Spread(0, 2.5, 30), SideShare(0.0312, 0.055, 0.113))
# The keys of a header as they were stored before it had a version, in their order.
UNVERSIONED = [
    "id",
    "started",
    "config",
    "question",
    "dataset",
    "space",
    "objectives",
    "rungs",
    "environment",
    "reference",
    "precision",
    "plan",
]


def header(**changes: Any) -> StudyHeader:
    return study_header(build(changed()).as_dict(), **changes)


def stored(one: StudyHeader) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(one.as_dict()))
    return content


@pytest.mark.parametrize("objects", [None, OBJECTS], ids=["images", "objects"])
def test_a_header_comes_back_equal_from_json(objects: ObjectSummary | None) -> None:
    one = header(dataset=replace(header().dataset, objects=objects))
    assert StudyHeader.from_dict(stored(one)) == one
    assert ("objects" in stored(one)["dataset"]) == (objects is not None)


def test_what_is_stored_has_the_keys_that_it_always_had() -> None:
    environment = Environment({"python": "3.11.7", "torch": "2.15.0"}, "Some CPU", "cpu-1234")
    content = stored(header(environment=environment))
    assert list(content) == ["version", *UNVERSIONED]
    assert list(content["environment"]) == ["python", "torch", "device", "device_id"]
    assert content["environment"]["device"] == "Some CPU"
    assert content["reference"] == {"accuracy": 0.1, "latency_ms": 4.0}
    assert list(content["space"]) == ["size", "architectures", "recipes", "fingerprint", "dropped"]
    assert content["dataset"]["sizes"]["height"] == {"min": 8, "median": 9.5, "max": 12}
    assert list(content["dataset"]) == [
        "class_names",
        "channels",
        "fingerprint",
        "division",
        "counted",
        "splits",
        "sizes",
        "skipped",
    ]


def test_a_header_without_a_version_is_read() -> None:
    content = stored(header())
    del content["version"]
    assert StudyHeader.from_dict(content) == header()


def test_a_header_of_before_there_were_rungs_has_one_of_all_epochs() -> None:
    content = stored(header())
    content["config"]["task"]["epochs"] = epochs = 8
    del content["version"], content["rungs"], content["dataset"]["counted"]
    found = StudyHeader.from_dict(content)
    assert found.rungs == (epochs,)
    assert found.dataset.counted == "images"


def test_a_migration_leaves_what_was_stored_as_it_is() -> None:
    content = stored(header())
    del content["version"], content["rungs"], content["dataset"]["counted"]
    before = json.dumps(content)
    assert migrated(content)["version"] == VERSION
    assert json.dumps(content) == before


def test_a_header_of_a_later_version_says_what_to_do() -> None:
    content = {**stored(header()), "version": VERSION + 1, "cluster": {}}
    with pytest.raises(StudyError) as caught:
        StudyHeader.from_dict(content)
    assert str(caught.value) == (
        f"The study was begun by a later archfront: its header has version {VERSION + 1}; this "
        f"one reads up to {VERSION}. Update archfront to read the study."
    )


def test_a_damaged_header_names_the_key() -> None:
    content = stored(header())
    content["space"]["size"] = "many"
    with pytest.raises(StudyError, match=r"cannot be read: space\.size: Input should be a valid"):
        StudyHeader.from_dict(content)
    del content["reference"]
    with pytest.raises(StudyError, match="cannot be read: 'reference'"):
        StudyHeader.from_dict(content)


def test_what_readers_ask_of_the_configuration_is_read_once() -> None:
    one = header()
    config = build(changed())
    assert (one.task, one.metric, one.seed) == (
        config.task.name,
        config.task.metric,
        config.seed,
    )
    assert one.data == config.data.reader
    assert one.limits["latency_ms"] == config.hardware.limits.latency_ms
    assert one.weights == config.space.weights
    assert (one.experiment, one.mlflow_uri) == (config.tracking.experiment, None)
