"""The service behind the routes, and the form of its errors."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from anyio.to_thread import current_default_thread_limiter
from sqlalchemy import text, update
from starlette.testclient import TestClient

from archfront.search.errors import (
    ArchfrontError,
    ConfigError,
    DatabaseError,
    RequestError,
    ServiceError,
    StudyError,
    StudyLockedError,
)
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from archfront.search.service import read_studies
from archfront.search.service.problems import problem, refusal
from archfront.search.service.read_studies import ReadStudies
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.state import Service
from archfront.search.service.study_rows import StudyRows
from archfront.search.service.tables import SCHEMA, STUDIES
from tests.support import recorded_store, recorded_study
from tests.support.services import client_of
from tests.support.waiting import eventually


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def test_records_are_read_once_until_they_change(tmp_path: Path) -> None:
    paths = recorded_store.write(tmp_path)
    service = Service(ServiceSettings(root=tmp_path))
    first = service.read("flowers")
    assert service.names() == ["flowers"]
    assert service.read("flowers") is first
    assert first.once("count", lambda results: len(results.evaluations)) == 24
    assert first.once("count", lambda _: 0) == 24
    os.utime(paths.journal, ns=(1, 1))
    assert service.read("flowers") is not first
    service.close()


def test_of_a_journal_that_grows_the_growth_is_read(tmp_path: Path) -> None:
    paths = recorded_store.write(tmp_path)
    settings = ServiceSettings(root=tmp_path)
    database = ServiceDatabase(settings.database)
    records = ReadStudies(settings, database)
    assert records.read("flowers").front
    before, ties = records.results("flowers").evaluations, records.results("flowers").ties
    assert ties.n_tested
    with driving(paths, None, list(recorded_study.OBJECTIVES)) as store:
        trial = store.ask(optuna.samplers.RandomSampler(seed=0))
        more = recorded_study.trained(trial.number, 0.5, 2.0)
        store.record(trial, more)
    after = records.results("flowers").evaluations
    assert after == [*before, more]
    assert all(one is same for one, same in zip(after, before, strict=False))  # decoded once
    assert records.results("flowers").ties is ties  # a pair of trainings is tested once
    whole = paths.journal.read_bytes()
    other = whole.replace(b"14.0", b"15.0")
    assert other != whole
    paths.journal.write_bytes(other)
    seconds = {e.seconds for e in records.results("flowers").evaluations}
    assert 15.0 in seconds
    assert records.results("flowers").ties.n_tested == 0
    assert 14.0 not in seconds
    paths.journal.write_bytes(b"nothing of that\n" * len(whole))
    with pytest.raises(StudyError, match="damaged"):
        records.results("flowers")
    database.close()


def test_records_that_are_kept_no_longer_are_freed_without_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector passes over them, which took half a second at any request."""
    recorded_store.write(tmp_path)
    monkeypatch.setattr(read_studies, "LARGE_BYTES", 0)
    before = gc.get_freeze_count()
    with client_of(tmp_path) as client:
        for what in ("columns", "front", "history", "trials", "rejected"):
            assert client.get(f"/api/v1/studies/flowers/{what}").status_code == 200
        service = service_of(client)
        assert gc.get_freeze_count() > before
        assert gc.isenabled()
        kept = [weakref.ref(e) for e in service.results("flowers").evaluations]
        gc.collect()
        gc.disable()
        try:
            service.records.forget("flowers")
            assert {one() for one in kept} == {None}
        finally:
            gc.enable()


def test_of_many_who_ask_at_once_one_reads(tmp_path: Path) -> None:
    recorded_store.write(tmp_path)
    service = Service(ServiceSettings(root=tmp_path))
    together = threading.Barrier(6)

    def read(_: int) -> ReadStudy:
        together.wait()
        return service.read("flowers")

    with ThreadPoolExecutor(6) as pool:
        first, *others = pool.map(read, range(6))
    assert all(study is first for study in others)
    service.close()


def test_who_waits_for_a_study_leaves_threads_to_others(tmp_path: Path) -> None:
    """Forty who asked for a study that was being read let nobody else be answered."""
    recorded_store.write(tmp_path)
    with client_of(tmp_path) as asking, TestClient(asking.app, headers=asking.headers) as client:
        service, n_waiting = service_of(client), 50
        service.read("flowers")
        kept = service.records._kept["flowers"]
        with ThreadPoolExecutor(n_waiting) as threads:
            with kept.lock:
                waiting = [
                    threads.submit(client.get, "/api/v1/studies/flowers/front")
                    for _ in range(n_waiting)
                ]
                assert client.portal is not None
                limiter = client.portal.call(current_default_thread_limiter)
                eventually(lambda: limiter.borrowed_tokens == n_waiting)
                assert client.get("/api/v1/options").status_code == 200
            assert {one.result().status_code for one in waiting} == {200}


