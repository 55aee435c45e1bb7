"""Requests and uploads that somebody made to do harm, sent to a server of archfront serve.

python benchmarks/hostile_requests.py

It starts a server over a recorded study, in a process of its own, and sends each kind one after
the other. Each has to be refused by an error in the one form or by the end of the connection; the
server has to answer at once after it; nothing may be written beside the server's own folders, and
no program of an archive may run. The most memory of the server, and of the processes that unpack
uploads, is printed with what was refused otherwise. The exit status is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from hostile_uploads import archives

from tests.support import recorded_store

API = "/api/v1"
FLOWERS = f"{API}/studies/flowers"
# Headers of a request with the token.
KNOWN = "Host: localhost\r\nAuthorization: Bearer TOKEN\r\n"
# The aim for the memory of the server, in MB, and the seconds of an answer to anything.
MOST_MB, MOST_S = 300.0, 240.0
Answer = tuple[int, bytes]
Send = Callable[["Server"], Answer]


class Server:
    """A server in a process of its own, with the most memory that it and its children took."""

    def __init__(self, root: Path) -> None:
        self.port = _free_port()
        words = ["serve", "--root", str(root), "--port", str(self.port)]
        words += ["--data-root", str(root / "data")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "archfront.search.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.token = line.partition("login#")[2].split()[0]
        self.peak_mb = {"server": 0.0, "child": 0.0}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self._is_over.set()
        self._thread.join()
        self.process.terminate()
        self.process.wait(30)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        is_known: bool = True,
    ) -> Answer:
        """Return status and body of an answer; 0 where the server ended the connection."""
        given = {"Authorization": f"Bearer {self.token}"} if is_known else {}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=MOST_S)) as to:
            with suppress(BrokenPipeError, ConnectionResetError):  # it answers before all is sent
                to.request(method, path, body, {**given, **(headers or {})})
            try:
                answer = to.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError):
                return 0, b""

    def raw(self, text: bytes) -> Answer:
        """Return the answer to bytes that need be no request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=40) as to:
            with suppress(ConnectionError):
                to.sendall(text.replace(b"TOKEN", self.token.encode()))
            found = b""
            with suppress(OSError):
                while part := to.recv(65_536):
                    found += part
                    head, _, body = found.partition(b"\r\n\r\n")
                    length = re.search(rb"content-length: (\d+)", head.lower())
                    if length is not None and len(body) >= int(length[1]):
                        found = found[: len(found) - len(body) + int(length[1])]
                        break
        if not found:
            return 0, b""
        head, _, body = found.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def _watch(self) -> None:
        top = psutil.Process(self.process.pid)
        while not self._is_over.wait(0.02):
            with suppress(psutil.Error):
                for process in (top, *top.children(recursive=True)):
                    kind = "server" if process.pid == top.pid else "child"
                    used = process.memory_info().rss / 1e6
                    self.peak_mb[kind] = max(self.peak_mb[kind], used)


def requests(outside: Path) -> dict[str, Send]:
    """Return what sends each hostile request, by its kind.

    Args:
        outside: A folder that nothing may be written into.
    """
    evil = str(outside / "evil")
    return {**_askings(), **_bodies(), **_options(evil), **_values(evil)}


def _askings() -> dict[str, Send]:
    """Return requests for what nobody may see, and by nobody who may ask."""
    return {
        "a path out of the pages": _raw(
            f"GET /static/../../../../etc/passwd HTTP/1.1\r\n{KNOWN}\r\n"
        ),
        "a path out of the studies": _get(f"{API}/studies/..%2f..%2fetc/trials"),
        "a null byte in a path": _get(f"{API}/studies/%00/front"),
        "a picture out of a trial": _get(f"{FLOWERS}/trials/0/..%2fweights.png"),
        "an export by another name": _get(f"{FLOWERS}/exports/..%2f..%2f..%2fx/download"),
        "no token": lambda to: to.ask("GET", f"{API}/studies", is_known=False),
        "a token of another form": _get(f"{API}/studies", Authorization="Bearer " + "\xff" * 99),
        "a session of nobody": lambda to: to.ask(
            "DELETE", FLOWERS, headers={"Cookie": "archfront_session=' OR 1=1"}, is_known=False
        ),
        "a change by another site": lambda to: to.ask(
            "POST", "/login", b"token=x", headers={"Sec-Fetch-Site": "cross-site"}, is_known=False
        ),
    }


