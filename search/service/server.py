"""The server under the application: uvicorn on a socket that listens already."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

# Connections at once, whose requests else would fill the memory.
MOST_CONNECTIONS = 200
# Seconds that a connection is kept without a request.
KEEP_ALIVE_S = 15
# Seconds that the server waits at its end for answers, such as streams of events.
GRACE_S = 5


def serve(
    app: FastAPI,
    at: socket.socket,
    answers: Callable[[], None],
    *,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve an application until the process is interrupted or terminated.

    Args:
        app: The application.
        at: A socket that listens.
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
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MOST_CONNECTIONS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    with suppress(KeyboardInterrupt):
        Server(config).run(sockets=[at])
