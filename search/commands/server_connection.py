"""The connection to a server of ``archfront serve``: questions, answers and streams of events.

The token goes to this server alone: no redirect is followed.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from archfront.search.commands.event_following import (
    SILENCE_S,
    ServerEvent,
    follow,
    read_events,
)
from archfront.search.errors import ConfigError, RequestError, ServiceError
from archfront.trainers.files import replacing
from archfront.trainers.words import quoted, reason_of

TOKEN_VARIABLE = "ARCHFRONT_TOKEN"
API = "/api/v1"
# Seconds that an answer may take; a dry run and an upload take longer.
ANSWER_S, LONG_S = 60.0, 3600.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Bytes of an answer that is read as a whole.
MOST_BYTES = 100_000_000


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class ServerConnection:
    """The connection to a server.

    Args:
        url: Its address, as ``https://host/archfront``.
        token: The token; that of ``ARCHFRONT_TOKEN`` when None.

    Raises:
        ConfigError: If the address or the token is none.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        host = _host(url)
        self.url = url.strip().rstrip("/")
        self._from = TOKEN_VARIABLE if token is None else "the token"
        given = os.environ.get(TOKEN_VARIABLE) if token is None else token
        self._token = None if given is None else given.strip()
        if self._token and not _is_token(self._token):
            raise ConfigError(f"{self._from}: one word of ASCII letters is needed as token.")
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if host in LOOPBACK:  # never by a proxy
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, *path: str | int, **query: Any) -> Any:
        """Return what is at a path of the API, whose parts are names.

        Raises:
            ConfigError: With every problem of the request.
            RequestError: If the server refuses the request.
            ServiceError: If the server cannot be reached.
        """
        with closing(self._open("GET", path, query)) as answer:
            return _content(answer)

    def post(
        self, *path: str | int, body: Any = None, limit_s: float = ANSWER_S, **query: Any
    ) -> Any:
        """Send JSON, or bytes or a file as they are, and return the answer; errors as ``get``."""
        is_plain = isinstance(body, bytes) or hasattr(body, "read")
        content = body if is_plain else json.dumps({} if body is None else body).encode()
        kind = "application/octet-stream" if is_plain else "application/json"
        headers = {"Content-Type": kind}
        with closing(self._open("POST", path, query, content, headers, limit_s)) as answer:
            return _content(answer)

    def delete(self, *path: str | int) -> None:
        """Delete what is at a path; errors are those of ``get``."""
        self._open("DELETE", path, {}).close()

    def download(self, file: Path, *path: str | int, **query: Any) -> Path:
        """Write what is at a path into a file, whole or not at all; errors as ``get``."""
        with (
            closing(self._open("GET", path, query, limit_s=LONG_S)) as answer,
            replacing(file) as part,
            part.open("wb") as opened,
        ):
            shutil.copyfileobj(answer, opened)
        return file

    def events(
        self, *path: str | int, lost: Callable[[], None] = lambda: None
    ) -> Iterator[ServerEvent]:
        """Yield the events at a path, by its stream, or by asking again where a proxy holds it.

        Args:
            path: Where it is, as names.
            lost: Called once for each time that the connection is lost.

        Raises:
            RequestError: If the server refuses the request.
            ServiceError: If the server cannot be reached at the start, or later for minutes.
        """

        def ask(last: str, is_whole: bool) -> Iterator[ServerEvent]:
            headers = {"Last-Event-ID": last} if last else {}
            query, limit_s = ({"once": "true"}, ANSWER_S) if is_whole else ({}, SILENCE_S)
            try:
                answer = self._open("GET", path, query, headers=headers, limit_s=limit_s)
                with closing(answer):
                    yield from read_events(answer)
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise self._unreachable(error) from error

        return follow(ask, is_one=len(path) > 1, lost=lost)

    def _open(
        self,
        method: str,
        path: tuple[str | int, ...],
        query: Mapping[str, Any],
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        limit_s: float = ANSWER_S,
    ) -> http.client.HTTPResponse:
        """Return the answer to a request."""
        given = {name: value for name, value in query.items() if value is not None}
        address = f"{self.url}{API}/" + "/".join(quote(str(part), safe="") for part in path)
        address += f"?{urlencode(given, doseq=True)}" if given else ""
        request = urllib.request.Request(address, content, dict(headers or {}), method=method)
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=limit_s)
        except urllib.error.HTTPError as error:
            with closing(error):
                raise self._refusal(error.code, error.read(MOST_BYTES)) from None
        except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(error) from error
        return answer

    def _refusal(self, status: int, body: bytes) -> ConfigError | RequestError:
        """Return the error that an answer says."""
        try:
            found = json.loads(body)["error"]
            code, message = str(found["code"]), str(found["message"])
            problems = [str(problem["message"]) for problem in found["problems"]]
        except (ValueError, KeyError, TypeError):
            where = " It leads elsewhere." if 300 <= status < 400 else ""
            return RequestError(
                status, "no_server", f"{self.url} answers with status {status}, and is no "
                f"archfront serve.{where} Check --server.",
            )  # fmt: skip
        if status == 401:
            what = f"{self.url} has no such token: it is mistyped, deleted, or replaced"
            if self._token is None:
                what = f"{self.url} needs a token"
            elif not self._token:
                what = f"{self.url} needs a token, and {self._from} is empty"
            message = f"{what}. Put one into {TOKEN_VARIABLE}, or into a file for --token-file."
        if problems and status == 422:
            return ConfigError(*problems)
        return RequestError(status, code, message)

    def _unreachable(self, error: Exception) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        reason = getattr(error, "reason", None) or error
        said = (str(reason).splitlines() or [type(reason).__name__])[0]
        return ServiceError(
            f"The server {self.url} cannot be reached: {said}. Is archfront serve running there?"
        )


def _host(url: str) -> str:
    """Return the host of a server's address.

    Raises:
        ConfigError: If the address is none.
    """
    try:
        parts = urlsplit(url.strip())
        is_fit = parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
        host = parts.hostname if is_fit and parts.port != 0 else None
    except ValueError:  # a port that is no number, or an address in brackets that is none
        host = None
    if not host or not url.isprintable() or any(map(str.isspace, url.strip())):
        raise ConfigError(
            f"--server {quoted(url)}: the address of a server is needed, as https://host:8000; it "
            "begins with http:// or https://."
        )
    return host


def read_token(file: Path | None) -> str | None:
    """Return the token in a file; None where no file is given.

    Raises:
        ConfigError: If the file has none.
    """
    if file is None:
        return None
    try:
        token = file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"--token-file {file}: it cannot be read: {reason_of(error)}."
        ) from error
    if not _is_token(token):
        raise ConfigError(f"--token-file {file}: one line with the token is needed.")
    return token


def _is_token(token: str) -> bool:
    return token.isascii() and token.isprintable() and len(token.split()) == 1


def _content(answer: http.client.HTTPResponse) -> Any:
    """Return the JSON of an answer; None for one without a body."""
    body = answer.read(MOST_BYTES)
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        raise ServiceError(
            f"The server answered with something that is no JSON: {quoted(body[:80])}."
        ) from None