def _bodies() -> dict[str, Send]:
    """Return bodies, lengths and headers that no reader should take."""
    return {
        "a body of 2 MB": _post(f"{API}/tokens", b'"' + b"x" * 2_000_000 + b'"'),
        "a length that is none": _raw(
            f"POST {API}/tokens HTTP/1.1\r\n{KNOWN}Content-Length: -5\r\n\r\n{{}}"
        ),
        "two lengths": _raw(
            f"POST {API}/tokens HTTP/1.1\r\n{KNOWN}Content-Length: 2\r\n"
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
        ),
        "a header of 1 MB": _raw(f"GET {API}/health HTTP/1.1\r\nX: {'x' * 1_000_000}\r\n\r\n"),
        "no HTTP": _raw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "x" * 500),
        "JSON in 200,000 lists": _post(f"{API}/tokens", b"[" * 200_000),
        "JSON with a number beyond all": _post(f"{API}/tokens", b'{"name": 1e9999}'),
        "JSON with half a letter": _post(f"{API}/tokens", b'{"name": "\\ud800"}'),
        "a method that is none": _raw(f"EVIL {API}/studies HTTP/1.1\r\n{KNOWN}\r\n"),
    }


def _options(evil: str) -> dict[str, Send]:
    """Return studies whose options read files, write elsewhere or reach hosts."""
    return {
        "a study by a path": _post(f"{API}/studies", {"name": "../../x", "options": {}}),
        "an option that reads a file": _study(**{"data.root": "/etc"}),
        "an option that reads one by a link": _study(**{"data.root": "/proc/self/root/etc"}),
        "weights from elsewhere": _study(**{"space.weights": "/tmp"}),
        "records in a file elsewhere": _study(**{"tracking.root": evil}),
        "records on another host": _study(**{"tracking.storage_url": "postgresql://evil/x"}),
        "metrics on another host": _study(**{"tracking.mlflow_uri": "http://169.254.169.254/"}),
        "images named by annotations": _study(**{"data.outside_root": "allow"}),
        "an interpolation of a secret": _study(**{"data.name": "${oc.env:PATH}"}),
        "an object to call": _study(**{"task._target_": "os.system"}),
        "an option with a line break": _study(**{"seed\nstudy": "x"}),
        "a group by a path": _post(
            f"{API}/studies", {"name": "x", "choices": {"data": "../../../etc/passwd"}}
        ),
    }


def _values(evil: str) -> dict[str, Send]:
    """Return values that other routes should not take."""
    return {
        "a million epochs a second": _study(**{"task.epochs": 10**30}),
        "a member that is a flag": _post(f"{FLOWERS}/refit", {"members": ["--root=/tmp"]}),
        "a format that is a program": _post(f"{FLOWERS}/exports", {"formats": ["pickle"]}),
        "an export into a folder": _post(f"{FLOWERS}/exports", {"out": evil}),
        "a dataset that is /etc": _post(f"{API}/datasets", {"name": "x", "root": "/etc"}),
        "a dataset by a hidden name": _post(f"{API}/datasets/upload?name=.incoming", b"x"),
        "a table of all trials at once": _get(f"{FLOWERS}/trials?limit=999999999"),
        "a limit that is no number": _get(f"{FLOWERS}/front?under=latency_ms:nan"),
        "a backbone of 60,000 letters": _get(f"{FLOWERS}/why?backbone={'a' * 60_000}"),
        "an id of an event of 60,000 letters": _get(f"{FLOWERS}/events?after={'1' * 60_000}"),
    }


