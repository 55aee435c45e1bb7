"""The trials of a study: some of them, one in full, all as a table, and the pictures of each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, StreamingResponse

from archfront.search.errors import RequestError
from archfront.search.service.answers import (
    RejectedAnswer,
    TrialDetail,
    TrialPage,
    TrialState,
    WhyAnswer,
)
from archfront.search.service.dependencies import TheService
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.state import Service
from archfront.search.service.trial_answers import detail, files, rejected_answer, table_of
from archfront.search.service.why_answers import why_answer

router = APIRouter(prefix="/studies/{name}", tags=["trials"])
# Most trials of an answer.
MOST = 1000
# Rows that are written at a time.
CHUNK = 500
# Spreadsheets take text that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Picture(StrEnum):
    """The pictures of the predictions of a trial."""

    GALLERY = "gallery"
    MISTAKES = "mistakes"


@router.get("/trials")
def list_trials(
    name: str,
    service: TheService,
    state: TrialState | None = None,
    backbone: str | None = None,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> TrialPage:
    """Return the trials in a state, by number; each has an outcome already."""
    rows = table_of(service.read(name)).rows
    if state is not None:
        rows = [row for row in rows if row.state == state]
    if backbone is not None:
        rows = [row for row in rows if row.backbone == backbone]
    shown = rows[offset : offset + limit]
    return TrialPage(total=len(rows), offset=offset, limit=limit, trials=shown)


@router.get("/trials.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def trials_as_csv(name: str, service: TheService) -> Response:
    """Return all trials as comma-separated values, a row each."""
    rows = _csv(service.read(name))
    headers = {"Content-Disposition": 'attachment; filename="trials.csv"'}
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/trials/{number}")
def show_trial(name: str, number: int, service: TheService) -> TrialDetail:
    """Return all that is recorded of a trial."""
    return detail(service.read(name), number)


@router.get(
    "/trials/{number}/{picture}.png",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}}},
)
def show_picture(name: str, number: int, picture: Picture, service: TheService) -> Response:
    """Return a picture of the predictions of a trial."""
    return FileResponse(_file(service, name, number, picture.value), media_type="image/png")


@router.get("/trials/{number}/details.json")
def show_details(name: str, number: int, service: TheService) -> dict[str, Any]:
    """Return what the predictions of a trial are worth by class."""
    file = _file(service, name, number, "details")
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise RequestError(409, "damaged_file", f"{file.name} cannot be read: {error}.") from error
    return content


@router.get("/rejected")
def show_rejected(name: str, service: TheService) -> RejectedAnswer:
    """Return what was rejected, has failed or was left out of the space, with the reasons."""
    return rejected_answer(service.read(name))


@router.get("/why")
def show_why(
    name: str,
    backbone: Annotated[str, Query(min_length=1, max_length=200)],
    service: TheService,
) -> WhyAnswer:
    """Return why a backbone was not tried, or what became of it."""
    return why_answer(service.read(name), backbone)


def _file(service: Service, name: str, number: int, kind: str) -> Path:
    """Return a file of a trial's predictions.

    Raises:
        RequestError: If there is none, or it is a link that leads out of the study's folder.
    """
    study = service.read(name)
    table = table_of(study)
    table.row(number)
    folder = study.results.paths.folder.resolve()
    file = files(study.results, table.counted(number)).get(kind)
    if file is None or not file.is_file() or not file.resolve().is_relative_to(folder):
        raise RequestError(
            404,
            "no_such_file",
            f"Trial {number} of the study {name!r} has no {kind}: it is drawn of members of the "
            "front when a study ends.",
        )
    return file


def _csv(study: ReadStudy) -> Iterator[str]:
    rows = table_of(study).rows
    names = list(type(rows[0]).model_fields) if rows else ["trial"]
    for start in range(0, max(len(rows), 1), CHUNK):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if start == 0:
            writer.writerow(names)
        for row in rows[start : start + CHUNK]:
            writer.writerow([_cell(getattr(row, field)) for field in names])
        yield text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value as a cell, in which a spreadsheet finds no formula."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