def test_a_list_reads_no_records_that_have_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = recorded_store.write(tmp_path)
    with client_of(tmp_path) as client:
        addresses = ("/api/v1/studies", "/api/v1/overview")
        before = [client.get(address).json() for address in addresses]

    def refuse(*_: object) -> None:
        raise StudyError("It is read.")

    monkeypatch.setattr("archfront.search.service.read_studies.reading", refuse)
    with client_of(tmp_path) as client:  # another start of the server
        assert [client.get(address).json() for address in addresses] == before
        os.utime(paths.journal, ns=(1, 1))
        (row,) = client.get("/api/v1/overview").json()
    assert (row["state"], row["reason"]) == ("unreadable", "It is read.")


def test_a_list_waits_for_no_long_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first list of a thousand studies read them all before it answered."""
    recorded_store.write(tmp_path)
    recorded_store.write(tmp_path, "tulips")
    size = StudyPaths(tmp_path, "tulips").journal.stat().st_size
    with client_of(tmp_path) as client:
        service = service_of(client)

        def listed() -> dict[str, tuple[str, Any]]:
            found = client.get("/api/v1/studies").json()
            rows = {row["name"]: row for row in client.get("/api/v1/overview").json()}
            assert {one["name"]: one["state"] for one in found} == {
                name: row["state"] for name, row in rows.items()
            }
            return {one["name"]: (one["state"], one["best"]) for one in found}

        monkeypatch.setattr(read_studies, "SOON_BYTES", size // 2)
        assert listed() == dict.fromkeys(("flowers", "tulips"), ("reading", None))
        assert service.records.is_lacking.is_set()
        # Who asks for one of them gets it whole.
        assert client.get("/api/v1/studies/tulips").json()["state"] == "finished"
        assert listed()["flowers"] == ("reading", None)
        service.summary_reader.look()
        whole = listed()
        assert {state for state, _ in whole.values()} == {"finished"}
        assert None not in whole.values()
    with client_of(tmp_path) as client:
        assert {one["state"] for one in client.get("/api/v1/studies").json()} == {"finished"}
        # One that has changed is as it was last until it is read again.
        monkeypatch.setattr(read_studies, "SOON_BYTES", 0)
        with driving(
            StudyPaths(tmp_path, "tulips"), None, list(recorded_study.OBJECTIVES)
        ) as store:
            store.write_state("stopped", "The disk is full.")
        states = [one["state"] for one in client.get("/api/v1/studies").json()]
        assert states == ["finished", "finished"]
        service_of(client).summary_reader.look()
        states = [one["state"] for one in client.get("/api/v1/studies").json()]
        assert states == ["finished", "stopped"]


def test_what_lists_lack_is_read_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_studies, "SOON_BYTES", 0)
    recorded_store.write(tmp_path)
    with client_of(tmp_path) as client:
        service_of(client).summary_reader.start()
        eventually(lambda: client.get("/api/v1/studies").json()[0]["state"] == "finished")


def test_a_study_that_is_not_there_is_told(service_client: TestClient) -> None:
    for name in ("roses", "../flowers", ""):
        with pytest.raises(RequestError, match="There is no study") as caught:
            service_of(service_client).paths(name)
        assert caught.value.status == 404


def test_every_error_has_the_same_form(service_client: TestClient) -> None:
    for headers, start in (
        ({"Content-Type": "application/json"}, "The body is no JSON: "),
        ({}, "An object of JSON is needed"),
    ):
        answer = service_client.post("/api/v1/tokens", content=b'{"name"', headers=headers)
        assert answer.json()["error"]["problems"][0]["message"].startswith(start)
    for method, path, status, code in (
        ("GET", "/api/v1/nowhere", 404, "not_found"),
        ("PATCH", "/api/v1/health", 405, "method_not_allowed"),
        ("POST", "/api/v1/tokens", 422, "bad_request"),
    ):
        answer = service_client.request(method, path)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code)
        assert error["message"] not in ("Not Found", "Method Not Allowed")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RequestError(429, "slow_down", "Slow down."), 429, "slow_down"),
        (StudyLockedError("It runs."), 409, "study_is_running"),
        (DatabaseError("It is away."), 503, "database_not_ready"),
        (StudyError("It is damaged."), 409, "bad_study"),
        (ServiceError("No database."), 503, "service_not_ready"),
        (ArchfrontError("No."), 400, "refused"),
    ],
)
def test_an_error_of_archfront_is_answered_by_its_kind(
    error: ArchfrontError, status: int, code: str
) -> None:
    answer = refusal(error)
    assert answer.status_code == status
    assert code.encode() in bytes(answer.body)
    assert str(error).encode() in bytes(answer.body)


def test_all_problems_of_a_configuration_are_answered_with_their_options() -> None:
    answer = refusal(ConfigError("budget.minutes: too few.", "task=x: no such file.", "Hm: no."))
    assert answer.status_code == 422
    options = [
        problem(text)["option"] for text in ("data.palette.a: no.", "space.x: no.", "Hm: n")
    ]
    assert options == ["data.palette.a", "space.x", None]
    assert b'"option":"budget.minutes"' in bytes(answer.body)
    assert b'"option":"task"' in bytes(answer.body)


def test_a_mistake_of_archfront_is_no_traceback_for_the_client(
    service_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(ServiceDatabase, "ping", fail)
    client = TestClient(service_client.app, raise_server_exceptions=False)
    answer = client.get("/api/v1/health")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "secret detail" not in answer.text


def test_metrics_count_studies_and_requests(empty_client: TestClient) -> None:
    for _ in range(2):
        empty_client.get("/api/v1/nowhere")
    service_of(empty_client).supervisor.look()
    text = empty_client.get("/api/v1/metrics").text
    assert 'archfront_requests_total{method="GET",status="404"} 2\n' in text
    assert "# TYPE archfront_studies gauge\n" in text
    assert "\narchfront_supervisor_age_seconds " in text


def test_metrics_count_trials_and_seconds(service_client: TestClient) -> None:
    text = service_client.get("/api/v1/metrics").text
    assert 'archfront_trials{study="flowers",outcome="rejected"} 6\n' in text
    assert 'archfront_study_seconds{study="flowers",on="training"} 192\n' in text
    assert "# TYPE archfront_tasks gauge\n" in text


def test_options_are_told_with_what_a_request_may_not_set(service_client: TestClient) -> None:
    found = service_client.get("/api/v1/options").json()
    options = {option["name"]: option for option in found["options"]}
    assert options["budget.minutes"]["refused"] is None
    assert options["tracking.root"]["refused"] == "the server says where records are kept"
    meaning = "The whole chain in minutes on any machine: real digits, tiny networks, this CPU."
    choice = {"name": "digits", "meaning": meaning, "is_default": False}
    assert choice in found["groups"]["experiment"]
    assert [c["name"] for c in found["groups"]["sampler"] if c["is_default"]] == ["front"]
    epochs, task = options["task.epochs"], options["task.name"]
    assert epochs["schema"].items() >= {"minimum": 1, "maximum": 10_000, "auto": True}.items()
    assert "detection" in task["schema"]["enum"]
    assert (epochs["default"], options["seed"]["default"]) == ("auto", 0)
    assert options["tracking.root"]["default"] is None
    assert "tracking" not in found["groups"]


class TestDatabase:
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("nonsense", "cannot be used"),
            ("sqlite:////dev/null/x.db", "File exists: ./dev/null.. Check --database"),
            ("postgresql+nothing://me:secret@host/db", "Check --database"),
        ],
    )
    def test_one_that_cannot_be_opened_is_one_clear_error(self, url: str, reason: str) -> None:
        with pytest.raises(ServiceError, match=reason) as caught:
            ServiceDatabase(url)
        assert "secret" not in str(caught.value)

    def test_what_only_reads_waits_for_nobody(self, tmp_path: Path) -> None:
        """A read waited for the end of every other transaction, up to half a minute."""
        database = ServiceDatabase(f"sqlite:///{tmp_path / 'service.db'}")
        rows = StudyRows(database)
        rows.add("a", {})
        with database.begin() as connection:
            connection.execute(update(STUDIES).values(pid=1))
            assert [row.pid for row in rows.listed()] == [None]
        assert [row.pid for row in rows.listed()] == [1]
        database.close()

    def test_tables_of_a_later_version_are_left_alone(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'service.db'}"
        database = ServiceDatabase(url)
        with database.begin() as connection:
            connection.execute(update(SCHEMA).values(version=99))
        with pytest.raises(ServiceError, match=r"tables of version 99; .* up to 2"):
            ServiceDatabase(url)

    def test_tables_of_an_earlier_version_are_brought_up_to_date(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'service.db'}"
        database = ServiceDatabase(url)
        StudyRows(database).add("old", {"study": "old"})
        with database.begin() as connection:
            connection.execute(text("ALTER TABLE service_studies DROP COLUMN command"))
            connection.execute(update(SCHEMA).values(version=1))
        for _ in range(2):
            row = StudyRows(ServiceDatabase(url)).get("old")
            assert row is not None
            assert (row.command, row.state) == ("", "waiting")


class TestSettings:
    def test_every_problem_is_told_at_once(self, tmp_path: Path) -> None:
        settings = ServiceSettings(
            root=tmp_path / "no" / "where",
            data_roots=(tmp_path / "images",),
            root_path="archfront/",
            host="0.0.0.0",
            needs_token=False,
        )
        with pytest.raises(ConfigError) as caught:
            settings.check()
        flags = [text.split()[0] for text in caught.value.problems]
        assert flags == ["--data-root", "--root", "--root-path", "--no-auth"]

    def test_data_lies_in_its_roots_links_followed(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "out").symlink_to(tmp_path)
        settings = ServiceSettings(root=tmp_path / "root", data_roots=(tmp_path / "data",))
        inside = ("data", "data/flowers", "root/datasets/x", "data/out/data")
        outside = ("", "database", "root", "data/out", "data/../root", "data/out/root")
        assert [settings.holds(tmp_path / path) for path in inside] == [True] * 4
        assert [settings.holds(tmp_path / path) for path in outside] == [False] * 6