def _post(path: str, body: Any) -> Send:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda to: to.ask("POST", path, content, headers={"Content-Type": "application/json"})


def _study(**options: Any) -> Send:
    return _post(f"{API}/studies", {"name": "x", "options": options})


def _get(path: str, **headers: str) -> Send:
    return lambda to: to.ask("GET", path, headers=headers)


def _raw(text: str) -> Send:
    return lambda to: to.raw(text.encode("latin-1"))


def uploads(outside: Path, mark: Path) -> Iterator[tuple[str, Send]]:
    """Yield what sends each hostile archive, with its kind; each is made when its turn comes."""
    for kind, make in archives(str(outside), str(mark)).items():
        content = make()
        yield (
            kind,
            lambda to, content=content: to.ask(  # type: ignore[misc]
                "POST", f"{API}/datasets/upload?name=evil", content
            ),
        )


def problem_of(status: int, body: bytes) -> str | None:
    """Return what is wrong with an answer to a hostile request; None where it is refused."""
    if status == 0:
        return None  # the connection was ended
    if not 400 <= status < 500 and status not in (501, 503, 507):
        return f"it was answered by {status}"
    if status == 400 and not body.startswith(b"{"):
        return None  # of what is no HTTP, the library below says so
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"its error has another form: {body[:80]!r}"
    if "Traceback" in error["message"] or error["code"] == "internal_error":
        return f"it was a mistake: {error['message'][:200]}"
    return None


def main() -> int:
    """Send everything, print what came of it, and return the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--show", action="store_true", help="print every answer")
    shown = arguments.parse_args().show
    wrong: list[str] = []
    with TemporaryDirectory() as place:
        top = Path(place)
        root, outside, mark = top / "root", top / "outside", top / "mark"
        for folder in (root / "data", outside):
            folder.mkdir(parents=True)
        recorded_store.write(root)
        kinds = chain(requests(outside).items(), uploads(outside, mark))
        with running(root) as server:
            before = listing(top, root)
            slowest, n_kinds = (0.0, ""), 0
            for kind, send in kinds:
                n_kinds += 1
                start = time.perf_counter()
                status, body = send(server)
                slowest = max(slowest, (time.perf_counter() - start, kind))
                problem = problem_of(status, body)
                if shown:
                    print(f"{kind}: {status} {body[:160].decode(errors='replace')}")
                if problem:
                    wrong.append(f"{kind}: {problem}")
                if server.ask("GET", f"{API}/health")[0] != 200:
                    wrong.append(f"{kind}: the server does not answer after it")
            peaks = server.peak_mb
        written = sorted(listing(top, root) - before)
        left = [p.name for p in (root / "datasets").rglob("*") if p.name != ".incoming"]
    wrong += [f"written beside the server's folders: {path}" for path in written]
    wrong += [f"left of an upload: {name}" for name in left]
    if peaks["server"] > MOST_MB:
        wrong.append(f"the server took {peaks['server']:.0f} MB")
    print(f"{n_kinds} kinds; {len(wrong)} wrong")
    print(f"most memory: server {peaks['server']:.0f} MB, a child {peaks['child']:.0f} MB")
    print(f"slowest: {slowest[0]:.1f} s, {slowest[1]}")
    print("\n".join(wrong))
    return 1 if wrong else 0


@contextmanager
def running(root: Path) -> Iterator[Server]:
    """Give a server over a root, which ends with the block."""
    server = Server(root)
    try:
        yield server
    finally:
        server.close()


def listing(top: Path, root: Path) -> set[str]:
    """Return all files but those in folders that are the server's own."""
    own = {root / "service", root / "datasets"}
    return {
        str(path.relative_to(top))
        for path in top.rglob("*")
        if not own.intersection((path, *path.parents))
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as at:
        port: int = at.getsockname()[1]
    return port


if __name__ == "__main__":
    sys.exit(main())
