"""The gate before every route: who asks, whether they may, how much and how often.

A request says who it comes from by ``Authorization: Bearer TOKEN``, or by the cookie of a login. A
cookie comes along with requests that another site makes a browser send, so a request that changes
something is refused where the browser says that another site made it.
"""

from __future__ import annotations

import asyncio
import math
import re
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archfront.search.errors import ArchfrontError, RequestError
from archfront.search.service.problems import CODES, MESSAGES, answer, refusal
from archfront.search.service.rates import Rates
from archfront.search.service.security_headers import HEADERS, STRICT_TRANSPORT
from archfront.search.service.service_settings import LOOPBACK
from archfront.search.service.state import Service
from archfront.search.service.tokens import ANYBODY, Identity

COOKIE = "archfront_session"
# What needs no token.
OPEN = {"/login", "/api/v1/health", "/api/v1/openapi.json"}
OPEN_FOLDERS = ("/static/",)
SAFE = {"GET", "HEAD", "OPTIONS"}
# What changes nothing, so that a token that may only read can ask for it.
READING = {"/api/v1/studies/check", "/logout"}
# What takes files: paths with the limit of uploads.
UPLOADS = re.compile(r"/api/v1/(datasets/upload|studies/[^/]+/predictions)")
# Tokens that are wrong, of one address in a minute.
WRONG_PER_MINUTE = 20
# Seconds in which the next part of a body has to come.
BODY_S = 30.0


class Gate:
    """The gate, as middleware around the application.

    Args:
        app: The application.
        service: Knows the tokens and the settings.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._rates = Rates(service.settings.requests_per_minute)
        self._wrong = Rates(WRONG_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused, and pass on every other one."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                raise HTTPException(404)
            await self._app(scope, receive, send)
            return
        # A proxy may leave the path before the service's own, or take it away.
        scope = {**scope, "root_path": self._service.settings.root_path}
        request = Request(scope)
        try:
            refused = self._refused(request, await self._who(request))
        except ArchfrontError as error:
            refused = refusal(error)
        headed = self._headed(send, request.method, is_secure=scope["scheme"] == "https")
        if refused is not None:
            await refused(scope, receive, headed)
            return
        if _is_login(request):
            headed = self._with_right_logins(headed, _address(request))
        limit = self._limit(request)
        await self._app(scope, _limited(receive, limit), headed)

    def _refused(self, request: Request, identity: Identity | None) -> Response | None:
        """Return the answer to a request that may not pass; None for one that may."""
        request.scope.setdefault("state", {})["who"] = identity
        path, method = path_of(request), request.method
        if not self._is_host_known(request):
            raise RequestError(
                403, "foreign_host", "Without tokens the service answers to this machine's names."
            )
        client = _address(request)
        wait_s = self._rates.wait_s(identity.id if identity and identity.id else client)
        if wait_s:
            return _too_many(wait_s)
        is_open = path in OPEN or path.startswith(OPEN_FOLDERS)
        if method not in SAFE and _bearer(request) is None and is_foreign(request):
            raise RequestError(
                403, "foreign_site", "Another site made this request, so nothing was changed."
            )
        if identity is None and not is_open:
            return self._unknown(request, client)
        if identity is not None and identity.scope != "full" and not is_open:
            _check_reads(path, method)
        if {"content-length", "transfer-encoding"} <= set(request.headers):
            # A proxy may take the other length, and then the rest of the body for a request.
            message = "The body of the request has two lengths."
            return answer(400, "two_lengths", message, headers={"Connection": "close"})
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limit(request):
            return answer(413, CODES[413], MESSAGES[413], headers={"Connection": "close"})
        # A login counts as one with a wrong token until it is known to be right.
        if _is_login(request) and (wait_s := self._wrong.wait_s(client)):
            return _too_many(wait_s)
        return None

    async def _who(self, request: Request) -> Identity | None:
        """Return who asks; None for nobody that is known."""
        if not self._service.settings.needs_token:
            return ANYBODY
        if not (secret := _secret(request)):
            return None
        # Whoever was known a moment ago needs no look at the database, which may wait.
        known = self._service.tokens.remembered(secret)
        return known or await run_in_threadpool(self._service.tokens.who, secret)

    def _unknown(self, request: Request, client: str) -> Response:
        """Return the answer to a request without a token: a browser is led to the login."""
        is_page = request.method in SAFE and "text/html" in request.headers.get("accept", "")
        # Of a page, too, the answer says whether a token that came along is one.
        if (_secret(request) or not is_page) and (wait_s := self._wrong.wait_s(client)):
            return _too_many(wait_s)
        if is_page:
            return RedirectResponse(f"{request.scope['root_path']}/login{_back_to(request)}", 303)
        code = "no_token"
        message = "A token is needed, as the header 'Authorization: Bearer TOKEN'."
        if _bearer(request) == "":
            message = "The token in the header 'Authorization: Bearer TOKEN' is empty."
        elif _bearer(request) is not None:
            code = "wrong_token"
            message = "There is no such token: it is mistyped, deleted, or replaced."
        elif request.cookies.get(COOKIE):
            code, message = "session_ended", "The session of this browser has ended. Log in again."
        message += (
            " The server printed one when it first started; archfront serve --reset-token makes "
            "another one."
        )
        return answer(401, code, message, headers={"WWW-Authenticate": "Bearer"})

    def _is_host_known(self, request: Request) -> bool:
        """Return whether a request without a token asks for this machine by one of its names.

        A name of another site may lead to this machine, whose pages could then ask for all.
        """
        settings = self._service.settings
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname
        return settings.needs_token or name in {*LOOPBACK, settings.host}

    def _headed(self, send: Send, method: str, *, is_secure: bool) -> Send:
        """Return ``send``, which counts answers and gives each its headers."""
        more = {"Strict-Transport-Security": STRICT_TRANSPORT} if is_secure else {}

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._service.requests.add(method, message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in {**HEADERS, **more}.items():
                    headers.setdefault(name, value)
            await send(message)

        return headed

    def _with_right_logins(self, send: Send, client: str) -> Send:
        """Return ``send`` for a login, which no longer counts as a wrong one where it is right."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._wrong.give_back(client)
            await send(message)

        return counted

    def _limit(self, request: Request) -> int:
        settings = self._service.settings
        is_upload = UPLOADS.fullmatch(path_of(request)) is not None
        return settings.max_upload_bytes if is_upload else settings.max_body_bytes


