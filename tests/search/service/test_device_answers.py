"""The fronts of a study's trained candidates on several devices, and the points of own models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from archfront.search.front.members import final_evaluations
from archfront.search.latency.database import Entry, LatencyKey, LatencyTable
from archfront.search.records import variant_records
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.variant_records import Scored, Setting, Variant
from tests.support import recorded_study
from tests.support.services import client_of

DEVICES = "/api/v1/studies/flowers/devices"
POINTS = "/api/v1/studies/flowers/points"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LatencyTable:
    path = tmp_path / "latency.db"
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(path))
    return LatencyTable(path)


@pytest.fixture
def client(recorded_root: Path, tmp_path: Path, table: LatencyTable) -> Iterator[TestClient]:
    shutil.copytree(recorded_root / "studies", tmp_path / "studies")
    with client_of(tmp_path) as client:
        yield client


def trained() -> list[Evaluation]:
    return final_evaluations(recorded_study.study())


def remembered(evaluation: Evaluation, latency_ms: float, device: str = "phone") -> Entry:
    architecture = evaluation.candidate.architecture
    key = LatencyKey(device, "tflite", "2.1", 4, 1, "fp32", "1.0.31", architecture)
    return Entry(key, recorded_study.measurement(latency_ms), 1.0)


def front_of(members: list[dict[str, Any]]) -> list[int]:
    """Return the trials that no other one dominates, by looking at every pair."""
    return [
        one["trial"]
        for one in members
        if not any(
            other["metric"] >= one["metric"]
            and other["latency_ms"] <= one["latency_ms"]
            and (other["metric"], other["latency_ms"]) != (one["metric"], one["latency_ms"])
            for other in members
        )
    ]


class TestDevices:
    def test_without_other_devices_the_front_is_that_of_the_study(
        self, client: TestClient
    ) -> None:
        found = client.get(DEVICES).json()
        (own,) = found["devices"]
        assert own["is_own"]
        assert (own["n_measured"], found["n_trained"]) == (len(trained()),) * 2
        shown = client.get("/api/v1/studies/flowers/front").json()["members"]
        assert [one["trial"] for one in own["members"] if one["is_on_front"]] == [
            one["trial"] for one in shown
        ]

    def test_another_device_has_a_front_of_its_own(
        self, client: TestClient, table: LatencyTable
    ) -> None:
        # There, what is slow on the device of the study is fast.
        rows = [
            remembered(one, 100 - one.measurement.latency.p50_ms)
            for one in trained()
            if one.measurement is not None
        ]
        table.put_imported(rows, {"phone": "my phone"})
        table.put_imported([remembered(trained()[0], 3.0, device="tv")], {"tv": "a TV"})
        own, tv, phone = client.get(DEVICES).json()["devices"]
        assert [one["words"] for one in (tv, phone)] == ["a TV", "my phone"]
        assert not phone["is_own"]
        assert (phone["runtime"], phone["threads"], phone["n_measured"]) == (
            "tflite",
            4,
            len(rows),
        )
        assert tv["n_measured"] == 1
        latencies = [one["latency_ms"] for one in phone["members"]]
        assert latencies == sorted(latencies)
        fronts = [
            [one["trial"] for one in found["members"] if one["is_on_front"]]
            for found in (own, phone)
        ]
        assert fronts[1] == front_of(phone["members"]) != fronts[0]
        # Every member of the study's front can be followed to the phone.
        assert set(fronts[0]) <= {one["trial"] for one in phone["members"]}

    def test_a_variant_stands_with_the_metric_of_its_own_file(
        self, client: TestClient, tmp_path: Path
    ) -> None:
        one = trained()[0]
        assert isinstance(one.outcome, Trained)
        size = one.candidate.architecture.input_size
        latency = replace(
            recorded_study.measurement(0.5).latency, runtime="openvino", precision="int8"
        )
        measured = replace(recorded_study.measurement(0.5), latency=latency)
        scored = Scored(0.5, 0.4, 0.6, {"accuracy": 0.5}, measured, 0.0, {}, "predictions.npz")
        setting = Setting("openvino", "int8", size)
        found = Variant(one.trial, one.candidate.id, "hash", setting, "1", scored, 1.0)
        variant_records.write(StudyPaths(tmp_path, "flowers"), [found])
        _, other = client.get(DEVICES).json()["devices"]
        assert (other["runtime"], other["precision"]) == ("openvino", "int8")
        (member,) = other["members"]
        assert (member["trial"], member["metric"], member["latency_ms"]) == (one.trial, 0.5, 0.5)
        assert member["is_variant"]


class TestPoints:
    def test_are_added_listed_and_removed(self, client: TestClient) -> None:
        assert client.get(POINTS).json() == []
        for name, cost in (("slow", 9.0), ("fast", 1.0)):
            asked = {"name": name, "metric": 0.9, "cost": cost}
            answer = client.post(POINTS, json=asked)
            assert answer.status_code == 201
            assert asked.items() <= answer.json().items()
        assert [point["name"] for point in client.get(POINTS).json()] == ["fast", "slow"]
        again = client.post(POINTS, json={"name": "fast", "metric": 0.1, "cost": 2.0})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "point_exists")
        assert client.delete(f"{POINTS}/fast").status_code == 204
        assert [point["name"] for point in client.get(POINTS).json()] == ["slow"]
        gone = client.delete(f"{POINTS}/fast")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "no_such_point")

    @pytest.mark.parametrize(
        "wrong", [{"cost": 0}, {"cost": -1}, {"metric": "good"}, {"name": "../x"}, {"cost": 1e300}]
    )
    def test_that_are_none_are_refused(self, client: TestClient, wrong: dict[str, Any]) -> None:
        asked = {"name": "ours", "metric": 0.9, "cost": 2.0, **wrong}
        answer = client.post(POINTS, json=asked)
        assert answer.status_code == 422
        assert answer.json()["error"]["problems"][0]["option"] in wrong
        assert client.get(POINTS).json() == []

    def test_belong_to_a_study_and_not_to_its_name(self, client: TestClient) -> None:
        client.post(POINTS, json={"name": "ours", "metric": 0.9, "cost": 2.0})
        points = client.app.state.service.points  # type: ignore[attr-defined]
        assert [point["name"] for point in points.listed("id-of-flowers")] == ["ours"]
        assert points.listed("another study of this name") == []
