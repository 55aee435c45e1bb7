"""The remembered latencies and devices over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from archfront.search.latency.database import Entry, LatencyKey, LatencyTable
from tests.support.postgres_server import Server
from tests.support.recorded_study import candidate, measurement
from tests.support.services import client_of


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LatencyTable:
    path = tmp_path / "latency.db"
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(path))
    return LatencyTable(path)


def entry(device: str, backbone: str, at: float) -> Entry:
    architecture = candidate(backbone).architecture
    key = LatencyKey(device, "onnxruntime", "1.32", 1, 1, "fp32", "1.0.31", architecture)
    return Entry(key, measurement(at), at)


def test_latencies_are_listed_with_the_latest_first(
    service_client: TestClient, table: LatencyTable
) -> None:
    answer = service_client.get("/api/v1/latencies")
    assert answer.json() == {"total": 0, "offset": 0, "limit": 100, "latencies": []}
    table.put_imported(
        [entry("phone", "resnet18", 1.0), entry("phone", "resnet34", 2.0), entry("tv", "x", 3.0)],
        {"phone": "my phone"},
    )
    page = service_client.get("/api/v1/latencies", params={"device": "phone"}).json()
    assert [row["backbone"] for row in page["latencies"]] == ["resnet34", "resnet18"]
    assert [row["p50_ms"] for row in page["latencies"]] == [2.0, 1.0]
    part = service_client.get("/api/v1/latencies", params={"offset": 1, "limit": 1}).json()
    assert (part["total"], part["latencies"]) == (3, page["latencies"][:1])
    one = service_client.get("/api/v1/latencies", params={"backbone": "resnet18"}).json()
    assert one["total"] == 1
    devices = service_client.get("/api/v1/devices").json()
    assert [(row["words"], row["n_latencies"]) for row in devices] == [("my phone", 2)]


def test_a_table_that_cannot_be_used_is_one_error(
    service_client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "other.db").write_text("something else")
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(file))
    for path in ("latencies", "devices"):
        answer = service_client.get(f"/api/v1/{path}")
        assert answer.status_code == 422
        assert "cannot be used" in answer.json()["error"]["message"]


@pytest.mark.slow
def test_the_table_of_a_team_is_shown_in_place_of_the_file(
    postgres: Server, database: str, table: LatencyTable, tmp_path: Path
) -> None:
    """The route read the file alone, where studies of PostgreSQL remember nothing."""
    table.put_imported([entry("here", "resnet50", 1.0)], {})
    LatencyTable(database).put_imported([entry("phone", "resnet18", 1.0)], {"phone": "my phone"})
    with client_of(tmp_path, storage_url=database) as client:
        found = client.get("/api/v1/latencies").json()
        assert [row["backbone"] for row in found["latencies"]] == ["resnet18"]
        devices = client.get("/api/v1/devices").json()
        assert [(row["words"], row["n_latencies"]) for row in devices] == [("my phone", 1)]
        postgres.stop()
        answers = [client.get(f"/api/v1/{path}") for path in ("latencies", "devices")]
        postgres.start()
        assert [answer.status_code for answer in answers] == [503, 503]
        assert client.get("/api/v1/latencies").json() == found