def path_of(request: Request) -> str:
    """Return the path of a request below the path where a proxy shows the service."""
    path, root = request.scope["path"], request.scope["root_path"]
    is_below = root and (path == root or path.startswith(f"{root}/"))
    return str(path[len(root) :] if is_below else path) or "/"


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _is_login(request: Request) -> bool:
    return request.method not in SAFE and path_of(request) == "/login"


def _back_to(request: Request) -> str:
    """Return the query by which a login leads to the page that was asked for."""
    asked = path_of(request)[1:] + (f"?{request.url.query}" if request.url.query else "")
    return f"?to={quote(asked, safe='')}" if asked else ""


def is_foreign(request: Request) -> bool:
    """Return whether a browser says that another site made a request.

    Every browser says it of a request that changes something; programs say nothing.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


def _secret(request: Request) -> str:
    """Return the token of a header, else that of a cookie; empty for none."""
    bearer = _bearer(request)
    return request.cookies.get(COOKIE, "") if bearer is None else bearer


def _bearer(request: Request) -> str | None:
    """Return the token of a header, which may be empty; None where there is no such header."""
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else None


def read_only() -> RequestError:
    """Return the error for what a token with scope read may not do."""
    return RequestError(
        403, "read_only", "This token may only read. Another one, with scope full, may do this."
    )


def _check_reads(path: str, method: str) -> None:
    """Raise a RequestError unless a request only reads."""
    if method not in SAFE and path not in READING:
        raise read_only()
    if path.startswith("/api/v1/tokens"):
        raise RequestError(403, "read_only", "This token may not see the tokens.")


def _too_many(wait_s: float) -> Response:
    return answer(
        429,
        "too_many_requests",
        f"Too many requests. Ask again in {math.ceil(wait_s)} s.",
        headers={"Retry-After": str(math.ceil(wait_s))},
    )


def _limited(receive: Receive, limit: int) -> Receive:
    """Return ``receive`` for a body of at most ``limit`` bytes that comes without long pauses."""
    n_bytes, is_whole = 0, False

    async def limited() -> Message:
        nonlocal n_bytes, is_whole
        if is_whole:
            return await receive()
        try:
            async with asyncio.timeout(BODY_S):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "The body of the request did not come.") from None
        n_bytes += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        if n_bytes > limit:
            raise HTTPException(413)  # FastAPI makes 400 of every other error in a body
        return message

    return limited
