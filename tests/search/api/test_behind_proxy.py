"""A server behind a proxy that holds answers back, for programs and on the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI

import archfront as af
from archfront.search.cli import main
from archfront.search.commands import event_following, server_connection
from archfront.search.records.events import EventLog, Noticed
from archfront.search.records.paths import StudyPaths
from archfront.search.service import streams
from archfront.search.service.app import create_app
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.state import Service
from archfront.search.service.study_rows import StudyRow, StudyRows
from tests.support import recorded_store
from tests.support.buffering_proxy import BufferingProxy, proxied
from tests.support.command import Output
from tests.support.live_server import answering

pytestmark = pytest.mark.slow

BELOW = "/team/archfront"


@dataclass
class Shown:
    """A study that runs, on a server which starts none, behind a proxy."""

    app: FastAPI
    proxy: BufferingProxy

    @property
    def rows(self) -> StudyRows:
        service: Service = self.app.state.service
        return StudyRows(service.database)

    @property
    def row(self) -> StudyRow:
        found = self.rows.get("flowers")
        assert found is not None
        return found

    def write(self, message: str) -> None:
        """Let something happen in the study."""
        root = self.app.state.service.settings.root
        EventLog(StudyPaths(root, "flowers").events)(Noticed(message))

    @property
    def held(self) -> list[str]:
        """Return the streams that the proxy holds back."""
        return [path for path in self.proxy.held if path.endswith("/events")]


# Of what may be passed on together a notice is a small part.
@pytest.fixture(params=[(None, True), (4096, False)], ids=["whole answers", "4 kB"])
def shown(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shown]:
    n_bytes, is_cut = request.param
    recorded_store.write(tmp_path)
    monkeypatch.setattr(Service, "start", lambda self: None)
    monkeypatch.setattr(streams, "FRESH_S", 0.0)
    monkeypatch.setattr(server_connection, "SILENCE_S", 0.2)
    app = create_app(ServiceSettings(root=tmp_path, root_path=BELOW))
    monkeypatch.setenv("ARCHFRONT_TOKEN", app.state.service.tokens.first(anew=True))
    with (
        answering(app) as url,
        proxied(url, path=BELOW, n_bytes=n_bytes, is_cut=is_cut) as proxy,
    ):
        found = Shown(app, proxy)
        found.rows.add("flowers", {"study": "flowers"})
        found.rows.change(found.row, state="running")
        yield found


def instead_of_waiting(monkeypatch: pytest.MonkeyPatch, *acts: Callable[[], object]) -> None:
    """Let something happen each time that a client waits, and nothing after that."""
    coming = list(acts)

    def act(seconds: float) -> None:
        if coming:
            coming.pop(0)()

    monkeypatch.setattr(event_following, "time", SimpleNamespace(sleep=act))


def test_events_come_although_the_stream_is_held(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead_of_waiting(monkeypatch)
    events = af.Client(shown.proxy.url).open("flowers").events()
    assert next(events).kind == "snapshot"
    assert shown.held == []
    changes = (event.content for event in events if event.kind == "change")
    for message in "012":
        shown.write(message)
        assert next(changes)["fields"]["message"] == message
    assert len(shown.held) == 1  # it is left for good
    changes.close()


def test_a_study_is_watched_to_its_end(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    instead_of_waiting(
        monkeypatch,
        lambda: shown.write("slow"),
        lambda: None,
        lambda: shown.rows.change(shown.row, state="finished", reason="done"),
    )
    assert main(["watch", "flowers", "--server", shown.proxy.url]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("flowers: running: 16 trained")
    assert others[0] == "note: slow"
    assert [line.partition(":")[2].split()[0] for line in others[1:]] == ["finished"]


def test_the_end_is_waited_for_and_a_removal_is_told(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    study = af.Client(shown.proxy.url).open("flowers")
    instead_of_waiting(
        monkeypatch,
        lambda: None,
        lambda: shown.rows.change(shown.row, state="finished"),
    )
    assert study.wait(quiet=True).state == "finished"
    shown.rows.change(shown.row, state="running")

    def remove() -> None:
        shown.rows.remove("flowers")
        shutil.rmtree(shown.app.state.service.settings.root / "studies/flowers")

    instead_of_waiting(monkeypatch, remove)
    assert main(["watch", "flowers", "--server", shown.proxy.url]) == 1
    assert capsys.readouterr().out.endswith("The study 'flowers' was deleted.\n")


def test_what_a_proxy_says_of_a_stream_is_no_end(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for the end of an answer for a while answers with 504 then."""
    monkeypatch.setattr(server_connection, "SILENCE_S", 60.0)
    instead_of_waiting(monkeypatch)
    shown.proxy.refused = "/events"
    lost: list[int] = []
    connection = server_connection.ServerConnection(shown.proxy.url)
    path = ("studies", "flowers", "events")
    events = connection.events(*path, lost=lambda: lost.append(1))
    assert next(events).kind == "snapshot"
    for message in "01":
        shown.write(message)
        assert next(events).content["fields"]["message"] == message
    assert len(lost) == 1
    events.close()
