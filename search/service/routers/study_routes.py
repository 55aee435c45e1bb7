"""The studies: checked, made, listed, paused, resumed, extended, cloned, deleted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import TypeAdapter

from archfront.search.service.bodies import (
    BudgetRequest,
    CheckedStudy,
    CloneRequest,
    Study,
    StudyChoices,
    StudyRequest,
    WholeStudy,
)
from archfront.search.service.dependencies import TheService, Who

router = APIRouter(prefix="/studies", tags=["studies"])
_STUDIES = TypeAdapter(list[Study])


@router.get("", response_model=list[Study])
def list_studies(service: TheService) -> Response:
    """Return every study: those of requests, the oldest first, then those of terminals."""
    # Of a thousand studies it would take longer to check and copy them once more.
    return Response(_STUDIES.dump_json(service.views.listed()), media_type="application/json")


@router.post("", status_code=201)
def make_study(asked: StudyRequest, service: TheService, who: Who) -> WholeStudy:
    """Make a study, which starts when its turn comes; every problem is answered at once."""
    found = service.studies.check(asked.name, asked.choices, asked.options)
    service.studies.create(asked.name, found, start=asked.start, by=who.name if who else "")
    return WholeStudy(**service.views.shown(asked.name))


@router.post("/check")
def check_study(asked: StudyChoices, service: TheService) -> CheckedStudy:
    """Return the configuration of a study that is not made, or every problem at once."""
    found = service.studies.check(asked.name, asked.choices, asked.options)
    config = found.config.as_dict()
    del config["tracking"]
    return CheckedStudy(command=found.command, notes=list(found.notes), config=config)


@router.post("/plan")
def plan_study(asked: StudyChoices, service: TheService) -> dict[str, Any]:
    """Return what a study would take, as ``archfront run --dry-run --json`` says."""
    found = service.studies.check_plan(asked.name, asked.choices, asked.options)
    return service.studies.plan(found.config)


@router.get("/{name}")
def show_study(name: str, service: TheService) -> WholeStudy:
    """Return one study with its configuration."""
    return WholeStudy(**service.views.shown(name))


@router.get("/{name}/log")
def show_log(name: str, service: TheService) -> list[str]:
    """Return the last lines that the driver of a study printed."""
    return service.views.log(name)


@router.post("/{name}/pause")
def pause_study(name: str, service: TheService) -> WholeStudy:
    """Let a study end after what is recorded, until it is resumed."""
    service.studies.pause(name)
    return WholeStudy(**service.views.shown(name))


@router.post("/{name}/resume")
def resume_study(name: str, service: TheService) -> WholeStudy:
    """Let a study that is paused, cancelled, stopped or failed go on where it ended."""
    service.studies.resume(name)
    return WholeStudy(**service.views.shown(name))


@router.post("/{name}/cancel")
def cancel_study(name: str, service: TheService) -> WholeStudy:
    """End a study within seconds, with all its processes; what is recorded stays."""
    service.studies.cancel(name)
    return WholeStudy(**service.views.shown(name))


@router.post("/{name}/extend")
def extend_study(name: str, budget: BudgetRequest, service: TheService) -> WholeStudy:
    """Give a study new totals of minutes or trials, larger than before; a finished one goes on."""
    given: dict[str, float | int | None] = budget.model_dump(exclude_unset=True)
    service.studies.extend(name, given)
    return WholeStudy(**service.views.shown(name))


@router.post("/{name}/clone", status_code=201)
def clone_study(name: str, asked: CloneRequest, service: TheService, who: Who) -> WholeStudy:
    """Make a study with the configuration of another one, of which options may be changed."""
    by = who.name if who else ""
    service.studies.clone(name, asked.name, asked.options, start=asked.start, by=by)
    return WholeStudy(**service.views.shown(asked.name))


@router.delete("/{name}", status_code=204)
def delete_study(name: str, service: TheService) -> Response:
    """Remove a study with its files and its runs in MLflow; it may not run, nor a task of it."""
    service.tasks.rows.check_none(name)
    service.studies.delete(name)
    service.tasks.forget(name, is_dataset=False)
    return Response(status_code=204)
