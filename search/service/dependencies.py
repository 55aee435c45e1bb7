"""What routes ask for: the service, and who makes the request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from archfront.search.service.state import Service
from archfront.search.service.tokens import Identity


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _who(request: Request) -> Identity | None:
    identity: Identity | None = request.state.who
    return identity


TheService = Annotated[Service, Depends(_service)]
Who = Annotated[Identity | None, Depends(_who)]
