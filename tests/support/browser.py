"""A real browser over a service of this process, for the few tests that need one."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import uvicorn

from archfront.search.service.app import create_app
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from tests.support.waiting import eventually

# Headless, without what a browser asks of hosts of its own.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_S = 240.0


def chromium() -> str:
    """Return the browser, or skip the test where there is none or Playwright is not installed."""
    pytest.importorskip("playwright", reason="Playwright for Python is not installed")
    found = os.environ.get("ARCHFRONT_CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip("there is no chromium; ARCHFRONT_CHROMIUM names one")
    return found


@contextmanager
def new_database(root: Path) -> Iterator[ServiceDatabase]:
    """Give the service's own tables of a root that nobody has served yet."""
    settings = ServiceSettings(root=root)
    settings.folder.mkdir()
    database = ServiceDatabase(settings.database)
    yield database
    database.close()


@contextmanager
def served(root: Path, **changes: Any) -> Iterator[tuple[str, str]]:
    """Serve the studies of a root on a port of its own; give the address and the first token."""
    at = socket.create_server(("127.0.0.1", 0))
    port = at.getsockname()[1]
    app = create_app(ServiceSettings(root=root, port=port, **changes))
    token = app.state.service.tokens.first(anew=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, daemon=True)
    thread.start()
    eventually(lambda: server.started or not thread.is_alive())
    assert thread.is_alive(), "the server did not start"
    try:
        yield f"http://127.0.0.1:{port}/", token
    finally:
        server.should_exit = True
        thread.join(WAIT_S)


class ServerToKill:
    """A server in a process of its own, at one port, that is killed and started again.

    The process is forked from this one, which has imported what a server needs.

    Args:
        root: Folder of all studies.
        changes: Settings of the server.
    """

    def __init__(self, root: Path, **changes: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = int(free.getsockname()[1])
        self._settings = ServiceSettings(root=root, port=self._port, **changes)
        self._process: BaseProcess | None = None
        self.address = f"http://127.0.0.1:{self._port}/"

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self._process = get_context("fork").Process(target=_serve, args=(self._settings,))
        self._process.start()
        process = self._process

        def answers() -> bool:
            assert process.is_alive(), "the server did not start"
            with suppress(OSError), urlopen(f"{self.address}api/v1/health"):
                return True
            return False

        eventually(answers)

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does; repeatable."""
        if self._process is not None:
            self._process.kill()
            self._process.join(WAIT_S)

    def __enter__(self) -> ServerToKill:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it."""
        self.kill()


def _serve(settings: ServiceSettings) -> None:
    """Serve in a forked process until it is killed."""
    # What it has of its parent would keep the pipes of a browser open that the parent closes.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    at = socket.create_server((settings.host, settings.port))
    config = uvicorn.Config(create_app(settings), log_level="critical")
    uvicorn.Server(config).run(sockets=[at])


@contextmanager
def launched() -> Iterator[Any]:
    """Give a browser, or skip the test where there is none; no other may be open beside it."""
    executable = chromium()
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def browsed(browser: Any, **settings: Any) -> Iterator[Any]:
    """Give a page of a browser; an error of its scripts, policy or patterns fails the test.

    Pages of one browser share no cookies, no cache and nothing else.

    Args:
        browser: The browser.
        settings: Of the page, as Playwright's ``new_context`` takes them.
    """
    wrong: list[str] = []
    context = browser.new_context(**settings)
    context.set_default_timeout(WAIT_S * 1000)
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.extend(_mistakes(said.text)))
    yield page
    context.close()
    assert wrong == []


def log_in(page: Any, address: str, token: str) -> None:
    """Give a page's browser the cookie that the login gives, without the pages on the way."""
    origin = address.rstrip("/")
    answer = page.request.post(
        f"{origin}/login", data={"token": token}, headers={"Origin": origin}
    )
    assert answer.ok, answer.text()


def hasten(page: Any, seconds: float) -> None:
    """Let a page's own clock jump ahead, so that what it looks at in a while is looked at now.

    Its streams go by the browser's clock. The page must have been given ``page.clock.install()``.
    """
    page.clock.fast_forward(int(1000 * seconds))


def _mistakes(text: str) -> list[str]:
    marks = ("Content Security Policy", "is not a valid regular expression")
    return [text] if any(mark in text for mark in marks) else []
