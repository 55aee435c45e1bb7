"""Whether the server is well, its versions, its metrics, and the options of studies."""

from __future__ import annotations

import importlib.metadata
from collections import Counter

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from archfront.search.config.build import options
from archfront.search.config.compose import GROUPS, choices
from archfront.search.config.options import file_meaning
from archfront.search.service.bodies import Choice, Health, Option, Options, Version
from archfront.search.service.dependencies import TheService
from archfront.search.service.metrics import TYPE, text_of
from archfront.search.service.permitted_options import refusal_of

router = APIRouter(tags=["health"])
# What trains, measures, searches and records.
LIBRARIES = ("torch", "timm", "onnxruntime", "openvino", "optuna", "mlflow")
API = 1


@router.get("/health")
def health(service: TheService) -> Health:
    """Return that the server answers and its database too; needs no token."""
    service.database.ping()
    return Health(status="ok")


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(service: TheService) -> PlainTextResponse:
    """Return counts of studies and of requests in the text form of Prometheus."""
    states = Counter(study["state"] for study in service.views.listed())
    samples = [({"state": state}, float(count)) for state, count in sorted(states.items())]
    age = service.supervisor.age_s
    ages: list[tuple[dict[str, str], float]] = [] if age is None else [({}, age)]
    parts = (
        text_of("archfront_studies", "gauge", "Studies by state.", samples),
        text_of(
            "archfront_requests_total",
            "counter",
            "Answers by method and status.",
            service.requests.samples(),
        ),
        text_of(
            "archfront_supervisor_age_seconds",
            "gauge",
            "Seconds since the supervisor looked at the studies.",
            ages,
        ),
    )
    return PlainTextResponse("".join(parts), media_type=TYPE)


@router.get("/options")
def list_options() -> Options:
    """Return every option of a study, and the files that may be chosen by group."""
    found = [
        Option(name=path, kind=kind, meaning=meaning, refused=refusal_of(path))
        for path, kind, meaning in options()
    ]
    groups = {
        group: [Choice(name=name, meaning=file_meaning(group, name)) for name in choices(group)]
        for group in GROUPS
        if refusal_of(group) is None
    }
    return Options(options=found, groups=groups)


@router.get("/version")
def version() -> Version:
    """Return the versions of archfront and of its libraries."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Version(archfront=importlib.metadata.version("archfront"), api=API, libraries=found)
