"""The exports of a study: made, listed, downloaded, removed, and asked for predictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from archfront.search.errors import ArchfrontError, RequestError
from archfront.search.records.export_records import ExportSummary
from archfront.search.results import export_results, refit_results
from archfront.search.results.select_members import chosen_trials, proxy_weights
from archfront.search.service.dependencies import TheService, Who, check_raw
from archfront.search.service.export_files import (
    export_folder,
    file_name,
    files_of,
    no_export,
    zipped,
)
from archfront.search.service.routers.task_routes import check_members
from archfront.search.service.state import Service
from archfront.search.service.task_rows import OPEN, TaskRow, new_id
from archfront.search.service.work_answers import (
    ArtifactAnswer,
    ExportRequest,
    ExportsAnswer,
    FormatName,
    TaskAnswer,
)

router = APIRouter(prefix="/studies/{name}", tags=["exports"])
# Bytes of an image, and seconds of an answer to one.
IMAGE_BYTES, PREDICT_S = 50_000_000, 60.0


@router.post("/exports", status_code=202)
def make_export(name: str, asked: ExportRequest, service: TheService, who: Who) -> TaskAnswer:
    """Write a member as files to deploy, in a process of its own."""
    check_members(service, name, [asked.member])
    if asked.dynamic_batch and asked.batch is not None:
        raise RequestError(
            422, "bad_request", f"dynamic_batch: any number of images is not {asked.batch}."
        )
    _check_weights(service, name, asked)
    id = new_id()
    words = asked.words(name, str(export_folder(service.settings, name, id)))
    by = who.name if who else ""
    return TaskAnswer.of(service.tasks.add("export", name, words, by=by, id=id))


@router.get("/exports")
def list_exports(name: str, service: TheService) -> ExportsAnswer:
    """Return the exports that were asked for, and every artifact that is recorded."""
    results = service.results(name)
    found = export_results.summary(results, refit_results.summary(results))
    rows = [row for row in _exports(service, name) if row.is_open or _is_there(service, row)]
    return ExportsAnswer(
        tasks=[TaskAnswer.of(row) for row in rows],
        artifacts=[] if found is None else _artifacts(service, name, found),
        notes=[] if found is None else found.sentences,
    )


@router.get(
    "/exports/{id}/download",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}},
)
def download_export(
    name: str, id: str, service: TheService, format: FormatName | None = None
) -> Response:
    """Return an export, or one of its formats with the texts beside it, as a zip archive."""
    folder = _folder(service, name, id)
    files = files_of(folder, format)
    if format is not None and not (folder / format).is_dir():
        raise RequestError(404, "no_such_format", f"The export {id} has no {format}.")
    shown = file_name(name, _trial(folder), format or "")
    headers = {"Content-Disposition": f'attachment; filename="{shown}.zip"'}
    return StreamingResponse(
        zipped(folder, files, shown), media_type="application/zip", headers=headers
    )


@router.delete("/exports/{id}", status_code=204)
def delete_export(name: str, id: str, service: TheService) -> Response:
    """Remove the files of an export; one that is being made is cancelled."""
    service.paths(name)
    folder = export_folder(service.settings, name, id)
    if id not in [row.id for row in _exports(service, name)]:
        raise no_export(name, id)
    service.tasks.cancel(id)
    shutil.rmtree(folder, ignore_errors=True)
    return Response(status_code=204)


@router.post(
    "/predictions",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def predict(
    name: str,
    request: Request,
    service: TheService,
    export: Annotated[str | None, Query(description="its id; the latest one if none")] = None,
    format: FormatName | None = None,
    min_score: Annotated[float | None, Query(ge=0, le=1)] = None,
) -> dict[str, Any]:
    """Return what an exported member says of an image, whose bytes are the body."""
    check_raw(request, "the image", "--data-binary @image.jpg")
    folder = await run_in_threadpool(_export_for, service, name, export)
    with TemporaryDirectory(dir=service.settings.folder, prefix="image-") as place:
        image = Path(place) / "image"
        n_bytes = 0
        with image.open("wb") as file:
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if n_bytes > IMAGE_BYTES:
                    raise RequestError(
                        413, "too_large", f"An image has up to {IMAGE_BYTES // 10**6} MB."
                    )
                file.write(chunk)
        words = ["predict", str(folder), str(image), "--json"]
        words += [] if format is None else ["--format", format]
        words += [] if min_score is None else ["--min-score", str(min_score)]
        try:
            printed = await run_in_threadpool(service.verbs.call, words, limit_s=PREDICT_S)
        except RequestError:
            raise
        except ArchfrontError as error:
            said = str(error).replace(str(image), "the image")
            raise RequestError(422, "no_prediction", said) from error
    answer: dict[str, Any] = json.loads(printed)
    del answer["image"]
    return answer


def _check_weights(service: Service, name: str, asked: ExportRequest) -> None:
    """Raise an error unless an export finds the weights that it asks for, now or in its turn.

    Raises:
        RequestError: If the name stands for several members, or the weights are not there.
    """
    results = service.results(name)
    trials = chosen_trials(results, [asked.member])
    if len(trials) != 1:
        stands = f"{asked.member!r} stands for {len(trials)} candidates"
        raise RequestError(422, "bad_request", f"member: {stands}. Give one, as knee or a trial.")
    [trial] = trials
    refits = service.tasks.rows.listed(subject=name, kind="refit", states=OPEN)
    if refits:  # the tasks of a study run one after the other
        return
    refit = f'POST /api/v1/studies/{name}/refit with {{"members": ["{trial}"]}}'
    has_proxy = proxy_weights(results, trial).is_file()
    if not asked.proxy and trial not in refit_results.shipped_refits(results):
        more = ', or give "proxy": true for the weights that the search trained' * has_proxy
        raise RequestError(
            409,
            "not_refitted",
            f"Trial {trial} of {name!r} has no refit yet. First {refit}{more}.",
        )
    if asked.proxy and not has_proxy:
        raise RequestError(
            409,
            "no_weights",
            f"The weights of the short training of trial {trial} of {name!r} were not kept: only "
            f'those of the front are. First {refit}, and export it without "proxy".',
        )


def _exports(service: Service, name: str) -> list[TaskRow]:
    return service.tasks.rows.listed(subject=name, kind="export")


def _is_there(service: Service, row: TaskRow) -> bool:
    """Return whether the files of an export are there, or its end is worth to be shown."""
    folder = export_folder(service.settings, row.subject, row.id)
    return row.state == "failed" or folder.is_dir()


def _folder(service: Service, name: str, id: str) -> Path:
    """Return the folder of an export that is complete.

    Raises:
        RequestError: If there is none.
    """
    service.paths(name)
    folder = export_folder(service.settings, name, id)
    if not (folder / "manifest.json").is_file():
        raise no_export(name, id)
    return folder


def _export_for(service: Service, name: str, id: str | None) -> Path:
    """Return the folder of an export, of the latest one where none is named.

    Raises:
        RequestError: If there is none.
    """
    if id is not None:
        return _folder(service, name, id)
    service.paths(name)
    for row in _exports(service, name):
        folder = export_folder(service.settings, name, row.id)
        if (folder / "manifest.json").is_file():
            return folder
    raise RequestError(
        409,
        "no_export",
        f"Nothing of the study {name!r} is exported here yet. POST /api/v1/studies/{name}/exports "
        "exports a member, which then answers.",
    )


def _trial(folder: Path) -> str:
    """Return the trial of an export for the name of a file."""
    try:
        content = json.loads((folder / "manifest.json").read_text("utf-8"))
        return f"trial-{int(content['trial'])}"
    except (OSError, ValueError, KeyError, TypeError):
        return "export"


def _artifacts(service: Service, name: str, found: ExportSummary) -> list[ArtifactAnswer]:
    own = service.settings.study_folder(name) / "exports"
    answers = []
    for shipped in found.artifacts:
        export = shipped.export
        folder = Path(export.folder)
        is_own = folder.parent == own and folder.is_dir()
        answers.append(
            ArtifactAnswer(
                trial=export.trial,
                label=shipped.label,
                format=export.format,
                kind=export.kind,
                created=export.created,
                metric=export.metric,
                lost=export.lost,
                parity=export.parity,
                latency_ms=shipped.latency_ms,
                size_mb=export.size_mb,
                is_on_front=shipped.is_on_front,
                verdict=shipped.verdict,
                export=folder.name if is_own else None,
            )
        )
    return answers
