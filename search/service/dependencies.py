"""What routes ask for: the service, and who makes the request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from archfront.search.errors import RequestError
from archfront.search.service.state import Service
from archfront.search.service.tokens import Identity


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _who(request: Request) -> Identity | None:
    identity: Identity | None = request.state.who
    return identity


def check_raw(request: Request, what: str, curl: str) -> None:
    """Raise an error for a form in the place of a file as the body of a request.

    Args:
        request: The request.
        what: What the body has to be, as ``the archive``.
        curl: What curl is told in place of ``-F``.

    Raises:
        RequestError: If the body is a form of several parts.
    """
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise RequestError(
            415,
            "form",
            f"The body is a form; {what} itself has to be the body of the request, as curl sends "
            f"it with {curl} in place of -F.",
        )


TheService = Annotated[Service, Depends(_service)]
Who = Annotated[Identity | None, Depends(_who)]
