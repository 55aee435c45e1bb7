"""The service's own tables in PostgreSQL, which several servers share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from archfront.search.errors import RequestError, ServiceError
from archfront.search.service.leases import LEASE_S, Leases
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_requests import tracking_of
from archfront.search.service.study_rows import StudyRows
from archfront.search.service.task_rows import TaskRows
from archfront.search.service.tokens import Tokens
from tests.support.postgres_server import PASSWORD, Server
from tests.support.services import client_of

N_SERVERS = 6
T = TypeVar("T")

pytestmark = pytest.mark.slow


def at_once(call: Callable[[int], T]) -> list[T]:
    """Return what a call gives to several threads that begin together."""
    barrier = threading.Barrier(N_SERVERS)

    def together(number: int) -> T:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(N_SERVERS) as threads:
        return list(threads.map(together, range(N_SERVERS)))


def test_servers_that_start_together_make_the_tables_once(database: str) -> None:
    servers = at_once(lambda _: ServiceDatabase(database))
    assert Tokens(servers[0]).first() is not None
    assert [Tokens(server).first() for server in servers] == [None] * N_SERVERS
    for server in servers:
        server.close()


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_of_many_servers_one_gets_a_study_and_its_name(
    database: str, tmp_path: Path, kind: str
) -> None:
    url = database if kind == "postgresql" else f"sqlite:///{tmp_path / 'service.db'}"
    servers = [ServiceDatabase(url) for _ in range(N_SERVERS)]
    assert abs(servers[0].now() - time.time()) < 60

    def add(number: int) -> bool:
        try:
            StudyRows(servers[number]).add("a", {"study": "a"})
        except RequestError:
            return False
        return True

    assert sum(at_once(add)) == 1
    row = StudyRows(servers[0]).get("a")
    assert row is not None
    leases = [Leases(server, f"elsewhere/{n}/1/x") for n, server in enumerate(servers)]
    now = servers[0].now()
    for moment in (now, now + 2 * LEASE_S):
        got = at_once(lambda n, at=moment: leases[n].claim(row, at))  # type: ignore[misc]
        assert sum(got) == 1
    assert sum(at_once(lambda n: StudyRows(servers[n]).change(row, state="paused"))) == 1
    for server in servers:
        server.close()


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_of_many_servers_one_starts_a_task_of_a_study(
    database: str, tmp_path: Path, kind: str
) -> None:
    """Each looked for one that runs before the others had written theirs, in PostgreSQL."""
    url = database if kind == "postgresql" else f"sqlite:///{tmp_path / 'service.db'}"
    servers = [ServiceDatabase(url) for _ in range(N_SERVERS)]
    rows, now = [TaskRows(server) for server in servers], servers[0].now()

    def add(number: int, subject: str) -> bool:
        try:
            rows[number].add("refit", subject, ["refit", subject])
        except RequestError:
            return False
        return True

    for subject in "abc":
        assert sum(at_once(lambda n, of=subject: add(n, of))) == 1  # type: ignore[misc]
        for _ in range(N_SERVERS - 1):
            rows[0].add("export", subject, ["export", subject])
        open_tasks = rows[0].listed(subject=subject)
        got = at_once(
            lambda n, of=open_tasks: rows[n].claim(of[n], f"elsewhere/{n}/1/x", now)  # type: ignore[misc]
        )
        assert sum(got) == 1
        assert len(rows[0].listed(subject=subject, states=["running"])) == 1
    for server in servers:
        server.close()


def test_a_service_takes_the_database_of_the_records(database: str, tmp_path: Path) -> None:
    settings = ServiceSettings(root=tmp_path, storage_url=database)
    assert settings.database == database
    tracking = tracking_of(settings)
    assert [tracking[f"{name}_url"] for name in ("storage", "latency")] == [database] * 2
    assert tracking["mlflow_uri"] == database
    with client_of(tmp_path, storage_url=database) as client:
        body = {"name": "new", "choices": {"experiment": "digits"}}
        made = client.post("/api/v1/studies", json=body)
        assert made.status_code == 201, made.text
        assert [study["name"] for study in client.get("/api/v1/studies").json()] == ["new"]
    assert not (tmp_path / "service" / "service.db").exists()


def test_a_database_that_restarts_is_used_again(
    postgres: Server, database: str, tmp_path: Path
) -> None:
    with client_of(tmp_path, database_url=database) as client:
        assert client.get("/api/v1/health").status_code == 200
        postgres.stop()
        answer = client.get("/api/v1/health", headers={"Authorization": ""})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_not_ready")
        assert client.get("/api/v1/studies").status_code == 503
        postgres.start()
        assert client.get("/api/v1/health").status_code == 200
        assert client.get("/api/v1/studies").json() == []


def test_an_absent_server_is_told_without_its_password(postgres: Server) -> None:
    url = postgres.url("nowhere", password=PASSWORD)
    with pytest.raises(ServiceError, match="nowhere") as caught:
        ServiceDatabase(url)
    assert PASSWORD not in str(caught.value)
