"""Whether the server is well, its versions, its metrics, and the options of studies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from archfront.search.config.build import options, schemas
from archfront.search.config.compose import GROUPS, choices, compose
from archfront.search.config.options import chosen_file, file_meaning
from archfront.search.errors import ConfigError
from archfront.search.runtimes.installed import installed_version
from archfront.search.service.bodies import (
    JSON_ERRORS,
    Choice,
    Health,
    Option,
    Options,
    Version,
)
from archfront.search.service.dependencies import TheService
from archfront.search.service.metrics import TYPE, text_of
from archfront.search.service.permitted_options import refusal_of
from archfront.search.service.task_rows import OPEN

router = APIRouter(tags=["health"])
# What trains, measures, searches and records.
LIBRARIES = ("torch", "timm", "onnxruntime", "openvino", "optuna", "mlflow")
API = 1


@router.head("/health", include_in_schema=False)
@router.get("/health")
def health(service: TheService) -> Health:
    """Return that the server answers and its database too; needs no token."""
    service.database.ping()
    return Health(status="ok")


@router.get("/metrics", response_class=PlainTextResponse, responses=JSON_ERRORS)
def metrics(service: TheService) -> PlainTextResponse:
    """Return counts of studies and of requests in the text form of Prometheus."""
    studies = service.views.listed()
    states = Counter(study.state for study in studies)
    samples = [({"state": state}, float(count)) for state, count in sorted(states.items())]
    tasks = Counter(
        (str(row.kind), str(row.state)) for row in service.tasks.rows.listed(states=OPEN)
    )
    age = service.supervisor.age_s
    ages: list[tuple[dict[str, str], float]] = [] if age is None else [({}, age)]
    parts = (
        text_of("archfront_studies", "gauge", "Studies by state.", samples),
        text_of(
            "archfront_trials",
            "gauge",
            "Recorded trials of a study by outcome.",
            _of_studies({study.name: study.counts for study in studies}, "outcome"),
        ),
        text_of(
            "archfront_study_seconds",
            "gauge",
            "Wall seconds of a study by what took them.",
            _of_studies({study.name: study.seconds for study in studies}, "on"),
        ),
        text_of(
            "archfront_tasks",
            "gauge",
            "Open tasks by what they do and their state.",
            [
                ({"kind": kind, "state": state}, float(count))
                for (kind, state), count in sorted(tasks.items())
            ],
        ),
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
    return _options()


@router.get("/version")
def version() -> Version:
    """Return the versions of archfront and of its libraries."""
    found = {}
    for name in LIBRARIES:
        with suppress(ConfigError):  # it is not installed
            found[name] = installed_version(name)
    return Version(archfront=installed_version("archfront"), api=API, libraries=found)


def _of_studies(
    studies: Mapping[str, Mapping[str, float]], label: str
) -> list[tuple[dict[str, str], float]]:
    """Return the numbers of each study, by the study and their name."""
    return [
        ({"study": study, label: name}, float(value))
        for study, numbers in studies.items()
        for name, value in numbers.items()
    ]


@cache
def _options() -> Options:
    defaults, own = compose([]).content, schemas()
    found = [
        Option(
            name=path,
            kind=kind,
            meaning=meaning,
            default=_at(defaults, path) if refusal_of(path) is None else None,
            schema=own[path],
            refused=refusal_of(path),
        )
        for path, kind, meaning in options()
    ]
    groups = {
        group: [
            Choice(
                name=name,
                meaning=file_meaning(group, name),
                is_default=name == chosen_file(group),
            )
            for name in choices(group)
        ]
        for group in GROUPS
        if refusal_of(group) is None
    }
    return Options(options=found, groups=groups)


def _at(content: Any, path: str) -> Any:
    """Return the value of an option in a composed configuration."""
    for name in path.split("."):
        content = content[name]
    return content
