"""The server at a port of this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Match
from starlette.testclient import TestClient
from starlette.types import Scope

from archfront.search.service import security, server
from archfront.search.service.app import create_app
from archfront.search.service.pages import page_routes
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.tracking.mlflow_server import listening

NEVER_S = 60.0
HEALTH = b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Return where a server answers that waits a short time for the rest of a body."""
    monkeypatch.setattr(security, "BODY_S", 0.2)
    app, started = create_app(ServiceSettings(root=tmp_path)), threading.Event()
    at = listening("127.0.0.1", 0)
    own = server.new_server(app, started.set)
    thread = threading.Thread(target=server.serve, args=(own, at))
    thread.start()
    assert started.wait(NEVER_S)
    yield at.getsockname()
    own.should_exit = True
    thread.join()


def test_answers_on_a_connection_that_is_kept_do_not_wait_for_acknowledgments() -> None:
    with listening("127.0.0.1", 0) as at, socket.create_connection(at.getsockname()):
        accepted, _ = at.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_server_knows_its_routes_and_pages_before_anybody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Noted(BaseRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            told.append(scope["path"])
            return Match.NONE, {}

    monkeypatch.setattr(page_routes, "read_pages", lambda: told.append("pages"))
    app = create_app(ServiceSettings(root=tmp_path))
    app.router.routes.append(Noted())
    with TestClient(app):
        assert told == ["pages", "/-"]


def received(connection: socket.socket) -> bytes:
    """Return what the server sends until it ends the connection."""
    connection.settimeout(NEVER_S)
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let a server wait a short time for requests from now on."""
    return lambda: monkeypatch.setattr(server, "HEADERS_S", 0.2)


def test_a_client_that_is_slow_with_its_request_is_let_go(
    address: tuple[str, int], impatient: Callable[[], None]
) -> None:
    impatient()
    for begun in (b"", b"GET /api/v1/hea", HEALTH[:-2]):
        with socket.create_connection(address) as connection:
            with suppress(ConnectionError):  # the server may have lost its patience already
                connection.sendall(begun)
            assert received(connection) == b""


def test_one_that_is_slow_after_a_request_is_let_go_too(
    address: tuple[str, int], impatient: Callable[[], None]
) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(NEVER_S)
        connection.sendall(HEALTH)
        found = b""
        while not found.endswith(b"}"):
            found += connection.recv(65_536)
        assert found.startswith(b"HTTP/1.1 200 OK")
        impatient()
        connection.sendall(b"GET /slow")
        assert received(connection) == b""


def test_one_that_is_slow_with_its_body_is_told(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        head = b"POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"
        connection.sendall(head + b"tok")
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not come" in answer


def test_what_is_no_request_is_refused(address: tuple[str, int]) -> None:
    for nonsense in (b"\x16\x03\x01\x00\xff\r\n\r\n", b"GET / HTTP/9\r\n\r\n"):
        with socket.create_connection(address) as connection:
            connection.sendall(nonsense)
            assert received(connection).startswith(b"HTTP/1.1 400")
