"""The datasets: folders of the server, uploads, and what each is like."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import ConfigDict, Field

from archfront.search.errors import RequestError
from archfront.search.profile.profile_cache import read_profile
from archfront.search.service.bodies import NAME, Body, Name
from archfront.search.service.dependencies import TheService, Who, check_raw
from archfront.search.service.security_headers import REPORT_POLICY
from archfront.search.service.trial_answers import plain
from archfront.search.service.work_answers import TaskAnswer

router = APIRouter(tags=["datasets"])


class DatasetRequest(Body):
    """A folder of the server that is to be a dataset."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "flowers", "root": "/data/flowers"}]},
    )

    name: Name
    root: str = Field(min_length=1, max_length=1000)


class DatasetAnswer(Body):
    """A dataset; its root is what a study takes as ``data.root``."""

    name: str
    root: str
    origin: Literal["uploaded", "server"]
    created: float
    fingerprint: str | None


class UploadAnswer(DatasetAnswer):
    """A dataset that was uploaded."""

    n_files: int
    n_bytes: int


class ProfileRequest(Body):
    """What a dataset is to be looked at for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"choices": {"task": "classification"}, "options": {}}]},
    )

    choices: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)


@router.get("/datasets")
def list_datasets(service: TheService) -> list[DatasetAnswer]:
    """Return the datasets by name."""
    return [DatasetAnswer(**row) for row in service.datasets.listed()]


@router.post("/datasets", status_code=201)
def add_dataset(asked: DatasetRequest, service: TheService) -> DatasetAnswer:
    """Add a folder of the server as a dataset."""
    return DatasetAnswer(**service.datasets.add(asked.name, asked.root))


@router.post(
    "/datasets/upload",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("application/zip", "application/x-tar", "application/gzip")
            },
        }
    },
)
async def upload_dataset(
    request: Request,
    service: TheService,
    name: Annotated[str, Query(min_length=1, max_length=60, pattern=NAME)],
) -> UploadAnswer:
    """Take a zip or tar archive, whose bytes are the body, as a dataset.

    An archive with links, devices, names that lead out of it or collide, or more than the server
    takes is refused, as one without any image, and nothing of it is kept.
    """
    check_raw(request, "the archive", "--data-binary @images.zip")
    return UploadAnswer(**await service.datasets.upload(name, request.stream()))


@router.get("/datasets/{name}")
def show_dataset(name: str, service: TheService) -> DatasetAnswer:
    """Return one dataset."""
    return DatasetAnswer(**service.datasets.get(name))


@router.delete("/datasets/{name}", status_code=204)
def delete_dataset(name: str, service: TheService) -> Response:
    """Remove a dataset: of an uploaded one its files too, of a folder the name alone."""
    service.datasets.remove(name)
    return Response(status_code=204)


@router.post("/datasets/{name}/profile", status_code=202)
def make_profile(name: str, asked: ProfileRequest, service: TheService, who: Who) -> TaskAnswer:
    """Look at every image of a dataset, in a process of its own."""
    by = who.name if who else ""
    return TaskAnswer.of(service.datasets.profile(name, asked.choices, asked.options, by=by))


@router.get("/datasets/{name}/profile")
def show_profile(name: str, service: TheService) -> dict[str, Any]:
    """Return what a dataset is like, as it was looked at last."""
    row = service.datasets.profiled(name)
    file = service.tasks.folder(row.id) / "printed"
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise RequestError(409, "damaged_file", f"The profile cannot be read: {error}.") from error
    return content


@router.get(
    "/datasets/{name}/profile.html",
    response_class=FileResponse,
    responses={200: {"content": {"text/html": {}}}},
)
def show_profile_page(name: str, service: TheService) -> Response:
    """Return what a dataset is like as a page with pictures."""
    file = service.tasks.folder(service.datasets.profiled(name).id) / "profile.html"
    if not file.is_file():
        raise RequestError(404, "no_profile", f"The dataset {name!r} has no such page.")
    headers = {"Content-Security-Policy": REPORT_POLICY}
    return FileResponse(file, media_type="text/html", headers=headers)


@router.get("/studies/{name}/profile")
def show_study_profile(name: str, service: TheService) -> dict[str, Any]:
    """Return what the data of a study is like, where it was looked at."""
    found = read_profile(service.paths(name).profile)
    if found is None:
        raise RequestError(
            404, "no_profile", f"The data of the study {name!r} was not looked at when it began."
        )
    content: dict[str, Any] = plain(found.as_dict())
    return content
