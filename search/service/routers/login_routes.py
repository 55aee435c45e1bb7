"""Login and logout of a browser: a token in, a cookie out."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from archfront.search.errors import RequestError
from archfront.search.service.dependencies import TheService, Who
from archfront.search.service.security import COOKIE
from archfront.search.service.state import Service
from archfront.search.service.tokens import SESSION_S, Identity

router = APIRouter(include_in_schema=False)


@router.post("/login")
async def login(request: Request, service: TheService) -> Response:
    """Take a token, as JSON or as a form, and set the cookie of a session.

    Raises:
        RequestError: If the token is none, or the body has none.
    """
    is_form = "json" not in request.headers.get("content-type", "")
    secret = _secret(await request.body(), is_form=is_form)
    # The database may let it wait, which no other request may.
    identity, session = await run_in_threadpool(_begun, service, secret)
    root = request.scope["root_path"]
    answer: Response = JSONResponse({"name": identity.name, "scope": identity.scope})
    if is_form:
        answer = RedirectResponse(f"{root}/", 303)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_S),
        path=root or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/logout")
def logout(request: Request, service: TheService, who: Who) -> Response:
    """End the session of the cookie and remove the cookie."""
    if who is not None and who.is_session:
        service.tokens.delete(who.id)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path=request.scope["root_path"] or "/")
    return answer


def _begun(service: Service, secret: str) -> tuple[Identity, str]:
    """Return whose token a secret is, with the secret of a new session of theirs.

    Raises:
        RequestError: If it is no token.
    """
    identity = service.tokens.who(secret) if secret else None
    if identity is None or identity.is_session:
        raise RequestError(401, "wrong_token", "This is no token of the service.")
    return identity, service.tokens.begin_session(identity)


def _secret(body: bytes, *, is_form: bool) -> str:
    """Return the token in a body; empty where there is none."""
    text = body.decode(errors="replace")
    if is_form:
        return parse_qs(text).get("token", [""])[0].strip()
    try:
        content = json.loads(text)
    except ValueError:
        return ""
    found = content.get("token") if isinstance(content, dict) else None
    return found.strip() if isinstance(found, str) else ""
