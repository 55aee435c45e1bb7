"""The latencies that are remembered, and the devices that they are of.

They lie where the studies of the server keep theirs: in a file of the machine, or in PostgreSQL.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from archfront.search.latency.database import Entry, LatencyTable, default_path
from archfront.search.service.bodies import Body
from archfront.search.service.dependencies import TheService
from archfront.search.service.state import Service
from archfront.search.service.study_requests import tracking_of
from archfront.search.service.trial_answers import number, plain

router = APIRouter(tags=["latencies"])
# Most rows of an answer.
MOST = 1000


class LatencyRow(Body):
    """A remembered measurement of an architecture."""

    backbone: str
    head: str
    input_size: int
    task: str
    device: str
    runtime: str
    runtime_version: str
    threads: int
    batch_size: int
    precision: str
    p50_ms: float | None
    p95_ms: float | None
    params_m: float | None
    macs_g: float | None
    size_mb: float | None
    memory_mb: float | None
    is_stable: bool
    source: str
    measured_at: float


class LatencyPage(Body):
    """Some of the remembered measurements, the latest first."""

    total: int
    offset: int
    limit: int
    latencies: list[LatencyRow]


class DeviceAnswer(Body):
    """A device of remembered measurements."""

    id: str
    words: str = Field(description="what people call it")
    description: dict[str, Any] = Field(description="its fingerprint; empty if it was imported")
    n_latencies: int
    n_failures: int


@router.get("/latencies")
def list_latencies(
    service: TheService,
    device: str | None = None,
    runtime: str | None = None,
    backbone: str | None = None,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> LatencyPage:
    """Return the remembered measurements that fit, the latest first."""
    wanted = {"device": device, "runtime": runtime}
    found = [
        entry
        for entry in reversed(latency_table(service).entries())
        if all(value in (None, getattr(entry.key, name)) for name, value in wanted.items())
        and backbone in (None, entry.key.architecture.backbone)
    ]
    shown = [_row(entry) for entry in found[offset : offset + limit]]
    return LatencyPage(total=len(found), offset=offset, limit=limit, latencies=shown)


@router.get("/devices")
def list_devices(service: TheService) -> list[DeviceAnswer]:
    """Return the devices of the remembered measurements, by id."""
    table = latency_table(service)
    measured = Counter(entry.key.device for entry in table.entries())
    failed = Counter(entry.key.device for entry in table.failures())
    return [
        DeviceAnswer(
            id=device.id,
            words=device.words,
            description=plain(device.description),
            n_latencies=measured[device.id],
            n_failures=failed[device.id],
        )
        for device in table.devices().values()
    ]


def latency_table(service: Service) -> LatencyTable:
    """Return the table of the server's studies.

    Raises:
        ServiceError: If the database does not answer: a request does not wait until it does.
    """
    url: str | None = tracking_of(service.settings)["latency_url"]
    if url is None:
        return LatencyTable(default_path())
    service.database.ping()
    return LatencyTable(url)


def _row(entry: Entry) -> LatencyRow:
    key, measured = entry.key, entry.measurement
    latency, architecture = measured.latency, key.architecture
    return LatencyRow(
        backbone=architecture.backbone,
        head=architecture.top,
        input_size=architecture.input_size,
        task=architecture.task,
        device=key.device,
        runtime=key.runtime,
        runtime_version=key.runtime_version,
        threads=key.threads,
        batch_size=key.batch_size,
        precision=key.precision,
        p50_ms=number(latency.p50_ms),
        p95_ms=number(latency.p95_ms),
        params_m=number(measured.params_m),
        macs_g=number(measured.macs_g),
        size_mb=number(measured.size_mb),
        memory_mb=number(measured.memory_mb),
        is_stable=latency.is_stable,
        source=latency.source,
        measured_at=entry.measured_at,
    )
