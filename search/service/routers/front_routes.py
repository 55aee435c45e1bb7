"""The front of a study, how it grew, and the report."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from archfront.search.errors import ArchfrontError, RequestError
from archfront.search.records.paths import StudyPaths
from archfront.search.service.answers import FrontAnswer, HistoryAnswer
from archfront.search.service.dependencies import TheService
from archfront.search.service.device_answers import DevicesAnswer, devices_answer
from archfront.search.service.front_answers import (
    front_answer,
    history_answer,
    limits_in,
    whole_front,
)
from archfront.search.service.routers.latency_routes import latency_table
from archfront.search.service.security_headers import REPORT_POLICY

router = APIRouter(prefix="/studies/{name}", tags=["front"])
# Seconds that a report takes at most to be written.
REPORT_S = 120.0
# Seconds that a report may be older than the records.
OLD_S = 60.0


@router.get("/front", response_model=FrontAnswer)
def show_front(
    name: str,
    service: TheService,
    under: Annotated[
        list[str] | None,
        Query(description="a cost and its limit, as latency_ms:5; several count together"),
    ] = None,
    best: Annotated[int | None, Query(ge=1, le=1000, description="only so many members")] = None,
) -> Response:
    """Return the front; with limits that of the trials within them, as ``latency_ms:5``.

    ``?under=latency_ms:5&best=1`` is the most accurate trial under 5 ms.
    """
    study = service.read(name)
    if not under and best is None:
        whole = study.once("front as JSON", lambda _: whole_front(study).model_dump_json())
        return Response(whole, media_type="application/json")
    found = front_answer(study, limits_in(under or []), best)
    return Response(found.model_dump_json(), media_type="application/json")


@router.get("/devices")
def show_devices(name: str, service: TheService) -> DevicesAnswer:
    """Return the front of the trained candidates on every device that remembers their latencies.

    These are the device of the study, those whose latencies were measured or imported, and the
    runtimes and precisions of variants.
    """
    return devices_answer(service.read(name), latency_table(service))


@router.get("/history")
def show_history(name: str, service: TheService) -> HistoryAnswer:
    """Return the hypervolume and the front after each training that changed the front."""
    return history_answer(service.read(name))


@router.get(
    "/report", response_class=FileResponse, responses={200: {"content": {"text/html": {}}}}
)
def show_report(name: str, service: TheService) -> Response:
    """Return the report as one page; of a study that runs it is at most a minute old."""
    results = service.results(name)
    file = results.paths.report
    if is_outdated(results.paths):
        results.begun()
        words = ["report", name, "--root", str(service.settings.root)]
        try:
            service.verbs.call(words, limit_s=REPORT_S)
        except ArchfrontError:
            if not file.is_file():
                raise
    if not file.is_file():
        raise RequestError(404, "no_report", f"The study {name!r} has no report yet.")
    return FileResponse(
        file, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY}
    )


def is_outdated(paths: StudyPaths) -> bool:
    """Return whether a report is missing, or so much older than the last record of its study."""
    try:
        return paths.journal.stat().st_mtime - paths.report.stat().st_mtime > OLD_S
    except OSError:
        return not paths.report.is_file()
