"""The application: its routes, its gate and its errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache

from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from archfront.search.service.bodies import ERRORS
from archfront.search.service.pages import page_routes
from archfront.search.service.pages.overview import Overview
from archfront.search.service.problems import add_handlers
from archfront.search.service.routers import (
    dataset_routes,
    event_routes,
    export_routes,
    front_routes,
    health_routes,
    latency_routes,
    login_routes,
    point_routes,
    study_routes,
    task_routes,
    token_routes,
    trial_routes,
)
from archfront.search.service.security import Gate
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.state import Service
from archfront.search.service.streams import Streams

API = "/api/v1"
# Requests that are answered at a time, each in a thread: while a large study is read for the first
# time, all who ask for it wait in one, and others are to be answered still.
N_THREADS = 120
# The resources of the API, each a file in routers/.
ROUTERS: tuple[APIRouter, ...] = (
    health_routes.router,
    page_routes.data_router,
    study_routes.router,
    token_routes.router,
    trial_routes.router,
    front_routes.router,
    point_routes.router,
    event_routes.router,
    task_routes.router,
    export_routes.router,
    dataset_routes.router,
    latency_routes.router,
)
# What stands outside of the API: pages, and what they need.
PAGES: tuple[APIRouter, ...] = (login_routes.router, page_routes.router)


def create_app(settings: ServiceSettings) -> FastAPI:
    """Return the application for one root of studies, with its service in ``state.service``.

    Raises:
        ServiceError: If the database cannot be used.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = N_THREADS
        service.start()
        page_routes.read_pages()
        _work_out(app.routes)
        yield
        service.close()

    app = FastAPI(
        title="archfront",
        summary="Studies of architectures for your images on your device.",
        version="1",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # both load scripts of other hosts
        redoc_url=None,
        lifespan=lifespan,
        routes=list(_routes()),
    )
    app.state.service = service
    app.state.streams = Streams(service)
    app.state.overview = Overview(service, app.state.streams.live)
    app.add_middleware(Gate, service=service)
    add_handlers(app, page_routes.error_page)
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Return the routes of every application of this process.

    None of them knows its application, so that what FastAPI works out of them stays with them.
    """
    whole = APIRouter()
    for router in ROUTERS:
        whole.include_router(router, prefix=API, responses=ERRORS)
    for router in PAGES:
        whole.include_router(router)
    return tuple(whole.routes)


def _work_out(routes: Sequence[BaseRoute]) -> None:
    """Let FastAPI work out routes now: it takes some tenths of a second of the first request."""
    nowhere = {"type": "http", "method": "GET", "path": "/-", "root_path": "", "headers": []}
    for route in routes:
        route.matches(dict(nowhere))
