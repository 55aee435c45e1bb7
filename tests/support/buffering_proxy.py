"""A proxy in front of a server, which holds each answer back: until it ends, or so many bytes."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# Headers of one connection alone.
OWN = ("connection", "keep-alive", "transfer-encoding")
BLOCK = 65_536


class BufferingProxy(ThreadingHTTPServer):
    """A proxy that shows a server below a path.

    Attributes:
        url: Its address, up to the path.
        held: The paths that were asked for and whose answers have not been passed on.
        refused: End of the paths that are answered with 504; empty for none.

    Args:
        target: Address of the server.
        path: The path below which it is shown, as ``/archfront``; empty for none.
        n_bytes: Bytes of an answer that are passed on together; None for the whole answer.
        is_cut: Whether the server gets its paths without that one.
    """

    daemon_threads = False  # all have ended with the proxy

    def __init__(self, target: str, *, path: str, n_bytes: int | None, is_cut: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.path, self.n_bytes = urlsplit(target).netloc, path, n_bytes
        self.is_cut = is_cut
        self.url = f"http://127.0.0.1:{self.server_address[1]}{path}"
        self.held: list[str] = []
        self.refused = ""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def note(self, one: socket.socket) -> None:
        """Close a connection at the end, if it is still open."""
        with self._lock:
            self._open.add(one)

    def forget(self, one: socket.socket) -> None:
        """Forget a connection that is closed."""
        with self._lock:
            self._open.discard(one)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a client in a thread."""
        self.note(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End the connection of a client."""
        self.forget(request)
        super().shutdown_request(request)

    def end(self) -> None:
        """Take no requests, and end all that is held."""
        self.shutdown()
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that has gone, or a server that has ended."""


class Handler(BaseHTTPRequestHandler):
    """Passes a request on, and its answer in blocks."""

    server: BufferingProxy

    def do_GET(self) -> None:
        server = self.server
        if server.path and not self.path.startswith(f"{server.path}/"):
            self.send_error(404)
            return
        if server.refused and self.path.endswith(server.refused):
            self.send_error(504)
            return
        path = self.path.removeprefix(server.path) if server.is_cut else self.path
        length = int(self.headers.get("Content-Length", 0))
        connection = http.client.HTTPConnection(server.target)
        connection.connect()
        upstream: socket.socket = connection.sock
        server.held.append(path)
        server.note(upstream)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in OWN}
            connection.request(self.command, path, self.rfile.read(length), headers)
            with connection.getresponse() as answer:
                self._pass_on(answer)
            server.held.remove(path)
        finally:
            server.forget(upstream)
            connection.close()

    do_POST = do_DELETE = do_GET

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        least, waiting, has_begun = self.server.n_bytes, b"", False
        while block := answer.read1(BLOCK):
            waiting += block
            if least is not None and len(waiting) >= least:
                self._begin(answer, has_begun)
                has_begun = True
                self.wfile.write(waiting)
                waiting = b""
        self._begin(answer, has_begun)
        self.wfile.write(waiting)

    def _begin(self, answer: http.client.HTTPResponse, has_begun: bool) -> None:
        if has_begun:
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in OWN:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of a request."""


@contextmanager
def proxied(
    target: str, *, path: str = "", n_bytes: int | None = None, is_cut: bool = True
) -> Iterator[BufferingProxy]:
    """Give a proxy in front of a server, which ends with the block; arguments are the proxy's."""
    with BufferingProxy(target, path=path, n_bytes=n_bytes, is_cut=is_cut) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.end()
            thread.join()
