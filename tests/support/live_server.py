"""A server that answers at a port of this machine, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from archfront.search.service.server import new_server

LIMIT_S = 60.0


@contextmanager
def answering(app: FastAPI) -> Iterator[str]:
    """Give the address of a server, which ends with the block."""
    answers = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as at:
        server = new_server(app, answers.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
        thread.start()
        try:
            assert answers.wait(LIMIT_S), "the server did not start"
            yield f"http://127.0.0.1:{at.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(LIMIT_S)
