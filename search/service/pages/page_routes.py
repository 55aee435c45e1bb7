"""The pages, what a browser loads for them, and their data."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import jinja2
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from archfront.search.errors import RequestError
from archfront.search.service.dependencies import TheService, Who
from archfront.search.service.pages.overview import compact, has_records, running
from archfront.search.service.pages.page_files import modules, page_files, version
from archfront.search.service.pages.study_columns import study_columns, whole_columns
from archfront.search.service.problems import MESSAGES
from archfront.search.service.security import SAFE, path_of, read_only
from archfront.search.tracking.mlflow_links import run_page
from archfront.trainers.safe_text import visible_value

router = APIRouter(include_in_schema=False)
# Part of the API: what the pages show, for programs too.
data_router = APIRouter(tags=["pages"])
# Pages that have no more to say than their template, by their path.
PLAIN = {
    "/": "studies",
    "/login": "login",
    "/new": "new",
    "/compare": "compare",
    "/datasets": "datasets",
    "/tokens": "tokens",
}
# Links of every page: address, template, text.
LINKS = (
    ("./", "studies", "Studies"),
    ("new", "new", "New study"),
    ("compare", "compare", "Compare"),
    ("datasets", "datasets", "Datasets"),
    ("tokens", "tokens", "Tokens"),
)
# The page that people open from another one, whose modules a browser fetches while it rests.
NEXT = {"studies": "study"}
FOREVER = "public, max-age=31536000, immutable"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=visible_value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def read_pages() -> None:
    """Read the templates and the files of all pages, for which a first visitor would wait."""
    version()
    for file in _environment().list_templates(extensions=["j2"]):
        _environment().get_template(file)
        modules(file.replace(".html.j2", "_page.js"))


def _page(
    name: str, who: Who, service: TheService, *, up: str, status: int = 200, **content: Any
) -> HTMLResponse:
    """Return a page.

    Args:
        name: Its template.
        who: Who asks.
        service: The service.
        up: The way from the page to the root of the service, in relative addresses.
        status: Its status.
        content: What the template shows.
    """
    template = _environment().get_template(f"{name}.html.j2")
    own, coming = modules(f"{name}_page.js"), NEXT.get(name)
    after = () if coming is None else (f"{coming}_page.js", *modules(f"{coming}_page.js"))
    text = template.render(
        page=name,
        up=up,
        files=f"{up}static/{version()}/",
        modules=own,
        next_modules=[module for module in after if module not in own],
        links=[link for link in LINKS if link[1] not in _pointless(who, service)],
        scope="" if who is None else who.scope,
        has_session=who is not None and who.is_session,
        needs_token=service.settings.needs_token,
        **content,
    )
    return HTMLResponse(text, status)


def error_page(request: Request, status: int, message: str) -> Response | None:
    """Return an error as a page for a browser; None for programs, and for answers of the API."""
    path = path_of(request)
    is_page = request.method in SAFE and not path.startswith("/api/")
    if not is_page or "text/html" not in request.headers.get("accept", ""):
        return None
    # The slashes that the browser sees: those of a name are written in another way.
    root = request.scope["root_path"] if path != request.scope["path"] else ""
    seen = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    up = "../" * (seen.count("/") - root.count("/") - 1) or "./"
    said = f"There is nothing at {path} here." if message == MESSAGES.get(status) else message
    service, who = request.app.state.service, request.state.who
    title = HTTPStatus(status).phrase.capitalize()
    return _page("error", who, service, up=up, status=status, title=title, said=said)


def _pointless(who: Who, service: TheService) -> set[str]:
    """Return the pages that say nothing to whoever asks."""
    if who is None or who.scope != "full":
        return {"new", "tokens"}
    return set() if service.settings.needs_token else {"tokens"}


@router.get("/")
@router.get("/login")
@router.get("/new")
@router.get("/compare")
@router.get("/datasets")
@router.get("/tokens")
def plain_page(request: Request, service: TheService, who: Who) -> Response:
    """Return a page that says the same of every root of studies.

    Raises:
        RequestError: If it is a form whose requests would all be refused.
    """
    path = request.scope["route"].path
    is_full = who is not None and who.scope == "full"
    if who is not None and not is_full and PLAIN[path] in _pointless(who, service):
        raise read_only()
    folders = [str(folder) for folder in service.settings.data_roots] if is_full else []
    return _page(PLAIN[path], who, service, up="./", data_roots=folders)


@router.get("/studies/{name}")
def study_page(name: str, service: TheService, who: Who) -> Response:
    """Return the page of a study, also of one that has not begun yet.

    Raises:
        RequestError: If there is none of this name.
    """
    if name not in service.names() and not service.views.is_asked_for(name):
        raise RequestError(
            404,
            "no_such_study",
            f"There is no study {name!r}. It may have been deleted, or the name is another one.",
        )
    has_mlflow = service.settings.shown_mlflow is not None
    more = {"has_mlflow": has_mlflow, "has_records": has_records(service, name)}
    return _page("study", who, service, up="../", study=name, **more)


@router.get("/studies/{name}/mlflow")
def mlflow_page(name: str, service: TheService) -> Response:
    """Lead to the run of a study on MLflow's page.

    Raises:
        RequestError: If the server knows of no such page.
    """
    page = service.settings.shown_mlflow
    if page is None:
        raise RequestError(
            404,
            "no_mlflow",
            "This server knows of no page of MLflow. archfront ui is one, and archfront serve "
            "--mlflow-page URL names it.",
        )
    study_id = service.results(name).begun().id
    return RedirectResponse(run_page(page, service.mlflow_store, study_id), 303)


@router.get("/static/{of}/{name}")
async def static_file(of: str, name: str) -> Response:
    """Return a file that pages load; a browser keeps one of the version that it asked for.

    Raises:
        RequestError: If there is none of this name.
    """
    found = page_files().get(name)
    if found is None:
        raise RequestError(404, "no_such_file", f"The pages have no file {name!r}.")
    kept = FOREVER if of == version() else "no-cache"
    return Response(found.content, media_type=found.media_type, headers={"Cache-Control": kept})


@data_router.get("/overview")
def get_overview(request: Request) -> Response:
    """Return the studies that have begun: the front in few numbers and what runs now."""
    return Response(request.app.state.overview.text(), media_type="application/json")


@data_router.get("/studies/{name}/running")
def get_running(name: str, request: Request, service: TheService) -> Response:
    """Return what a study does now: its trials in flight and what is left of its budget."""
    return _compact(running(service, name, request.app.state.streams.live))


@data_router.get("/studies/{name}/columns")
def get_columns(
    name: str,
    service: TheService,
    after: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0.0,
) -> Response:
    """Return a study as columns, of what ended after so many of its active seconds."""
    study = service.read(name)
    if after > 0:
        return _compact(study_columns(study, after=after))
    # Whoever opens the page asks for all of it.
    whole = study.once("columns", lambda _: whole_columns(study))
    return Response(whole, media_type="application/json")


def _compact(content: Any) -> Response:
    return Response(compact(content), media_type="application/json")
