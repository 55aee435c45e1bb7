"""The server under the application: uvicorn on a socket that listens already."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

# Connections at once, whose requests else would fill the memory.
MOST_CONNECTIONS = 200
# Seconds in which a request has to be there up to its body.
HEADERS_S = 20.0
# Seconds that a connection is kept without a request.
KEEP_ALIVE_S = 15
# Seconds that the server waits at its end for answers, such as streams of events.
GRACE_S = 5


class PromptProtocol(H11Protocol):
    """HTTP whose requests begin soon: uvicorn itself waits for ever for the rest of one."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request that is not whole up to its body."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_no_more()
        elif self._timer is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(HEADERS_S, self.transport.abort)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def new_server(
    app: FastAPI,
    answers: Callable[[], None],
    *,
    certificate: Path | None = None,
    key: Path | None = None,
) -> uvicorn.Server:
    """Return a server of an application, whose ``run`` takes a socket that listens.

    Args:
        app: The application.
        answers: Called when the server answers.
        certificate: Certificate of TLS in PEM; None for plain HTTP.
        key: Its key.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                answers()

    config = uvicorn.Config(
        app,
        http=PromptProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MOST_CONNECTIONS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    return Server(config)


def serve(server: uvicorn.Server, at: socket.socket) -> None:
    """Let a server answer at a socket until the process is interrupted or terminated."""
    with suppress(KeyboardInterrupt):
        server.run(sockets=[at])
